"""Renders responses and errors in the service's protocol, by its model.

`render` writes a handler's result to status, headers and body as the output shape declares. `render_error` writes an `AwsError` in the
protocol's format: `<ErrorResponse>`, EC2's `<Response><Errors>`, JSON's `__type`, S3's bare `<Error>`. A result member that is not in the
model is a bug in a handler and fails an assertion. An error in the model has the model's status.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from zonal.foundation.errors import AwsError
from zonal.wire import cbor, documents, s3_xml, xml
from zonal.wire.dispatch import CBOR, EC2, JSON, QUERY, REST_JSON, REST_XML, Dialect, Located
from zonal.wire.http_messages import Body, FileBody, HttpRequest, HttpResponse, StreamBody
from zonal.wire.scalars import real_text, timestamp_text
from zonal.wire.service_models import ServiceModel, Shape

Headers = list[tuple[str, str]]

_XML_TYPE = "text/xml;charset=UTF-8"
_PROLOGUE = '<?xml version="1.0" encoding="UTF-8"?>\n'


def render(located: Located, result: Mapping[str, Any] | None, request_id: str) -> HttpResponse:
    """The response for a handler's result; None is a result without members."""
    result = result or {}
    protocol = located.dialect.protocol
    output = located.operation.output
    headers = _request_id_headers(located.dialect, request_id)
    if protocol in (QUERY, EC2):
        headers.append(("Content-Type", _XML_TYPE))
        return HttpResponse(200, headers, _query_body(located, output, result, request_id))
    if protocol == JSON:
        raw = msgspec.json.encode(documents.writer(output)(result)) if output else b"{}"
        return HttpResponse(200, _json_headers(located.dialect, headers, raw), raw)
    if protocol == CBOR:
        raw = cbor.encode(documents.writer(output, cbor=True)(result)) if output else b"\xa0"
        return HttpResponse(200, [*headers, ("smithy-protocol", "rpc-v2-cbor"), ("Content-Type", "application/cbor")], raw)
    return _render_rest(located, output, result, headers)


def render_document(dialect: Dialect, result: Any, request_id: str) -> HttpResponse:
    """The response for the result of a handler that returns documents: encoded JSON, plain values, or None for an empty body."""
    raw = result if isinstance(result, bytes) else b"" if result is None else msgspec.json.encode(result)
    return HttpResponse(200, _json_headers(dialect, _request_id_headers(dialect, request_id), raw), raw)


def _request_id_headers(dialect: Dialect, request_id: str) -> Headers:
    if dialect.name == "s3":
        return [("x-amz-request-id", request_id), ("x-amz-id-2", _host_id(request_id))]
    return [("x-amzn-RequestId", request_id)]


def _host_id(request_id: str) -> str:
    """S3's second request id (`x-amz-id-2`)."""
    return base64.b64encode(request_id.encode() * 2).decode()


