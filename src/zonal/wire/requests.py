"""Parses a request's parameters into the shape that boto3 takes.

`parse` reads head and body by the operation's input shape; `validation` then checks the model's constraints as the service does.
For any invalid input it raises an `AwsError` with the service's own code and a 4xx status.
"""

from __future__ import annotations

import base64
import functools
import json
import zlib
from typing import Any, NamedTuple

from zonal.foundation.errors import AwsError
from zonal.wire import cbor, documents, forms, json_bodies, validation, xml
from zonal.wire.dispatch import CBOR, EC2, JSON, QUERY, REST_JSON, Located
from zonal.wire.http_messages import HttpRequest
from zonal.wire.scalars import Malformed, from_text
from zonal.wire.service_models import Shape


def parse(located: Located, request: HttpRequest) -> dict[str, Any]:
    """The parameters of a located request, validated by the model. Raises `AwsError`."""
    values = read(located, request)
    if located.operation.input is not None:
        validation.check(located, located.operation.input, values)
    return values


def read(located: Located, request: HttpRequest) -> dict[str, Any]:
    """The parameters of a located request, converted to their types but not validated. Raises `AwsError`."""
    shape = located.operation.input
    protocol = located.dialect.protocol
    try:
        if protocol in (QUERY, EC2):
            values = _parse_form(located)
        elif shape is None:
            return {}
        elif protocol == JSON:
            values = documents.reader(shape)(document(request.body))
        elif protocol == CBOR:
            values = documents.reader(shape, cbor=True)(_cbor(request.body))
        else:
            values = _parse_rest(located, request, shape)
    except Malformed as problem:
        raise validation.wrong_type(located, problem) from None
    except RecursionError:
        raise AwsError("SerializationException", "The request is nested too deeply.") from None
    return values


def _parse_form(located: Located) -> dict[str, Any]:
    values, unknown = forms.parse(located.operation.input, located.form, ec2=located.dialect.protocol == EC2)
    if unknown and located.dialect.protocol == EC2:
        raise AwsError("UnknownParameter", f"The parameter {unknown[0]} is not recognized")
    return values


def unpacked(request: HttpRequest, *, limit_bytes: int) -> bytes:
    """The body without its `Content-Encoding: gzip`, which CloudWatch's clients use for large bodies. Raises `AwsError`."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(request.body, limit_bytes)
    except zlib.error:
        raise AwsError("SerializationException", "The body is not gzip, as its Content-Encoding says") from None
    if not unpacker.eof:
        size = f"larger than {limit_bytes} bytes" if len(body) >= limit_bytes else "incomplete"
        raise AwsError("SerializationException", f"The unpacked body is {size}")
    return body


def document(raw: bytes) -> Any:
    """A decoded JSON body; an empty body is an empty object. Raises `AwsError` SerializationException."""
    if not raw:
        return {}
    try:
        return json_bodies.decode(raw)
    except json_bodies.NotJson:
        raise AwsError("SerializationException", "Unexpected token received from parser") from None


def _cbor(raw: bytes) -> Any:
    try:
        return cbor.decode(raw) if raw else {}
    except cbor.NotCbor as error:
        raise AwsError("SerializationException", str(error)) from None


def _parse_rest(located: Located, request: HttpRequest, shape: Shape) -> dict[str, Any]:
    values: dict[str, Any] = {}
    outside = _outside(shape)
    found = outside.always + (outside.queries if located.query else ())
    for name, member in (*found, *(outside.headers[header] for header in request.headers if header in outside.headers)):
        try:
            value = _from_head(name, member, located, request)
        except Malformed as problem:
            raise problem.under(name) from None
        if value is not None:
            values[name] = value
    if shape.payload is not None:
        member = shape.members[shape.payload]
        value = _payload(located, request, member)
        if value is not None:
            values[shape.payload] = value
    elif documents.body_members(shape):
        values |= _structured(located, request, shape) or {}
    return values


class _Outside(NamedTuple):
    """An input's members outside the body, grouped by location, because a request has only a few of some forty members."""

    always: tuple[tuple[str, Shape], ...]
    queries: tuple[tuple[str, Shape], ...]
    headers: dict[str, tuple[str, Shape]]


