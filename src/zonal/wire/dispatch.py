"""Finds the service, the protocol and the operation of a request.

`ServiceCatalog.recognise` derives the protocol from the headers, and the service from the signature's credential scope, else from the
target prefix, else from the host. So an error about the signature is rendered in the right protocol. `ServiceCatalog.locate` then finds the
operation, and returns it with the form, labels and query that it parsed. Service models are loaded at first use.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote

from zonal.foundation.errors import AwsError
from zonal.wire import forms, service_models
from zonal.wire.http_messages import HttpRequest
from zonal.wire.rest_routes import RestRoutes
from zonal.wire.service_models import Metadata, Operation, ServiceModel

QUERY, EC2, JSON, REST_JSON, REST_XML, CBOR = "query", "ec2", "json", "rest-json", "rest-xml", "smithy-rpc-v2-cbor"


class Dialect(NamedTuple):
    """The protocol and the service of a request. `service` is None if the region does not have the service that the caller calls `name`."""

    protocol: str
    name: str
    service: ServiceModel | None
    json_version: str = "1.0"


class Located(NamedTuple):
    """A request whose operation is known. `form` holds a Query request's parameters, `labels` and `query` a REST request's."""

    dialect: Dialect
    operation: Operation
    form: dict[str, str]
    labels: dict[str, str]
    query: dict[str, list[str]]


class ServiceCatalog:
    """The services of a region, by botocore's names."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._by_signing_name: dict[str, list[str]] = {}
        self._by_target: dict[str, str] = {}
        for name in self.names:
            metadata = service_models.metadata(name)
            self._by_signing_name.setdefault(metadata.signs_as, []).append(name)
            if metadata.target_prefix:
                self._by_target[metadata.target_prefix] = name
        self._json_dialects: dict[tuple[str, str], Dialect] = {}
        self._routes = functools.cache(RestRoutes)

    def recognise(self, request: HttpRequest) -> Dialect:
        """The request's dialect. Never raises: for a service that the region does not have, `service` is None."""
        target = request.headers.get("x-amz-target", "")
        if target and (known := self._by_target_prefix(target.partition(".")[0], request)):
            return known
        signing_name = scope_of(request) or self._target_service(target) or _host_service(request)
        names = self._by_signing_name.get(signing_name, [])
        if (
            not names
            and "s3" in self.names
            and (bucket_of(request.host) or (not signing_name and _indicated_protocol(request) == REST_JSON))
        ):
            names = ["s3"]  # Only S3 accepts unsigned requests.
        if not names:
            return Dialect(_indicated_protocol(request), signing_name, None, _json_version(request))
        name = names[0] if len(names) == 1 else self._narrow(names, request, target)
        return Dialect(_protocol(request, service_models.metadata(name)), name, service_models.service(name), _json_version(request))

    def _by_target_prefix(self, prefix: str, request: HttpRequest) -> Dialect | None:
        """The dialect of a JSON request, from a cache, because JSON services are called often."""
        version = _json_version(request)
        known = self._json_dialects.get((prefix, version))
        if known is None and prefix in self._by_target and JSON in service_models.metadata(self._by_target[prefix]).all_protocols:
            name = self._by_target[prefix]
            known = self._json_dialects[prefix, version] = Dialect(JSON, name, service_models.service(name), version)
        return known

    def locate(self, request: HttpRequest, dialect: Dialect) -> Located:
        """The request's operation. Raises `AwsError`: the service's for an unknown operation, 501 for a service that is not implemented."""
        if dialect.service is None:
            raise service_absent(dialect.name)
        if dialect.protocol in (QUERY, EC2):
            return _locate_query(request, dialect)
        if dialect.protocol == JSON:
            return _rpc(dialect, request.headers.get("x-amz-target", "").rpartition(".")[2])
        if dialect.protocol == CBOR:
            return _rpc(dialect, _cbor_operation(request.path))
        return self._locate_rest(request, dialect)

    def _locate_rest(self, request: HttpRequest, dialect: Dialect) -> Located:
        assert dialect.service is not None
        path = request.path
        if dialect.name == "s3" and (bucket := bucket_of(request.host)):
            path = f"/{bucket}{path}"
        query = forms.multiple(request.query)
        found = self._routes(dialect.service).find(request.method, path, query, request.headers)
        if found is None and dialect.name == "s3":
            if request.method == "POST" and not query and path.count("/") == 1 + path.endswith("/"):
                message = "At least one of the pre-conditions you specified did not hold"
                condition = "Bucket POST must be of the enclosure-type multipart/form-data"
                raise AwsError("PreconditionFailed", message, status=412, fields={"Condition": condition})
            raise AwsError("MethodNotAllowed", "The specified method is not allowed against this resource.", status=405)
        if found is None:
            raise unknown_operation(dialect, "")
        if not all(map(_is_utf8, found[1].values())):
            if dialect.name == "s3":
                raise AwsError("InvalidURI", "Couldn't parse the specified URI.", fields={"URI": request.path[:1024]})
            raise AwsError("SerializationException", "The path is not UTF-8.")
        return Located(dialect, found[0], {}, found[1], query)

    def _target_service(self, target: str) -> str:
        name = self._by_target.get(target.partition(".")[0])
        return service_models.metadata(name).signs_as if name else target.partition(".")[0].partition("_")[0].lower()

    def _narrow(self, names: list[str], request: HttpRequest, target: str) -> str:
        """Choose between services that share a signing name, by target prefix or API version."""
        if target:
            return self._by_target.get(target.partition(".")[0], names[0])
        version = re.search(rb"(?:^|&)Version=([\d-]+)", request.body or request.query.encode())
        for name in names:
            if version and service_models.metadata(name).api_version == version[1].decode():
                return name
        return names[0]


