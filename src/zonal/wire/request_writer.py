"""Writes the request that a client would send, from parameters in the shape that boto3 takes.

`write` is the inverse of `requests.read`. The region uses it for calls that it makes itself, so that they pass the same parser and the
same checks as a client's. Values are not checked here beyond what is needed to write them: the parser reports the others.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from zonal.wire import documents, xml
from zonal.wire.dispatch import EC2, JSON, QUERY, REST_JSON, Dialect
from zonal.wire.http_messages import HttpRequest
from zonal.wire.responses import header_text
from zonal.wire.scalars import Malformed, real_text, timestamp_text
from zonal.wire.service_models import Operation, Shape

PEER = "127.0.0.1"


def write(dialect: Dialect, operation: Operation, parameters: Mapping[str, Any]) -> HttpRequest:
    """The request for an operation of the dialect's service. Raises `Malformed` for a value that its protocol cannot express."""
    assert dialect.service is not None
    metadata = dialect.service.metadata
    if dialect.protocol in (QUERY, EC2):
        pairs = {"Action": operation.name, "Version": metadata.api_version}
        if operation.input is not None:
            pairs |= _form_members(operation.input, parameters, "", ec2=dialect.protocol == EC2)
        headers = {"host": metadata.endpoint_prefix, "content-type": "application/x-www-form-urlencoded"}
        return HttpRequest("POST", "/", "", headers, urlencode(pairs).encode(), peer=PEER)
    if dialect.protocol == JSON:
        target = f"{metadata.target_prefix}.{operation.name}"
        content_type = f"application/x-amz-json-{metadata.json_version or '1.0'}"
        headers = {"host": metadata.endpoint_prefix, "x-amz-target": target, "content-type": content_type}
        return HttpRequest("POST", "/", "", headers, json_body(parameters), peer=PEER)
    return _write_rest(dialect, operation, parameters)