@functools.cache
def _outside(shape: Shape) -> _Outside:
    members = {name: member for name, member in shape.members.items() if member.location not in (None, "body")}
    headers = {(one.location_name or name).lower(): (name, one) for name, one in members.items() if one.location == "header"}
    queries = tuple((name, one) for name, one in members.items() if one.location == "querystring")
    always = tuple((name, one) for name, one in members.items() if one.location not in ("header", "querystring"))
    assert len(headers) + len(queries) + len(always) == len(members), f"{shape} has two members in one header"
    return _Outside(always, queries, headers)


def _payload(located: Located, request: HttpRequest, member: Shape) -> Any:
    """The member that is the whole body; None for an empty body."""
    if member.definition.eventstream:
        raise AwsError("NotImplemented", f"zonal does not accept event streams ({located.operation.name})", status=501)
    if member.type == "blob":
        if request.stream is not None:
            return request.stream
        return request.body or None
    if member.type == "string":
        return request.body.decode(errors="replace") if request.body else None
    return _structured(located, request, member)


def _structured(located: Located, request: HttpRequest, shape: Shape) -> Any:
    """A JSON or XML body by its shape; None for an empty body."""
    if not request.body.strip():
        return None
    if located.dialect.protocol == REST_JSON:
        return documents.reader(shape)(document(request.body))
    try:
        node = xml.tree(request.body)
    except xml.NotXml:
        raise _malformed_xml() from None
    expected = shape.location_name
    if expected and node.name != expected and shape is not located.operation.input:
        raise _malformed_xml()
    try:
        return xml.read(shape, node)
    except Malformed:
        raise _malformed_xml() from None


def _malformed_xml() -> AwsError:
    message = "The XML you provided was not well-formed or did not validate against our published schema"
    return AwsError("MalformedXML", message)


def _from_head(name: str, member: Shape, located: Located, request: HttpRequest) -> Any:
    """A member from the URI, the query string or the headers; None if it is absent."""
    wire_name = member.location_name or name
    if member.location == "uri":
        text = located.labels.get(wire_name)
        return None if text is None else from_text(member, text)
    if member.location == "querystring":
        return _from_query(member, wire_name, located)
    if member.location == "header":
        text = request.headers.get(wire_name.lower())
        return None if text is None else _from_header(member, text)
    if member.location == "headers":
        prefix = wire_name.lower()
        found = {key[len(prefix) :]: value for key, value in request.headers.items() if key.startswith(prefix)}
        return found or None
    return None


def _from_query(member: Shape, wire_name: str, located: Located) -> Any:
    query = located.query
    if member.type == "map":
        taken = _taken(located)
        rest = {key: values for key, values in query.items() if key not in taken}
        many = member.value.type == "list"
        return {key: values if many else values[0] for key, values in rest.items()} or None
    values = query.get(wire_name)
    if values is None:
        return None
    if member.type == "list":
        return [from_text(member.member, value) for value in values]
    return from_text(member, values[0])


def _taken(located: Located) -> set[str]:
    """The query's names that belong to other members or to the route."""
    shape = located.operation.input
    assert shape is not None
    names = {member.location_name or name for name, member in shape.members.items() if member.location == "querystring"}
    constants = located.operation.http.request_uri.partition("?")[2]
    return names | {word.partition("=")[0] for word in constants.split("&")}


def _from_header(member: Shape, text: str) -> Any:
    if member.jsonvalue:
        try:
            return json.loads(base64.b64decode(text, validate=True))
        except (ValueError, RecursionError):
            raise Malformed("", "the header is not base64 of JSON", text=text[:100], type="jsonvalue") from None
    if member.type == "list":
        return [from_text(member.member, word) for word in _header_list(member.member, text)]
    return from_text(member, text)


def _header_list(member: Shape, text: str) -> list[str]:
    """The elements of a header's list. Elements with commas are quoted; RFC 822 timestamps contain one comma."""
    items: list[str] = []
    letters: list[str] = []
    quoted, escaped = False, False
    for letter in text:
        if escaped:
            letters.append(letter)
            escaped = False
        elif letter == "\\" and quoted:
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            items.append("".join(letters).strip())
            letters.clear()
        else:
            letters.append(letter)
    items.append("".join(letters).strip())
    if member.type == "timestamp" and member.timestamp_format in (None, "rfc822"):
        return [f"{day}, {rest}" for day, rest in zip(items[::2], items[1::2], strict=False)]
    return items