_CREDENTIAL = re.compile(r"Credential=[^/,\s]{0,200}/\d{8}/[^/,\s]{0,100}/([^/,\s]{1,100})/aws4_request")  # Bounded: linear in time.
_QUERY_CREDENTIAL = re.compile(r"(?:^|&)X-Amz-Credential=([^&]*)")


def scope_of(request: HttpRequest) -> str:
    """The signing name in the request's credential scope; empty for a request that is not signed."""
    authorization = request.headers.get("authorization", "")
    if name := _signing_name(authorization.partition("Signature=")[0]) or _signing_name(authorization):
        return name
    match = _QUERY_CREDENTIAL.search(request.query)
    segments = unquote(match[1]).split("/") if match else []
    return segments[-2] if len(segments) >= 5 else ""


@functools.lru_cache(256)
def _signing_name(authorization: str) -> str:
    """The signing name in an Authorization header. Cached: without the signature the header is constant for a client and a day."""
    match = _CREDENTIAL.search(authorization)
    return match[1] if match else ""


def _is_utf8(label: str) -> bool:
    """Whether a decoded label was UTF-8 on the wire; other bytes were decoded to surrogates."""
    return label.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in label)


def _host_service(request: HttpRequest) -> str:
    """The service in an endpoint's host name: `ec2.us-east-1.amazonaws.com`."""
    labels = request.host.split(".")
    return labels[0] if len(labels) > 2 and not labels[0].isdigit() else ""


_BUCKET = re.compile(r"(?P<bucket>.+?)\.(?:s3[.-].+|localhost)|s3(?:[.-].*)?")


@functools.lru_cache(1024)
def bucket_of(host: str) -> str:
    """The bucket of a virtual-hosted S3 request (`photos.s3.us-east-1.amazonaws.com`, `photos.localhost`); empty if there is none."""
    match = _BUCKET.fullmatch(host)
    return (match["bucket"] or "") if match else ""


def _indicated_protocol(request: HttpRequest) -> str:
    """The protocol that the request's headers and query indicate."""
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return CBOR
    if "x-amz-target" in request.headers:
        return JSON
    if "Action=" in request.query or request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return QUERY
    return REST_JSON


def _protocol(request: HttpRequest, metadata: Metadata) -> str:
    """The protocol of a request to a service: the indicated one if the service has it, else the service's default."""
    indicated = _indicated_protocol(request)
    if indicated in metadata.all_protocols:
        return indicated
    return metadata.protocol


def _json_version(request: HttpRequest) -> str:
    return "1.1" if request.headers.get("content-type", "").startswith("application/x-amz-json-1.1") else "1.0"


def service_absent(name: str) -> AwsError:
    """The 501 answer for a service that the region does not have; an empty name where the request does not name one."""
    known = f"the service '{name}'" if name else "this service (the request is not signed and does not name one)"
    return AwsError("NotImplemented", f"zonal does not implement {known}; see docs/limits.md", status=501)


def unknown_operation(dialect: Dialect, name: str) -> AwsError:
    """The service's error for an operation that its model does not have."""
    if dialect.protocol == EC2:
        return AwsError("InvalidAction", f"The action {name} is not valid for this web service.")
    if dialect.protocol == QUERY:
        version = dialect.service.metadata.api_version if dialect.service else ""
        return AwsError("InvalidAction", f"Could not find operation {name} for version {version}")
    return AwsError("UnknownOperationException", "", status=400 if dialect.protocol == JSON else 404)


def _locate_query(request: HttpRequest, dialect: Dialect) -> Located:
    assert dialect.service is not None
    form = forms.read(request)
    name = form.pop("Action", "")
    version = form.pop("Version", dialect.service.metadata.api_version)
    if not name:
        raise AwsError("MissingAction", "The request is missing an action or a required parameter.")
    if version != dialect.service.metadata.api_version:
        service = dialect.service.metadata.service_id.lower()
        raise AwsError("NoSuchVersion", f"The requested version ({version}) of service {service} does not exist")
    operation = dialect.service.operation(name)
    if operation is None:
        raise unknown_operation(dialect, name)
    return Located(dialect, operation, form, {}, {})


def _rpc(dialect: Dialect, name: str) -> Located:
    assert dialect.service is not None
    operation = dialect.service.operation(name)
    if operation is None:
        raise unknown_operation(dialect, name)
    return Located(dialect, operation, {}, {}, {})


def _cbor_operation(path: str) -> str:
    match = re.search(r"/service/[^/]+/operation/([^/]+)/?$", path)
    return match[1] if match else ""
