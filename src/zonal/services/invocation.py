"""The one way to call an operation: the `Invoker` resolves, checks, authorises and runs it.

The gateway calls it with what it read off a socket; parts of the region that act for a caller (a stack, a console) call `invoke` with
parameters in boto3's shape. Both take the same steps:

    check_caller → resolve → authorize_head → read (parse, then validate by botocore's model) → run

`run` calls a control-plane handler inside one store transaction, and its answer is returned after the commit; the coroutine of an `async`
handler is returned for the caller to await. Errors leave as `AwsError`: what the caller did wrong as the handler raised it, a store that
cannot commit as a 503, and an error of zonal's own as a 500, whose traceback is logged under the request id and never shown.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from zonal.foundation.clock import Clock
from zonal.foundation.errors import AwsError, not_implemented
from zonal.foundation.identifiers import ACCOUNT, request_id
from zonal.records.store import Store, StoreUnavailable
from zonal.services.operation import Call, ControlCall, Handler, HandlerResponse
from zonal.services.service import Service, ServiceOptions
from zonal.wire import documents, request_writer, requests, responses, service_models, signing, validation
from zonal.wire.dispatch import Dialect, Located, ServiceCatalog, service_absent, unknown_operation
from zonal.wire.http_messages import HttpRequest
from zonal.wire.scalars import Malformed, from_text

_log = logging.getLogger(__name__)
_PLAIN = ServiceOptions()


class Caller(NamedTuple):
    """Who calls an operation. `access_key` is None for an anonymous caller."""

    access_key: str | None = None
    account: str = ACCOUNT


class ResolvedOperation(NamedTuple):
    """An operation with its handler, which is `async` if `is_async`."""

    located: Located
    options: ServiceOptions
    handler: Handler
    is_async: bool


Authorizer = Callable[[Call, Any], None]
"""Called with each call and its parameters before the handler; raises `AwsError` where the caller lacks a permission."""


class Invoker:
    """Calls the operations of the region's services.

    `authorizer` is the one place for permissions of all services (IAM); None permits every call of an accepted caller. Checks of single
    resources, such as S3's bucket policies, belong to the services.
    """

    def __init__(self, services: Iterable[Service], store: Store, clock: Clock, *, authorizer: Authorizer | None = None) -> None:
        self.services: Mapping[str, Service] = {each.name: each for each in services}
        self.catalog = ServiceCatalog(self.services)
        self._store = store
        self._clock = clock
        self._authorizer = authorizer
        self._async = {
            handler for each in self.services.values() for handler in each.handlers.values() if inspect.iscoroutinefunction(handler)
        }

    async def invoke(self, caller: Caller, service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation, by botocore's names, with parameters in boto3's shape. Returns the response's members in that shape.

        A streamed `Body` is returned as `wire.http_messages.Body`, and the caller closes its file. Raises `AwsError` with the code and
        status that an HTTP client gets for the same call.
        """
        identifier = request_id()
        dialect = self._dialect(service)
        try:
            model = dialect.service.operation(operation) if dialect.service else None
            if model is None:
                raise unknown_operation(dialect, operation)
            try:
                request = request_writer.write(dialect, model, parameters)
            except Malformed as problem:
                raise validation.wrong_type(Located(dialect, model, {}, {}, {}), problem) from None
            self.check_caller(dialect, self.options_of(service), caller)
            resolved = self.resolve(request, dialect)
            if request.body:
                self.authorize_head(resolved, caller, request, identifier)
            given = self.read(resolved, request)
            result = self.run(resolved, caller, request, given, identifier)
            return _members(resolved, await result if resolved.is_async else result)
        except Exception as error:
            raise responses.resolved_error(dialect, as_aws_error(error, dialect.name, identifier)) from error

    def options_of(self, service: str) -> ServiceOptions:
        """The options of a service; the defaults for one that the region does not have."""
        found = self.services.get(service)
        return found.options if found is not None else _PLAIN

    def check_caller(self, dialect: Dialect, options: ServiceOptions, caller: Caller) -> None:
        """Raises `AwsError` where a service with these options does not accept anonymous callers, or keys of this account."""
        if caller.access_key is None:
            if not options.anonymous:
                raise signing.missing(dialect)
        elif not options.accounts and caller.account != ACCOUNT:
            raise signing.other_account(dialect)

    def resolve(self, request: HttpRequest, dialect: Dialect) -> ResolvedOperation:
        """The operation that a request names, and its handler. Raises `AwsError`, 501 for an operation that is not built."""
        located = self.catalog.locate(request, dialect)
        service = self.services[dialect.name]
        handler = service.handlers.get(located.operation.name)
        if handler is None:
            raise not_implemented(dialect.name, located.operation.name)
        return ResolvedOperation(located, service.options, handler, handler in self._async)

    def read(self, resolved: ResolvedOperation, request: HttpRequest) -> Any:
        """The request's parameters, validated by the model unless its service takes documents. Raises `AwsError`. Runs in any thread."""
        return requests.document(request.body) if resolved.options.documents else requests.parse(resolved.located, request)

    def authorize_head(self, resolved: ResolvedOperation, caller: Caller, request: HttpRequest, identifier: str) -> None:
        """The service's own check of a request by its head, before its body is read or parsed. Raises `AwsError`."""
        located, options = resolved.located, resolved.options
        if options.authorize is None or located.operation.name in options.streams:
            return
        head = HttpRequest(request.method, request.path, request.query, request.headers, signature=request.signature, peer=request.peer)
        options.authorize(self._call(resolved, caller, head, identifier), requests.read(located, head))

    def run(self, resolved: ResolvedOperation, caller: Caller, request: HttpRequest, parameters: Any, identifier: str) -> Any:
        """The result of a control-plane handler, once its transaction is committed; of an `async` handler its coroutine."""
        located, now = resolved.located, self._clock.now()
        if resolved.is_async:
            call = Call(located.dialect.name, located.operation.name, now, identifier, caller.access_key, caller.account, raw=request)
            if self._authorizer is not None:
                self._authorizer(call, parameters)
            return resolved.handler(call, parameters)
        with self._store.transaction() as transaction:
            call = ControlCall(
                located.dialect.name,
                located.operation.name,
                now,
                identifier,
                caller.access_key,
                caller.account,
                raw=request,
                transaction=transaction,
            )
            if self._authorizer is not None:
                self._authorizer(call, parameters)
            return resolved.handler(call, parameters)

    def _call(self, resolved: ResolvedOperation, caller: Caller, request: HttpRequest, identifier: str) -> Call:
        located, now = resolved.located, self._clock.now()
        return Call(located.dialect.name, located.operation.name, now, identifier, caller.access_key, caller.account, raw=request)

    def _dialect(self, name: str) -> Dialect:
        """How calls of the region itself are written: in the service's own protocol. Raises `AwsError` for a service it does not have."""
        if name not in self.services:
            raise service_absent(name)
        model = service_models.service(name)
        return Dialect(model.metadata.protocol, name, model, model.metadata.json_version or "1.0")


