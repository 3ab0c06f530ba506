"""Signed requests as bytes, so that a test can send a part of a request or an invalid signature."""

from __future__ import annotations

from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

JSON_HEADERS = {"Content-Type": "application/x-amz-json-1.0"}


def signed_head(
    service: str,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    key: tuple[str, str] = ("test", "test"),
    host: str = "localhost:4566",
    length: int | None = None,
) -> bytes:
    """The head of a request with this body, signed for it. `length` replaces the body's length in Content-Length."""
    request: Any = AWSRequest(method, f"http://{host}{path}", headers=headers or {}, data=body)
    auth = S3SigV4Auth if service == "s3" else SigV4Auth
    auth(Credentials(*key), service, "us-east-1").add_auth(request)
    sent = {"Host": host, "Content-Length": str(len(body) if length is None else length)} | dict(request.headers.items())
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def dynamodb_head(operation: str, body: bytes, headers: dict[str, str] | None = None, **more: Any) -> bytes:
    """The head of a request to DynamoDB."""
    target = {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
    return signed_head("dynamodb", "POST", "/", body, JSON_HEADERS | target | (headers or {}), **more)
