"""Finds the operation of a REST request from its method and URI.

A model gives each operation a method and a URI template (`/{Bucket}/{Key+}?uploads`), and several can match a request. An operation is a
candidate if the path matches and the request has the template's query constants and the query parameters and headers that its input
requires. (These distinguish UploadPart, PutObject and CopyObject. If the template has constants, a missing header is reported by
validation.) The candidate with the most requirements wins; a deprecated operation wins only if it is the only candidate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from zonal.wire.service_models import Operation, ServiceModel


class RestRoute(NamedTuple):
    """The compiled URI template of an operation.

    `labels` are the names of the path's groups, `constants` the template's query parameters with their values ("": any value).
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
        """The routes without query requirements: the candidates for a request without a query."""
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
        """The operation and its decoded labels (bytes that are not UTF-8 as surrogates), or None if no route matches."""
        for route in (self._routes if query else self._bare).get(method, ()):
            match = route.path.fullmatch(path)
            if match is None or not _has(route, query, headers):
                continue
            values = [unquote(text, errors="surrogateescape") for text in match.groups()]
            return route.operation, dict(zip(route.labels, values, strict=True))
        return None


def _has(route: RestRoute, query: Mapping[str, list[str]], headers: Mapping[str, str]) -> bool:
    """Whether a request meets the route's requirements. Plain loops, because each request is checked against many routes."""
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
    fixed = tuple((name, value) for name, _, value in (pair.partition("=") for pair in constants.split("&") if pair))
    queries, headers = _required(operation)
    weight = (not operation.is_deprecated, literals, len(fixed), len(queries) + len(headers))
    return RestRoute(operation, re.compile(pattern, re.DOTALL), labels, fixed, queries, headers, weight)


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
    """The template as a regular expression, the labels of its groups, and the number of its literal segments."""
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