def _query_body(located: Located, output: Shape | None, result: Mapping[str, Any], request_id: str) -> bytes:
    name = located.operation.name
    assert located.dialect.service is not None
    space = located.dialect.service.metadata.xml_namespace or ""
    out: list[str] = []
    if located.dialect.protocol == EC2:
        out.append(f'{_PROLOGUE}<{name}Response xmlns="{space.rstrip("/")}/"><requestId>{request_id}</requestId>')
        if output:
            xml.content_writer(output)(out, result)
        out.append(f"</{name}Response>")
        return "".join(out).encode()
    out.append(f'<{name}Response xmlns="{space}">')
    if output:
        wrapper = output.result_wrapper or f"{name}Result"
        out.append(f"<{wrapper}>")
        xml.content_writer(output)(out, result)
        out.append(f"</{wrapper}>")
    out.append(f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>")
    return "".join(out).encode()


def _json_headers(dialect: Dialect, headers: Headers, raw: bytes) -> Headers:
    headers.append(("Content-Type", f"application/x-amz-json-{dialect.json_version}"))
    if dialect.name == "dynamodb":  # Only DynamoDB sends a checksum, and its clients may check it.
        headers.append(("x-amz-crc32", str(zlib.crc32(raw))))
    return headers


def _render_rest(located: Located, output: Shape | None, result: Mapping[str, Any], headers: Headers) -> HttpResponse:
    status = located.operation.http.response_code
    if output is None:
        assert not result, f"{located.operation.name} answers without members, not with {sorted(result)}"
        return HttpResponse(status, headers, b"")
    for name, value in result.items():
        assert name in output.members, f"{output.name} has no member {name}"
        member = output.members[name]
        if value is None or member.location in (None, "body"):
            continue
        if member.location == "statusCode":
            status = int(value)
        elif member.location == "headers":
            headers += [(f"{member.location_name or ''}{key}", text) for key, text in value.items()]
        else:
            headers.append((member.location_name or name, header_text(member, value)))
    body, content_type = _rest_body(located.dialect.protocol, located.operation.name, output, result)
    if located.dialect.name == "s3" and content_type == "application/xml" and isinstance(body, bytes):
        body = s3_xml.with_s3_root(located.operation.name, body, result)
    if content_type and "content-type" not in [name.lower() for name, _ in headers]:
        headers.append(("Content-Type", content_type))
    return HttpResponse(status, headers, body)


def _rest_body(protocol: str, operation: str, output: Shape, result: Mapping[str, Any]) -> tuple[Body, str]:
    if output.payload is not None:
        member, value = output.members[output.payload], result.get(output.payload)
        if value is None:
            return b"", ""
        if isinstance(value, FileBody | StreamBody | bytes):
            return value, "application/octet-stream"
        if member.type == "string":
            return str(value).encode(), "text/plain"
        return _structured(protocol, member, member.location_name or output.payload, value)
    if not documents.body_members(output):
        return (b"{}", "application/json") if protocol == REST_JSON else (b"", "")
    name = s3_xml.ROOTS.get(operation) if protocol == REST_XML else None
    return _structured(protocol, output, name or output.location_name or f"{operation}Result", result)


def _structured(protocol: str, shape: Shape, name: str, value: Any) -> tuple[bytes, str]:
    if protocol == REST_JSON:
        return msgspec.json.encode(documents.writer(shape)(value)), "application/json"
    out = [_PROLOGUE]
    xml.writer(shape, name)(out, value)
    return "".join(out).encode(), "application/xml"


def header_text(member: Shape, value: Any) -> str:
    if member.jsonvalue:
        return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()
    if member.type == "list":
        return ",".join(header_text(member.member, item) for item in value)
    if member.type == "boolean":
        return "true" if value else "false"
    if isinstance(value, datetime):
        return timestamp_text(value, member.timestamp_format or "rfc822")
    if member.type in ("float", "double"):
        return real_text(value)
    return str(value)


def render_error(dialect: Dialect, error: AwsError, request_id: str, request: HttpRequest) -> HttpResponse:
    """An error as the service's protocol writes it."""
    shape = _error_shape(dialect, error)
    status = _error_status(shape, error)
    headers = [*_request_id_headers(dialect, request_id), *error.headers.items()]
    sender = "Receiver" if status >= 500 else "Sender"
    code = shape.error_code if shape else error.code
    if dialect.protocol == EC2:
        body = _ec2_error(code, error.message, request_id)
        return HttpResponse(status, [*headers, ("Content-Type", _XML_TYPE)], body)
    if dialect.protocol == REST_XML and dialect.name in ("s3", "s3control"):
        return HttpResponse(status, [*headers, ("Content-Type", "application/xml")], _s3_error(code, error, request_id))
    if dialect.protocol in (QUERY, REST_XML):
        body = _query_error(dialect.service, shape, code, error, sender, request_id)
        return HttpResponse(status, [*headers, ("Content-Type", _XML_TYPE)], body)
    return _document_error(dialect, shape, error, status, headers)


def resolved_error(dialect: Dialect, error: AwsError) -> AwsError:
    """The error with the code that botocore reports and the status that the model gives it."""
    shape = _error_shape(dialect, error)
    if shape is None:
        return error
    is_document = dialect.protocol in (JSON, CBOR, REST_JSON)
    code = shape.name if is_document else shape.error_code
    return AwsError(code, error.message, status=_error_status(shape, error), fields=error.fields, headers=error.headers)


def _error_shape(dialect: Dialect, error: AwsError) -> Shape | None:
    return dialect.service.errors.get(error.code) if dialect.service else None


def _error_status(shape: Shape | None, error: AwsError) -> int:
    known = shape.definition.error if shape else None
    return known.http_status_code if known else 500 if shape and shape.definition.fault else error.status


def _ec2_error(code: str, message: str, request_id: str) -> bytes:
    inside = f"<Code>{xml.escape(code)}</Code><Message>{xml.escape(message)}</Message>"
    return f"{_PROLOGUE}<Response><Errors><Error>{inside}</Error></Errors><RequestID>{request_id}</RequestID></Response>".encode()


def _query_error(service: ServiceModel | None, shape: Shape | None, code: str, error: AwsError, sender: str, request_id: str) -> bytes:
    space = service.metadata.xml_namespace if service else None
    out = [f'<ErrorResponse xmlns="{space}">' if space else "<ErrorResponse>"]
    out.append(f"<Error><Type>{sender}</Type><Code>{xml.escape(code)}</Code><Message>{xml.escape(error.message)}</Message>")
    _error_fields(out, shape, error.fields)
    out.append(f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>")
    return "".join(out).encode()


def _s3_error(code: str, error: AwsError, request_id: str) -> bytes:
    out = [f"{_PROLOGUE}<Error><Code>{xml.escape(code)}</Code><Message>{xml.escape(error.message)}</Message>"]
    _error_fields(out, None, error.fields)
    out.append(f"<RequestId>{request_id}</RequestId><HostId>{_host_id(request_id)}</HostId></Error>")
    return "".join(out).encode()


def _error_fields(out: list[str], shape: Shape | None, fields: Mapping[str, Any]) -> None:
    """Further members of an error: by the model's shape, else as plain elements (S3's errors are not in its model)."""
    if shape is not None:
        xml.content_writer(shape)(out, fields)
        return
    out += [f"<{name}>{xml.escape(str(value))}</{name}>" for name, value in fields.items()]


_DYNAMODB_NAMESPACES = {
    "ValidationException": "com.amazon.coral.validate#",
    "SerializationException": "com.amazon.coral.service#",
    "UnknownOperationException": "com.amazon.coral.service#",
    "UnrecognizedClientException": "com.amazon.coral.service#",
    "MissingAuthenticationTokenException": "com.amazon.coral.service#",
    "IncompleteSignatureException": "com.amazon.coral.service#",
    "InvalidSignatureException": "com.amazon.coral.service#",
    "AccessDeniedException": "com.amazon.coral.service#",
}


def _document_error(dialect: Dialect, shape: Shape | None, error: AwsError, status: int, headers: Headers) -> HttpResponse:
    name = shape.name if shape else error.code
    is_cbor = dialect.protocol == CBOR
    body: dict[str, Any] = documents.writer(shape, cbor=is_cbor)(error.fields) if shape else dict(error.fields)
    message = "Message" if shape and "Message" in shape.members else "message"
    if error.message or dialect.protocol == REST_JSON:
        body[message] = error.message
    if dialect.service and dialect.service.metadata.aws_query_compatible is not None:
        code = shape.error_code if shape else error.code
        headers.append(("x-amzn-query-error", f"{code};{'Receiver' if status >= 500 else 'Sender'}"))
    if is_cbor:
        raw = cbor.encode({"__type": name} | body)
        return HttpResponse(status, [*headers, ("smithy-protocol", "rpc-v2-cbor"), ("Content-Type", "application/cbor")], raw)
    if dialect.protocol == REST_JSON:
        headers += [("x-amzn-ErrorType", name), ("Content-Type", "application/json"), *_error_headers(shape, error.fields)]
        return HttpResponse(status, headers, msgspec.json.encode(body))
    if dialect.name in ("dynamodb", "dynamodbstreams"):
        space = _DYNAMODB_NAMESPACES.get(name, "com.amazonaws.dynamodb.v20120810#")
        if space.endswith(".service#") and message in body:
            body["Message"] = body.pop(message)  # The framework in front of DynamoDB writes `Message`.
        name = space + name
    raw = msgspec.json.encode({"__type": name} | body)
    return HttpResponse(status, _json_headers(dialect, headers, raw), raw)


def _error_headers(shape: Shape | None, fields: Mapping[str, Any]) -> Headers:
    if shape is None:
        return []
    located = {name: member for name, member in shape.members.items() if member.location == "header"}
    return [(member.location_name or name, header_text(member, fields[name])) for name, member in located.items() if name in fields]
