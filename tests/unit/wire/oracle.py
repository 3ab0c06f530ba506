"""botocore as the client: it serialises the requests that zonal parses, and parses the responses that zonal renders.

`Values` makes a value for any shape from a seed: every member down to a depth, recursion ended where the model allows.
"""

from __future__ import annotations

import functools
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import botocore.awsrequest
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize

from zonal.wire.http_messages import HttpRequest, HttpResponse

DEPTH = 5
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
TEXT = LETTERS + " <>&\"'/+=%?ABCXYZäß€\n\t🌍"


@functools.cache
def model(service: str) -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model(service, "service-2"), service)


def request_of(operation: botocore.model.OperationModel, parameters: dict[str, Any], *, protocol: str | None = None) -> HttpRequest:
    """The request that botocore sends, with a credential scope that names the service."""
    service = operation.service_model
    protocol = protocol or service.resolved_protocol
    serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
    parts = serializer.serialize_to_request(parameters, operation)
    parts["context"] = {}
    botocore.awsrequest.prepare_request_dict(parts, "http://127.0.0.1:4566")
    prepared = botocore.awsrequest.create_request_object(parts).prepare()
    headers = {str(name).lower(): value.decode() if isinstance(value, bytes) else str(value) for name, value in prepared.headers.items()}
    signing_name = service.signing_name
    headers |= {"host": "127.0.0.1:4566", "authorization": f"AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/{signing_name}/aws4_request"}
    url = urlsplit(prepared.url)
    body = prepared.body or b""
    return HttpRequest(prepared.method, url.path or "/", url.query, headers, body.encode() if isinstance(body, str) else body)


def parsed(
    operation: botocore.model.OperationModel, response: HttpResponse, *, protocol: str | None = None, shape: Any = None
) -> dict[str, Any]:
    """The response as botocore parses it, without its metadata. With an error's `shape`, its modelled fields are included."""
    assert isinstance(response.body, bytes)
    headers = botocore.awsrequest.HeadersDict(dict(response.headers))
    message = {"body": response.body, "headers": headers, "status_code": response.status, "context": {}}
    parser = botocore.parsers.create_parser(protocol or operation.service_model.resolved_protocol)
    result: dict[str, Any] = parser.parse(message, shape or operation.output_shape)
    result.pop("ResponseMetadata", None)
    return result


class Values:
    """Generates values for shapes from a seed."""

    def __init__(self, seed: object, *, xml: bool) -> None:
        self._random = random.Random(f"{seed}")
        self._xml = xml

    def of(self, shape: Any, depth: int = 0, location: str | None = None) -> Any:
        kind = shape.type_name
        if kind == "structure":
            return self.structure(shape, depth)
        if kind == "list":
            items = [self.of(shape.member, depth + 1, location) for _ in range(self._random.randint(1, 2))]
            return [item for item in items if self._is_sent(item)]
        if kind == "map":
            where = "header" if location == "headers" else location
            values = {self.word(): self.of(shape.value, depth + 1, where) for _ in range(self._random.randint(1, 2))}
            return {key: value for key, value in values.items() if self._is_sent(value)}
        return self.scalar(shape, location)

    def structure(self, shape: Any, depth: int) -> Any:
        if shape.is_document_type:
            return {"any": ["thing", 1, None, True]}
        members = {name: member for name, member in shape.members.items() if self._ends(member, depth) and not _is_stream(member)}
        if shape.is_tagged_union:
            name = self._random.choice(sorted(members))
            return {name: self.of(members[name], depth + 1)}
        values = {}
        for name, member in members.items():
            is_body = name == shape.serialization.get("payload") and member.type_name in ("blob", "string")
            value = self.of(member, depth + 1, "body" if is_body else member.serialization.get("location"))
            if self._is_sent(value):
                values[name] = value
        return values

    def _is_sent(self, value: Any) -> bool:
        """In forms and XML an empty structure or list equals an absent one."""
        return not self._xml or value not in ({}, [])

    def scalar(self, shape: Any, location: str | None) -> Any:
        kind = shape.type_name
        if kind == "boolean":
            return self._random.random() < 0.5
        if location == "statusCode":
            return 200
        if kind in ("integer", "long"):
            return self._random.randint(-(2**31), 2**31 - 1) if kind == "integer" else self._random.randint(-(2**63), 2**63 - 1)
        if kind in ("float", "double"):
            return self._random.randint(-1000, 1000) / 4
        if kind == "timestamp":
            whole = location in ("header", "headers") or shape.serialization.get("timestampFormat") == "rfc822"
            return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self._random.randint(0, 10**9) * (1000 if whole else 1))
        if kind == "blob":
            return self.word().encode() if location else self._random.randbytes(self._random.randint(1, 40))
        if location in ("header", "headers", "uri"):
            return self.word()
        if shape.enum and self._random.random() < 0.5:
            return self._random.choice(shape.enum)
        return "".join(self._random.choices(TEXT, k=self._random.randint(1, 12))).strip() or "x"

    def word(self) -> str:
        return "w" + "".join(self._random.choices(LETTERS, k=self._random.randint(1, 8)))

    def _ends(self, shape: Any, depth: int) -> bool:
        """Whether a member is a scalar, or may be nested further."""
        return depth < DEPTH or shape.type_name not in ("structure", "list", "map")


def _is_stream(shape: Any) -> bool:
    return bool(shape.type_name == "structure" and shape.serialization.get("eventstream"))