def json_body(parameters: Mapping[str, Any]) -> bytes:
    """A JSON body: bytes as base64, timestamps as seconds since 1970. Raises `Malformed`."""
    try:
        return msgspec.json.encode(_plain(parameters))
    except (TypeError, ValueError, OverflowError) as error:
        raise Malformed("", str(error)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.timestamp()
    return value


# Forms.


def _form_members(shape: Shape, values: Any, prefix: str, *, ec2: bool) -> dict[str, str]:
    """A structure's members as pairs of a form. An unknown member keeps its name, so that the parser reports it."""
    if not isinstance(values, Mapping):
        raise Malformed("", "Unexpected complex element termination")
    pairs: dict[str, str] = {}
    for name, value in values.items():
        if value is None:
            continue
        member = shape.members.get(name)
        try:
            if member is None:
                pairs[f"{prefix}{name}"] = str(value)
            else:
                pairs |= dict(_form_value(member, value, prefix + _form_name(member, name, ec2=ec2), ec2=ec2))
        except Malformed as problem:
            raise problem.under(name) from None
    return pairs


def _form_name(member: Shape, name: str, *, ec2: bool) -> str:
    """The name of a member in a form (the inverse of `forms`)."""
    if ec2:
        located = member.location_name
        return member.query_name or (located[0].upper() + located[1:] if located else name)
    if member.type == "list" and member.flattened and member.member.location_name:
        return member.member.location_name
    return member.location_name or name


def _form_value(shape: Shape, value: Any, name: str, *, ec2: bool) -> Iterator[tuple[str, str]]:
    if shape.type == "structure":
        yield from _form_members(shape, value, f"{name}.", ec2=ec2).items()
    elif shape.type == "list":
        if not isinstance(value, list | tuple):
            raise Malformed("", "Unexpected list element termination")
        if not value:
            yield name, ""
        element = name if ec2 or shape.flattened else f"{name}.{shape.member.location_name or 'member'}"
        for number, item in enumerate(value, 1):
            yield from _form_value(shape.member, item, f"{element}.{number}", ec2=ec2)
    elif shape.type == "map":
        if not isinstance(value, Mapping):
            raise Malformed("", "a map's entries have a key and a value")
        entry = name if shape.flattened else f"{name}.entry"
        for number, (key, item) in enumerate(value.items(), 1):
            yield f"{entry}.{number}.{shape.key.location_name or 'key'}", str(key)
            yield from _form_value(shape.value, item, f"{entry}.{number}.{shape.value.location_name or 'value'}", ec2=ec2)
    else:
        yield name, _scalar_text(shape, value, "iso8601")


def _scalar_text(shape: Shape, value: Any, timestamp_format: str) -> str:
    """A scalar as text. A value of another type is written as it is, so that the parser reports it."""
    if isinstance(value, Mapping | list | tuple):
        raise Malformed("", "Unexpected complex element termination")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return timestamp_text(value, shape.timestamp_format or timestamp_format)
    if isinstance(value, float):
        return real_text(value)
    if shape.type == "blob":
        return base64.b64encode(value if isinstance(value, bytes) else str(value).encode()).decode()
    return str(value)


# REST.


def _write_rest(dialect: Dialect, operation: Operation, parameters: Mapping[str, Any]) -> HttpRequest:
    assert dialect.service is not None
    path, _, constants = operation.http.request_uri.partition("?")
    query = [constants] if constants else []
    headers = {"host": dialect.service.metadata.endpoint_prefix}
    shape = operation.input
    members = dict(shape.members) if shape is not None else {}
    for name, member in members.items():
        value = parameters.get(name)
        if value is None and member.location == "uri":
            raise Malformed(name, "the parameter is required")
        if value is None:
            continue
        wire_name = member.location_name or name
        try:
            if member.location == "uri":
                path = _with_label(path, wire_name, _scalar_text(member, value, "iso8601"))
            elif member.location == "querystring":
                query.append(urlencode(_query_pairs(member, wire_name, value)))
            elif member.location == "header":
                headers[wire_name.lower()] = header_text(member, value)
            elif member.location == "headers":
                headers |= {f"{wire_name.lower()}{key.lower()}": str(text) for key, text in value.items()}
        except (AttributeError, TypeError):
            raise Malformed(name, f"a {type(value).__name__} is not allowed here") from None
    body, stream = _rest_body(dialect.protocol, shape, parameters) if shape is not None else (b"", None)
    if stream is None:
        headers["content-length"] = str(len(body))
    return HttpRequest(operation.http.method, path, "&".join(query), headers, body, stream, peer=PEER)


def _with_label(path: str, name: str, text: str) -> str:
    greedy = f"{{{name}+}}"
    return path.replace(greedy, quote(text, safe="/~")) if greedy in path else path.replace(f"{{{name}}}", quote(text, safe="~"))


def _query_pairs(member: Shape, wire_name: str, value: Any) -> list[tuple[str, str]]:
    if member.type == "map":
        return [(key, each) for key, values in value.items() for each in (values if isinstance(values, list) else [values])]
    if member.type == "list":
        return [(wire_name, _scalar_text(member.member, each, "iso8601")) for each in value]
    return [(wire_name, _scalar_text(member, value, "iso8601"))]


def _rest_body(protocol: str, shape: Shape, parameters: Mapping[str, Any]) -> tuple[bytes, AsyncIterator[bytes] | None]:
    """The body, as bytes or as a stream."""
    if shape.payload is not None:
        member, value = shape.members[shape.payload], parameters.get(shape.payload)
        if value is None:
            return b"", None
        if member.type in ("blob", "string"):
            if isinstance(value, str):
                return value.encode(), None
            return (bytes(value), None) if isinstance(value, bytes | bytearray) else (b"", value)
        return _structured(protocol, member, member.location_name or shape.payload, value), None
    given = {name: parameters[name] for name in documents.body_members(shape) if parameters.get(name) is not None}
    return (_structured(protocol, shape, shape.location_name or shape.name, given) if given else b""), None


def _structured(protocol: str, shape: Shape, name: str, value: Any) -> bytes:
    if protocol == REST_JSON:
        return json_body(value)
    out: list[str] = []
    try:
        xml.writer(shape, name)(out, value)
    except (AttributeError, TypeError, AssertionError):
        raise Malformed(name, "the value does not match its shape") from None
    return "".join(out).encode()
