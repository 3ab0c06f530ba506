"""Which bucket and key a request's address means, for those who look before the gateway does."""

from __future__ import annotations

import functools
from urllib.parse import unquote

from zonal.wire.dispatch import bucket_of
from zonal.wire.http_messages import HttpRequest

WEBSITE_MARKS = (".s3-website.", ".s3-website-")


def bucket_and_key(request: HttpRequest) -> tuple[str, str]:
    """Bucket and key by path or by virtual host; empty where the address names none."""
    if bucket := bucket_of(request.host):
        return bucket, unquote(request.path[1:])
    name, _, key = _path(request).partition("/")
    return unquote(name), unquote(key)


def bucket_name(request: HttpRequest) -> str:
    """The bucket alone."""
    return bucket_of(request.host) or unquote(_path(request).partition("/")[0])


def _path(request: HttpRequest) -> str:
    return request.path[1:] if request.path.startswith("//") else request.path.lstrip("/")


@functools.lru_cache(maxsize=1024)
def website_of(host: str) -> str:
    """The bucket whose website a host is (`photos.s3-website.us-east-1.amazonaws.com`, `photos.s3-website.localhost`), else empty."""
    for mark in WEBSITE_MARKS:
        head, found, _ = host.partition(mark)
        if found and head:
            return head
    return ""
