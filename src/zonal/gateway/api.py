"""Answers one HTTP request of AWS's API.

Checks that need only the head come first: the host and the origin (`wire.origin_policy`), the signature, the key's account, the service's
own authorisation. Then a body that did not arrive with its head is read, up to the operation's limit (`body_limits`), counted in the budget
(`body_budget`) and hashed while it arrives. A large body is parsed in a thread. The `Invoker` then runs the operation, and its result or
`AwsError` is rendered in the service's protocol.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import REGION, request_id
from zonal.foundation.settings import Settings
from zonal.gateway import body_limits
from zonal.gateway.body_budget import DOCUMENT_SHARE, STREAMED, BodyBudget, share_of, too_many_bodies
from zonal.gateway.body_pace import BodyPace
from zonal.gateway.body_stream import too_slow
from zonal.gateway.connection import HttpConnection, HttpConnections
from zonal.services.invocation import Caller, Invoker, ResolvedOperation, as_aws_error
from zonal.services.operation import HandlerResponse
from zonal.services.service import ServiceOptions
from zonal.wire import requests, responses, signing
from zonal.wire.dispatch import CBOR, EC2, JSON, QUERY, Dialect
from zonal.wire.http_messages import HttpRequest, HttpResponse, Signature
from zonal.wire.origin_policy import OriginPolicy

_log = logging.getLogger(__name__)

HEALTH = "/_zonal/health"
GRACE_SECONDS = 5.0
OFF_LOOP_BYTES = 32 * 1024
"""Bodies larger than this are parsed in a thread. A smaller one takes less than a millisecond, which a switch of threads costs too."""
PARSER_THREADS = 1
"""More threads would not parse faster, because they share the interpreter lock with the event loop."""


_OPERATIONS_CACHED = 1000
ANONYMOUS = Caller()


class Gateway:
    """Serves AWS's API over HTTP for the services of an `Invoker`."""

    def __init__(self, settings: Settings, invoker: Invoker) -> None:
        self._settings = settings
        self._invoker = invoker
        self._catalog = invoker.catalog
        self._verifier = signing.Verifier(settings.secrets(), REGION)
        self._origins = OriginPolicy(settings)
        self.body_budget = BodyBudget(settings.body_budget_bytes)
        self._parsers = ThreadPoolExecutor(PARSER_THREADS, thread_name_prefix="gateway parser")
        self._callers = {key: Caller(key, account) for key, account in settings.account_of().items()}
        self._operations: dict[tuple[str, str], ResolvedOperation] = {}
        """Cache of resolved JSON operations, keyed by X-Amz-Target and Content-Type."""

    @asynccontextmanager
    async def serving(self, sockets: Iterable[socket.socket], *, grace_seconds: float = GRACE_SECONDS) -> AsyncIterator[None]:
        """Serve on listening sockets, which the caller closes. On leaving, requests in progress have `grace_seconds` to finish."""
        connections = HttpConnections(self._settings, self.answer, self.body_budget)
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(lambda: HttpConnection(connections), sock=each.dup()) for each in sockets]
        sweeper = loop.create_task(connections.sweep(), name="gateway sweeper")
        try:
            yield
        finally:
            sweeper.cancel()
            for server in servers:
                server.close()
            await connections.close(grace_seconds)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """The response to one request. Raises nothing but `CancelledError`."""
        if request.path == HEALTH and self._origins.host_refusal(request) is None:
            return self._health()
        known = self._operations.get(_target(request))
        dialect = known.located.dialect if known else self._catalog.recognise(request)
        options = known.options if known else self._invoker.options_of(dialect.name)
        response = await self._answer(request, dialect, options, known)
        if options.decorate:
            response = options.decorate(request, response)
        return self._origins.expose(request, response) if "origin" in request.headers else response

    async def _answer(
        self, request: HttpRequest, dialect: Dialect, options: ServiceOptions, known: ResolvedOperation | None
    ) -> HttpResponse:
        identifier = request_id()
        held_bytes = 0
        try:
            if refusal := self._origins.host_refusal(request):
                raise signing.access_denied(dialect, refusal)
            if request.method == "OPTIONS" and (preflight := self._origins.preflight(request)):
                return preflight
            if options.intercept and (answer := await options.intercept(request)):
                return answer
            if request.stream is not None:
                held_bytes = await self._take_body(request, dialect, options)
                dialect = known.located.dialect if known else self._catalog.recognise(request)  # A form's version is in the body.
            if request.signature is None:
                request.signature = self._authenticate(request, dialect, options)
            if request.headers.get("content-encoding") == "gzip" and dialect.name != "s3":  # In S3 it describes the object.
                held_bytes += await self._unpack(request, dialect, known)
            if options.authorize and request.body and request.stream is None:
                known = self._authorized(request, dialect, identifier)
            if len(request.body) > OFF_LOOP_BYTES:
                loop = asyncio.get_running_loop()
                route, parameters = await loop.run_in_executor(self._parsers, self._read, request, dialect, known)
            else:
                route, parameters = self._read(request, dialect, known)
            result = self._invoker.run(route, self._caller(request), request, parameters, identifier)
            if route.is_async:
                result = await result
            if options.documents:
                return responses.render_document(dialect, result, identifier)
            located = route.located
            if isinstance(result, HandlerResponse):
                return _with_own(result, responses.render(located, result.members, identifier))
            return responses.render(located, result, identifier)
        except AwsError as error:
            return responses.render_error(dialect, error, identifier, request)
        except Exception as error:
            return responses.render_error(dialect, as_aws_error(error, dialect.name, identifier), identifier, request)
        finally:
            if held_bytes:
                self.body_budget.release(held_bytes)

    # Authentication and authorisation.

    def _authenticate(self, request: HttpRequest, dialect: Dialect, options: ServiceOptions) -> Signature | None:
        signature = self._verifier.verify(request, dialect, datetime.now(UTC))
        self._check_key(request, signature.access_key if signature else None, dialect, options)
        if signature is not None and request.stream is not None:
            request.stream = signing.checked(request.stream, signature)
        return signature

    def _check_key(self, request: HttpRequest, access_key: str | None, dialect: Dialect, options: ServiceOptions) -> None:
        """Raises `AwsError` where the holder of this key may not use the service, or not from a page of this origin."""
        self._invoker.check_caller(dialect, options, self._callers[access_key] if access_key else ANONYMOUS)
        if access_key is None:
            return

        def allows(request: HttpRequest, origin: str) -> bool:
            located = self._catalog.locate(request, dialect)
            return options.allows_origin is not None and options.allows_origin(request, origin, located.operation)

        if refusal := self._origins.origin_refusal(request, access_key, allows if options.allows_origin else None):
            raise signing.access_denied(dialect, refusal)

    def _caller(self, request: HttpRequest) -> Caller:
        return self._callers[request.signature.access_key] if request.signature else ANONYMOUS

    def _authorized(self, request: HttpRequest, dialect: Dialect, identifier: str) -> ResolvedOperation:
        """The operation of a request whose caller may make the call as far as its head shows. Raises `AwsError`."""
        route = self._route(request, dialect)
        self._invoker.authorize_head(route, self._caller(request), request, identifier)
        return route

    # Bodies.

    async def _take_body(self, request: HttpRequest, dialect: Dialect, options: ServiceOptions) -> int:
        """Check a request by its head, then read its body unless the operation streams.

        Returns the number of bytes that the budget counts. Raises `AwsError`.
        """
        assert request.stream is not None
        if dialect.name == "s3":  # Its whole signature is in the head.
            request.signature = self._authenticate(request, dialect, options)
        else:
            self._check_key(request, self._verifier.check_head(request, dialect, datetime.now(UTC)), dialect, options)
        operation = ""
        if dialect.protocol not in (QUERY, EC2):  # A form's operation is in the body.
            route = self._route(request, dialect)
            operation = route.located.operation.name
            if operation in options.streams:
                return 0
            if options.authorize:
                self._authorized(request, dialect, "")
        return await self._gather(request, dialect, self._limit(dialect, operation))

    def _limit(self, dialect: Dialect, operation: str) -> int:
        most = min(self._settings.body_limit_bytes, self.body_budget.limit_bytes // DOCUMENT_SHARE)
        return min(body_limits.limit_of(dialect.name, operation), most)

    async def _gather(self, request: HttpRequest, dialect: Dialect, limit_bytes: int) -> int:
        """Read a streamed body and compute its hash. Returns its size in bytes. Raises `AwsError`."""
        assert request.stream is not None
        if int(request.headers.get("content-length", "0")) > limit_bytes:
            raise _too_large(dialect, limit_bytes)
        body = bytearray()  # Not a list of pieces: each may be small, and takes more memory than its content.
        size, digest = 0, hashlib.sha256()
        is_verified = request.signature is not None or dialect.name == "s3"
        loop = asyncio.get_running_loop()
        pace = BodyPace(loop.time(), self._settings.request_timeout_seconds)
        try:
            async for piece in request.stream:
                if size + len(piece) > limit_bytes:
                    raise _too_large(dialect, limit_bytes)
                if not self.body_budget.reserve(len(piece), share_of(is_verified=is_verified, size_bytes=size + len(piece))):
                    raise too_many_bodies(dialect.name)
                size += len(piece)
                body += piece
                digest.update(piece)
                if pace.is_too_slow(loop.time(), size):
                    raise too_slow()
            request.body, request.payload_hash, request.stream = bytes(body), digest.hexdigest(), None
        except BaseException as error:
            self.body_budget.release(size)
            body.clear()  # Break the reference cycle: the error's traceback refers to it, and the stream to the error.
            if isinstance(error, AwsError) and error.code == "RequestTimeout" and dialect.name != "s3":
                raise AwsError(error.code, "The request did not arrive in time", status=408) from None
            raise
        return size

    async def _unpack(self, request: HttpRequest, dialect: Dialect, known: ResolvedOperation | None) -> int:
        """Decompress a gzip body. Returns the number of bytes that the budget counts in addition. Raises `AwsError`."""
        limit = self._limit(dialect, known.located.operation.name if known else "")
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self._parsers, lambda: requests.unpacked(request, limit_bytes=limit))
        if not self.body_budget.reserve(len(body), STREAMED):
            raise too_many_bodies(dialect.name)
        request.body = body
        return len(body)

    def _read(self, request: HttpRequest, dialect: Dialect, known: ResolvedOperation | None) -> tuple[ResolvedOperation, Any]:
        """The request's operation and parameters; called in a thread for a large body. Raises `AwsError`."""
        route = known or self._route(request, dialect)
        return route, self._invoker.read(route, request)

    def _route(self, request: HttpRequest, dialect: Dialect) -> ResolvedOperation:
        """The request's operation and its handler. Raises `AwsError`."""
        route = self._invoker.resolve(request, dialect)
        assert dialect.service is not None, "a service with a handler has a model"
        target = _target(request)
        if dialect.protocol == JSON and target[0].partition(".")[0] == dialect.service.metadata.target_prefix:
            if len(self._operations) >= _OPERATIONS_CACHED:
                self._operations.clear()
            self._operations[target] = route
        return route

    def _health(self) -> HttpResponse:
        body = {"status": "running", "region": REGION, "services": sorted(self._invoker.services)}
        return HttpResponse(200, [("Content-Type", "application/json")], msgspec.json.encode(body))


def _with_own(result: HandlerResponse, response: HttpResponse) -> HttpResponse:
    """The response with the handler's own status and headers instead of the model's."""
    headers = response.headers
    if result.headers:
        own = {name.lower() for name, _ in result.headers}
        headers = [each for each in headers if each[0].lower() not in own]
        headers += result.headers
    return HttpResponse(result.status or response.status, headers, response.body)


def _target(request: HttpRequest) -> tuple[str, str]:
    """The key of a JSON request in the cache of resolved operations."""
    return request.headers.get("x-amz-target", ""), request.headers.get("content-type", "")


def _too_large(dialect: Dialect, limit_bytes: int) -> AwsError:
    """The error for a document that exceeds its operation's limit."""
    if dialect.name == "s3":
        fields = {"MaxMessageLengthBytes": limit_bytes}
        return AwsError("MaxMessageLengthExceeded", "Your request was too big.", fields=fields)
    if dialect.protocol in (JSON, CBOR):
        return AwsError("RequestEntityTooLarge", f"The request is larger than {limit_bytes} bytes", status=413)
    return AwsError("RequestEntityTooLarge", f"The body is larger than {limit_bytes} bytes", status=413)
