"""Bucket and key of a request's URL, for code that runs before the gateway parses the request."""

from __future__ import annotations

import functools
from urllib.parse import unquote

from zonal.wire.dispatch import bucket_of
from zonal.wire.http_messages import HttpRequest

WEBSITE_MARKS = (".s3-website.", ".s3-website-")


def bucket_and_key(request: HttpRequest) -> tuple[str, str]:
    """Bucket and key, path-style or virtual-hosted-style; empty if the URL has none."""
    if bucket := bucket_of(request.host):
        return bucket, unquote(request.path[1:])
    name, _, key = _path(request).partition("/")
    return unquote(name), unquote(key)


def bucket_name(request: HttpRequest) -> str:
    """The bucket of a request's URL; empty if it has none."""
    return bucket_of(request.host) or unquote(_path(request).partition("/")[0])


def _path(request: HttpRequest) -> str:
    return request.path[1:] if request.path.startswith("//") else request.path.lstrip("/")


@functools.lru_cache(maxsize=1024)
def website_of(host: str) -> str:
    """The bucket of a website host (`photos.s3-website.us-east-1.amazonaws.com`, `photos.s3-website.localhost`); empty for other hosts."""
    for mark in WEBSITE_MARKS:
        head, found, _ = host.partition(mark)
        if found and head:
            return head
    return ""
