"""Rejects requests of foreign web pages, by `Host`, `Origin`, `Sec-Fetch-Site` and `Referer`.

The default access key is public, so any web page can sign requests with it and let a browser on this machine send them. Two rules reject
such requests. Ordinary clients send only `Host` of these headers, so only the first rule concerns them.

- `Host` must be a name of the region: a loopback address, `localhost` and its sub-names, AWS's own names for services, the address that
  the region listens on, or a name in the setting `allowed_hosts`. A name that a foreign page resolves to 127.0.0.1 (DNS
  rebinding) is not among them.
- A request that is signed with a well-known key must not come from a foreign page: its `Origin` must be the region's own or in the setting
  `allowed_origins`, and `Sec-Fetch-Site` either `same-origin` or `none`; `same-site` is what `http://localhost:3000` is to
  `http://localhost:4566`. If a browser sends neither (an image in a browser without Fetch Metadata), `Referer` must be the region's own.
  A bucket's CORS rules may allow an origin too. The user's own keys are not restricted, and S3's policies decide about unsigned
  requests.


(Fetch Metadata Request Headers, W3C; "Origin" and "Host": RFC 6454, RFC 9110.)
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from zonal.foundation.settings import Settings
from zonal.wire.http_messages import HttpRequest, HttpResponse

_AWS_SUFFIXES = ("amazonaws.com", "amazonaws.com.cn", "api.aws", "on.aws")
_OWN_SITES = ("same-origin", "none")
"""Values of `Sec-Fetch-Site` that no request of a foreign page has. Any other value, one that is not known yet included, is foreign."""


class OriginPolicy:
    """Decides from a request's headers whether its sender may send it."""

    def __init__(self, settings: Settings) -> None:
        self._well_known_keys = settings.well_known_keys()
        self._patterns = tuple(each.lower() for each in settings.allowed_hosts)
        self._origins = frozenset(each.lower().rstrip("/") for each in settings.allowed_origins)
        self._bind = settings.bind
        self.allows_host = functools.lru_cache(1024)(self._allows_host)

    def host_refusal(self, request: HttpRequest) -> str | None:
        """The reason to reject `Host`, or None for a name of the region or a request without the header (HTTP/1.0)."""
        header = request.headers.get("host")
        if not header or self.allows_host(header):
            return None
        return f"The host '{header[:100]}' is not a name of this region; the setting allowed_hosts can add it"

    def origin_refusal(
        self, request: HttpRequest, access_key: str, allowed: Callable[[HttpRequest, str], bool] | None = None
    ) -> str | None:
        """The reason to reject a request that is signed with this key (a foreign web page uses a well-known key), or None.

        `allowed` may allow an origin beyond the settings (a bucket's CORS rules).
        """
        headers = request.headers
        if "origin" not in headers and "sec-fetch-site" not in headers and "referer" not in headers:
            return None
        if access_key not in self._well_known_keys or not self.is_foreign(request):
            return None
        origin = source_of(request)
        if origin and (self.allows_origin(origin) or (allowed is not None and allowed(request, origin))):
            return None
        shown = f"of '{origin[:100]}'" if origin else "of another site"
        return f"A web page {shown} may not use a well-known access key; the setting allowed_origins can allow it"

    def is_foreign(self, request: HttpRequest) -> bool:
        """Whether the headers show that a page of another origin sent the request."""
        headers = request.headers
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and not _is_own(origin, request):
            return True
        if site is not None:
            return site.strip().lower() not in _OWN_SITES
        return origin is None and bool(headers.get("referer")) and not _is_own(source_of(request), request)

    def allows_origin(self, origin: str) -> bool:
        """Whether the setting `allowed_origins` contains this origin."""
        return origin.lower() in self._origins or "*" in self._origins

    def preflight(self, request: HttpRequest) -> HttpResponse | None:
        """The response to a CORS preflight from a page of an allowed origin; None for any other request."""
        headers = request.headers
        if (
            request.method != "OPTIONS"
            or "access-control-request-method" not in headers
            or not self.allows_origin(headers.get("origin", ""))
        ):
            return None
        allowed = [("Access-Control-Allow-Methods", headers["access-control-request-method"]), ("Access-Control-Max-Age", "600")]
        if requested := headers.get("access-control-request-headers"):
            allowed.append(("Access-Control-Allow-Headers", requested))
        return self.expose(request, HttpResponse(200, allowed, b""))

    def expose(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """The response with CORS headers, if it goes to a page of an allowed origin."""
        origin = request.headers.get("origin")
        if origin is None or not self.allows_origin(origin):
            return response
        if any(name.lower() == "access-control-allow-origin" for name, _ in response.headers):
            return response
        shown = [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", "*"), ("Vary", "Origin")]
        return response._replace(headers=[*response.headers, *shown])

    def _allows_host(self, header: str) -> bool:
        host = _host_name(header)
        if host is None:
            return False
        address = _address(host)
        if address is not None:
            return address.is_loopback or self._listens_on(address) or host in self._patterns or "*" in self._patterns
        if host == "localhost" or host.endswith(".localhost") or host == self._bind.lower() or _is_aws(host):
            return True
        return any(_matches(host, pattern) for pattern in self._patterns)

    def _listens_on(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        """Whether the region listens on this address, or on all. DNS rebinding cannot use an address, which is not resolved."""
        bound = _address(self._bind)
        return bound is not None and (bound == address or (bound.is_unspecified and bound.version == address.version))


def source_of(request: HttpRequest) -> str:
    """The origin of the page that sent a request, from its headers; empty if they do not contain it.

    For an image or a link a browser sends no `Origin`, but it may send `Referer`, which no page can forge.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        return origin.lower()
    try:
        page = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return ""
    return f"{page.scheme}://{page.netloc}".lower() if page.scheme and page.netloc else ""


def _is_own(origin: str, request: HttpRequest) -> bool:
    """Whether an origin is the address that the request was sent to."""
    scheme, mark, authority = origin.lower().partition("://")
    return bool(mark) and scheme in ("http", "https") and authority == request.headers.get("host", "").lower()


_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[^\[\]:/?#@,\s]+))(?::\d{0,5})?")


def _host_name(header: str) -> str | None:
    """The host of a `Host` header in lower case, without brackets, port and trailing dot; None if it is malformed."""
    match = _HOST.fullmatch(header.strip().lower())
    if match is None:
        return None
    return match["v6"] or match["name"].removesuffix(".")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_aws(host: str) -> bool:
    """Whether a name is one that AWS has for a service's endpoint, a bucket or a website."""
    return any(host.endswith(f".{suffix}") for suffix in _AWS_SUFFIXES)


def _matches(host: str, pattern: str) -> bool:
    """Whether a host is the pattern's: a name, `*.name` for every name below it, or `*`."""
    if pattern == "*":
        return True
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
