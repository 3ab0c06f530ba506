"""One call of the AWS API, from a request to its answer.

A plain handler runs inside one store transaction, and its answer leaves only after the commit; an `async` one is awaited without. What
the caller did wrong is an `AwsError` in the service's protocol. What zonal did wrong is a 500 with a request id, whose traceback is logged
under that id and never shown. A store that cannot commit (a full disk) is a 503: nothing happened, and the caller may try again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from zonal.foundation.clock import Clock
from zonal.foundation.errors import AwsError, not_implemented
from zonal.foundation.identifiers import ACCOUNT, REGION, request_id
from zonal.foundation.settings import Settings
from zonal.gateway.connection import Connection, Connections
from zonal.records.store import Store, StoreUnavailable
from zonal.services.operation import Answer, Call, Handler
from zonal.wire import requests, responses, signing
from zonal.wire.messages import Request, Response, Signature
from zonal.wire.models import JSON, Catalogue, Dialect, Located

_log = logging.getLogger(__name__)

HEALTH = "/_zonal/health"
GRACE_SECONDS = 5.0


class Frontend(NamedTuple):
    """What a service wants of the gateway beyond its model.

    `streams` are operations whose body is handed over while it arrives (`call.raw.stream`). `anonymous` lets unsigned requests through to
    the handlers (`call.access_key` is None). `documents` hands over the decoded JSON of a request as it came, neither converted nor
    checked, and takes an answer's JSON, encoded or not, as it is (DynamoDB, which is called often and vets in words of its own). `accounts`
    lets keys of other accounts in, which only a service may that keeps accounts apart. `before` may answer a request itself, before
    anything else looks at it (CORS's preflights, websites, browsers' forms); `arriving` tells which of them it takes while their body
    arrives. `after` is shown every answer, errors too, and returns the one that is sent (CORS's headers).
    """

    streams: frozenset[str] = frozenset()
    anonymous: bool = False
    documents: bool = False
    accounts: bool = False
    arriving: Callable[[Request], bool] | None = None
    before: Callable[[Request], Awaitable[Response | None]] | None = None
    after: Callable[[Request, Response], Response] | None = None


_PLAIN = Frontend()
_ROUTES_KEPT = 1000


class _Route(NamedTuple):
    """An operation and who answers it; `waits` if it is an `async` handler."""

    located: Located
    handler: Handler
    waits: bool


class Gateway:
    """Answers AWS's API for the services it is given: for each, by botocore's name, its handlers by operation name."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        services: Mapping[str, Mapping[str, Handler]],
        *,
        frontends: Mapping[str, Frontend] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._services = services
        self._frontends = frontends or {}
        self._catalogue = Catalogue(services)
        self._verifier = signing.Verifier(settings.secrets(), REGION)
        self._account_of = settings.account_of()
        self._waiting = {each for handlers in services.values() for each in handlers.values() if inspect.iscoroutinefunction(each)}
        self._routes: dict[tuple[str, str], _Route] = {}
        """The ways that JSON requests took, by target and content type: the same few are gone by the thousand."""

    @asynccontextmanager
    async def serving(self, sockets: Iterable[socket.socket], *, grace_seconds: float = GRACE_SECONDS) -> AsyncIterator[None]:
        """Serve on listening sockets, which stay the caller's. On leaving, requests in hand have `grace_seconds` to end."""
        connections = Connections(self._settings, self.answer, self.streams)
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(lambda: Connection(connections), sock=each.dup()) for each in sockets]
        sweeper = loop.create_task(connections.sweep(), name="gateway sweeper")
        try:
            yield
        finally:
            sweeper.cancel()
            for server in servers:
                server.close()
            await connections.close(grace_seconds)

    async def answer(self, request: Request) -> Response:
        """The answer to one request. Never raises but for cancellation."""
        if request.path == HEALTH:
            return self._health()
        known = self._routes.get(_target(request))
        dialect = known.located.dialect if known else self._catalogue.recognise(request)
        frontend = self._frontends.get(dialect.name, _PLAIN)
        response = await self._answer(request, dialect, frontend, known)
        return frontend.after(request, response) if frontend.after else response

    async def _answer(self, request: Request, dialect: Dialect, frontend: Frontend, known: _Route | None) -> Response:
        identifier = request_id()
        try:
            if frontend.before and (answer := await frontend.before(request)):
                return answer
            request.signature = self._authenticate(request, dialect, frontend)
            if request.headers.get("content-encoding") == "gzip" and dialect.name != "s3":  # To S3 it says what an object is.
                request.body = requests.unpacked(request, limit_bytes=self._settings.body_limit_bytes)
            route = known or self._route(request, dialect)
            located = route.located
            parameters = requests.document(request.body) if frontend.documents else requests.parse(located, request)
            result = self._invoke(route, request, parameters, identifier)
            if route.waits:
                result = await result
            if frontend.documents:
                return responses.render_document(dialect, result, identifier)
            if isinstance(result, Answer):
                return _with_own(result, responses.render(located, result.members, identifier))
            return responses.render(located, result, identifier)
        except AwsError as error:
            return responses.render_error(dialect, error, identifier, request)
        except StoreUnavailable:
            _log.exception("request %s could not be made durable", identifier)
            message = "The request has failed because the region could not store it. Please try again."
            return responses.render_error(dialect, AwsError("ServiceUnavailable", message, status=503), identifier, request)
        except Exception:
            _log.exception("request %s (%s) failed", identifier, dialect.name)
            return responses.render_error(dialect, _internal(dialect), identifier, request)

    def streams(self, request: Request) -> bool:
        """Whether the body of this request, of which only the head is there, is handed over while it arrives."""
        if "x-amz-target" in request.headers:
            return False
        dialect = self._catalogue.recognise(request)
        frontend = self._frontends.get(dialect.name, _PLAIN)
        streams = frontend.streams
        if not streams:
            return False
        if frontend.arriving is not None and frontend.arriving(request):
            return True
        try:
            return self._catalogue.locate(request, dialect).operation.name in streams
        except AwsError:
            return False

    def _authenticate(self, request: Request, dialect: Dialect, frontend: Frontend) -> Signature | None:
        signature = self._verifier.verify(request, dialect, datetime.now(UTC))
        if signature is not None:
            if not frontend.accounts and self._account_of[signature.access_key] != ACCOUNT:
                raise signing.other_account(dialect)
            if request.stream is not None:
                request.stream = signing.checked(request.stream, signature)
            return signature
        if not frontend.anonymous:
            raise signing.missing(dialect)
        return None

    def _route(self, request: Request, dialect: Dialect) -> _Route:
        """The operation that is asked for, and its handler. Raises `AwsError`."""
        located = self._catalogue.locate(request, dialect)
        handler = self._services[dialect.name].get(located.operation.name)
        if handler is None:
            raise not_implemented(dialect.name, located.operation.name)
        route = _Route(located, handler, handler in self._waiting)
        assert dialect.service is not None, "who has a handler is owned"
        target = _target(request)
        if dialect.protocol == JSON and target[0].partition(".")[0] == dialect.service.metadata.target_prefix:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            self._routes[target] = route
        return route

    def _invoke(self, route: _Route, request: Request, parameters: dict[str, Any], identifier: str) -> Any:
        """What a plain handler answers, once its transaction is committed; of an `async` one the coroutine."""
        service, name = route.located.dialect.name, route.located.operation.name
        access_key = request.signature.access_key if request.signature else None
        account = self._account_of[access_key] if access_key else ACCOUNT
        now = self._clock.now()
        if route.waits:
            return route.handler(Call(service, name, None, now, identifier, access_key, account, raw=request), parameters)  # type: ignore[arg-type]
        with self._store.transaction() as transaction:
            return route.handler(Call(service, name, transaction, now, identifier, access_key, account, raw=request), parameters)

    def _health(self) -> Response:
        body = {"status": "running", "region": REGION, "services": sorted(self._services)}
        return Response(200, [("Content-Type", "application/json")], msgspec.json.encode(body))


def _with_own(answer: Answer, response: Response) -> Response:
    """The response with the status and the headers that a handler gave itself, in place of the model's."""
    headers = response.headers
    if answer.headers:
        own = {name.lower() for name, _ in answer.headers}
        headers = [each for each in headers if each[0].lower() not in own]
        headers += answer.headers
    return Response(answer.status or response.status, headers, response.body)


def _target(request: Request) -> tuple[str, str]:
    """What a JSON request is recognised by; of others nothing that is kept."""
    return request.headers.get("x-amz-target", ""), request.headers.get("content-type", "")


def _internal(dialect: Dialect) -> AwsError:
    """What AWS answers where it is at fault itself."""
    if dialect.name == "s3":
        return AwsError("InternalError", "We encountered an internal error. Please try again.", status=500)
    if dialect.name == "ec2":
        return AwsError("InternalError", "An internal error has occurred", status=500)
    if dialect.name == "dynamodb":
        return AwsError("InternalServerError", "Internal server error", status=500)
    return AwsError("InternalFailure", "The request processing has failed because of an unknown error, exception or failure.", status=500)