def as_aws_error(error: Exception, service: str, identifier: str) -> AwsError:
    """What a caller gets for an error that ended a call. Logs those that are not the caller's."""
    if isinstance(error, AwsError):
        return error
    if isinstance(error, StoreUnavailable):
        _log.error("request %s could not be made durable", identifier, exc_info=error)
        message = "The request has failed because the region could not store it. Please try again."
        return AwsError("ServiceUnavailable", message, status=503)
    _log.error("request %s (%s) failed", identifier, service, exc_info=error)
    code, message = _INTERNAL_ERRORS.get(service, _INTERNAL_ERROR)
    return AwsError(code, message, status=500)


_INTERNAL_ERRORS = {
    "s3": ("InternalError", "We encountered an internal error. Please try again."),
    "ec2": ("InternalError", "An internal error has occurred"),
    "dynamodb": ("InternalServerError", "Internal server error"),
}
_INTERNAL_ERROR = ("InternalFailure", "The request processing has failed because of an unknown error, exception or failure.")


def _members(resolved: ResolvedOperation, result: Any) -> dict[str, Any]:
    """A handler's result in boto3's shape."""
    output = resolved.located.operation.output
    if resolved.options.documents:
        document = msgspec.json.decode(result) if isinstance(result, bytes) else msgspec.to_builtins(result or {})
        return documents.reader(output)(document) if output is not None else {}
    if not isinstance(result, HandlerResponse):
        return {name: value for name, value in (result or {}).items() if value is not None}
    members = {name: value for name, value in result.members.items() if value is not None}
    headers = {name.lower(): text for name, text in result.headers}
    for name, member in output.members.items() if output is not None else ():
        text = headers.get((member.location_name or name).lower()) if member.location == "header" else None
        if text is not None:
            members[name] = from_text(member, text)
    return members
