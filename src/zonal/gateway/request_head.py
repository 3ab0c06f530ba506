"""The head of a request: its headers and target, and the response to a request that the gateway rejects by its head alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from zonal.foundation.identifiers import request_id
from zonal.gateway.body_stream import TOO_SLOW
from zonal.wire.http_messages import HttpResponse


def headers_of(fields: list[tuple[bytes, bytes]]) -> tuple[dict[str, str], int]:
    """The headers by name, repeated ones joined with commas, and their size in bytes."""
    headers: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    size = 0
    for name, value in fields:
        size += len(name) + len(value)
        key, text = _header_name(name), value.strip().decode("latin-1")
        if key in headers:
            repeated.setdefault(key, [headers[key]]).append(text)
        else:
            headers[key] = text
    for key, texts in repeated.items():
        headers[key] = ",".join(texts)
    return headers, size


@lru_cache(512)
def _header_name(name: bytes) -> str:
    return name.decode("latin-1").lower()


def target_of(url: bytes) -> tuple[str, str]:
    """The percent-encoded path and query of a request's target."""
    path, _, query = url.decode("latin-1").partition("?")
    if not path.startswith("/"):  # The form that proxies receive: http://host/path
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path, query


def is_for_s3(headers: Mapping[str, str]) -> bool:
    """Whether a request is probably for S3, which accepts unsigned requests."""
    signed = headers.get("authorization", "")
    by_another = signed.startswith("AWS4") and "/s3/" not in signed
    return not (by_another or "x-amz-target" in headers or "urlencoded" in headers.get("content-type", ""))


def refusal_of(headers: Mapping[str, str], status: int, code: str, message: str) -> HttpResponse:
    """The response to an invalid request: XML if it is probably for S3, else JSON."""
    if not is_for_s3(headers):
        body = f'{{"__type":"{code}","message":"{message}"}}'.encode()
        return HttpResponse(status, [("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-ErrorType", code)], body)
    if status == 408:
        status, message = 400, TOO_SLOW
    inside = f"<Code>{code}</Code><Message>{message}</Message><RequestId>{request_id()}</RequestId>"
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inside}</Error>'
    return HttpResponse(status, [("Content-Type", "application/xml")], xml.encode())
