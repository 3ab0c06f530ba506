"""REST: which operation a method and a URI mean.

A model gives each operation a method and a template (`/{Bucket}/{Key+}?uploads`). Several may match one request: an operation is a
candidate when the path fits, the template's query constants are there, and so are the query parameters and headers that its input
requires (that tells UploadPart from PutObject, and CopyObject from both; where constants have told already, a header that lacks is for
the operation to miss). The candidate that asks for most wins, and a deprecated one only
where nothing else does (S3 has two of some).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from zonal.wire.service_models import Operation, ServiceModel


class RestRoute(NamedTuple):
    """An operation's way in.

    `labels` name the path's groups in turn, `constants` are the template's query words with their values ("": only has to be there).
    """

    operation: Operation
    path: re.Pattern[str]
    labels: tuple[str, ...]
    constants: tuple[tuple[str, str], ...]
    queries: tuple[str, ...]
    headers: tuple[str, ...]
    weight: tuple[bool, int, int, int]


class RestRoutes:
    """All routes of one REST service."""

    def __init__(self, service: ServiceModel) -> None:
        self._routes: dict[str, list[RestRoute]] = {}
        self._bare: dict[str, list[RestRoute]] = {}
        """Those that ask for nothing in the query: the only ones for a request without one."""
        for name in service.operation_names:
            operation = service.operation(name)
            assert operation is not None
            self._routes.setdefault(operation.http.method, []).append(_route(operation))
        for routes in self._routes.values():
            routes.sort(key=lambda route: route.weight, reverse=True)
        for method, routes in self._routes.items():
            self._bare[method] = [route for route in routes if not route.constants and not route.queries]

    def find(
        self, method: str, path: str, query: Mapping[str, list[str]], headers: Mapping[str, str]
    ) -> tuple[Operation, dict[str, str]] | None:
        """The operation and its labels (decoded; what is not UTF-8 as surrogates), or None where nothing fits."""
        for route in (self._routes if query else self._bare).get(method, ()):
            match = route.path.fullmatch(path)
            if match is None or not _has(route, query, headers):
                continue
            values = [unquote(text, errors="surrogateescape") for text in match.groups()]
            return route.operation, dict(zip(route.labels, values, strict=True))
        return None


def _has(route: RestRoute, query: Mapping[str, list[str]], headers: Mapping[str, str]) -> bool:
    """Whether all is there that the route asks for. Loops, since most routes ask for little and each request tries many."""
    for name, value in route.constants:
        if name not in query or (value and value not in query[name]):
            return False
    for name in route.queries:
        if name not in query:
            return False
    if not route.constants:
        for name in route.headers:
            if name not in headers:
                return False
    return True


def _route(operation: Operation) -> RestRoute:
    path, _, constants = operation.http.request_uri.partition("?")
    pattern, labels, literals = _pattern(path)
    wanted = tuple((name, value) for name, _, value in (word.partition("=") for word in constants.split("&") if word))
    queries, headers = _required(operation)
    weight = (not operation.is_deprecated, literals, len(wanted), len(queries) + len(headers))
    return RestRoute(operation, re.compile(pattern, re.DOTALL), labels, wanted, queries, headers, weight)


def _required(operation: Operation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    queries, headers = [], []
    if operation.input is not None:
        for name in operation.input.definition.required:
            member = operation.input.members[name]
            if member.location == "querystring":
                queries.append(member.location_name or name)
            elif member.location == "header":
                headers.append((member.location_name or name).lower())
    return tuple(queries), tuple(headers)


def _pattern(template: str) -> tuple[str, tuple[str, ...], int]:
    """The template as a regular expression, the labels that are its groups in turn, and how many of its segments are literal."""
    parts, literals = [], 0
    labels = tuple(label.strip("+") for label in re.findall(r"\{([^}]+)\}", template))
    for segment in template.strip("/").split("/"):
        if not segment.startswith("{"):
            literals += bool(segment)
        parts.append("".join(_piece(piece) for piece in re.split(r"(\{[^}]+\})", segment) if piece))
    return "/" + "/".join(parts) + ("/?" if parts != [""] else ""), labels, literals


def _piece(piece: str) -> str:
    if not piece.startswith("{"):
        return re.escape(piece)
    return "(.+)" if piece.endswith("+}") else "([^/]+)"
