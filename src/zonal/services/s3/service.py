"""The service `s3`: a store, its operations by name, and the requests that it answers before the gateway authenticates them.

>>> s3 = open_s3(directory, clock, settings)
>>> gateway = Gateway(settings, Invoker([s3.service], store, clock))
>>> async with s3.running():
...     ...

The gateway verifies signatures; `access` decides what a caller may do. CORS preflights, requests to websites, and browser forms (which
carry their signature in the body) are intercepted before.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from zonal.buckets.store import BucketStore
from zonal.foundation.clock import Clock
from zonal.foundation.credentials import Accounts
from zonal.foundation.errors import ZonalError
from zonal.foundation.settings import Settings
from zonal.services.operation import Handler, handlers
from zonal.services.s3.access import AccessControl
from zonal.services.s3.access_logs import AccessLogDelivery, AccessLogs
from zonal.services.s3.acls import Acls
from zonal.services.s3.attributes import Attributes
from zonal.services.s3.buckets import Buckets
from zonal.services.s3.configurations import Configurations
from zonal.services.s3.context import S3Context
from zonal.services.s3.copies import Copies
from zonal.services.s3.cors import Cors
from zonal.services.s3.deletions import Deletions
from zonal.services.s3.disk_full import with_disk_full_error
from zonal.services.s3.form_body import is_form
from zonal.services.s3.forms import Forms
from zonal.services.s3.internal_objects import InternalObjects
from zonal.services.s3.lifecycle import LifecycleReconciler, Lifecycles
from zonal.services.s3.listing import Listings
from zonal.services.s3.locks import Locks
from zonal.services.s3.multipart import Multipart
from zonal.services.s3.objects import Objects
from zonal.services.s3.tags import S3Tags
from zonal.services.s3.uploads import Uploads
from zonal.services.s3.websites import Websites, is_website
from zonal.services.service import Service, ServiceOptions
from zonal.wire.http_messages import HttpRequest, HttpResponse

_log = logging.getLogger(__name__)

SWEEP_AGAIN_SECONDS = 30.0
STREAMS = frozenset({"PutObject", "UploadPart"})


class S3:
    """The service `s3` over one store."""

    def __init__(self, store: BucketStore, clock: Clock, settings: Settings) -> None:
        self.store = store
        s3_context = S3Context(store, Accounts(settings.credentials))
        access = AccessControl(s3_context)
        objects = Objects(s3_context, access)
        copies = Copies(s3_context, objects)
        self._cors = Cors(s3_context)
        self._websites = Websites(s3_context, access, objects, clock)
        self._forms = Forms(objects, access, self._cors, settings, clock)
        self.reconciler = LifecycleReconciler(s3_context, clock)
        self.internal_objects = InternalObjects(s3_context, clock)
        self._logs = AccessLogDelivery(s3_context, clock, settings)
        nouns = (
            Buckets(s3_context, is_open=settings.s3_new_buckets == "before-2023"),
            objects,
            copies,
            Deletions(s3_context, access),
            Listings(s3_context),
            Multipart(s3_context, copies),
            Uploads(s3_context),
            Attributes(s3_context, objects),
            S3Tags(s3_context),
            Acls(s3_context),
            Locks(s3_context),
            Lifecycles(s3_context),
            Configurations(s3_context),
            AccessLogs(s3_context),
            self._cors,
            self._websites,
        )
        self.handlers: Mapping[str, Handler] = access.guarded(with_disk_full_error(handlers(*nouns)))
        options = ServiceOptions(
            streams=STREAMS,
            anonymous=True,
            accounts=True,
            intercept=self.intercept,
            authorize=access.check_head,
            allows_origin=self._cors.allows,
            decorate=self.decorate,
        )
        self.service = Service(
            "s3", self.handlers, options, running=self.running, resources=lambda: {"buckets": len(store.catalog.view.buckets())}
        )

    async def intercept(self, request: HttpRequest) -> HttpResponse | None:
        """The response to a request that is not an API call, else None. Raises `AwsError`."""
        if request.method == "OPTIONS":
            return self._cors.preflight(request)
        if is_website(request.host):
            return await self._websites.answer(request)
        if is_form(request):
            return await self._forms.answer(request)
        return None

    def decorate(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """The response with its CORS headers, recorded for the bucket's access log."""
        decorated = self._cors.add_cors_headers(request, response)
        self._logs.note(request, decorated)
        return decorated

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Delete content that an earlier process left, apply lifecycle rules, deliver access logs; close the store at the end."""
        work = {"s3 sweep": self._sweep(), "s3 lifecycle": self.reconciler.run(), "s3 access logs": self._logs.run()}
        tasks = [asyncio.create_task(each, name=name) for name, each in work.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._logs.deliver()
            await self.store.close()

    async def _sweep(self) -> None:
        """Delete unreferenced content once; try again later where the disk fails."""
        while True:
            try:
                count = await self.store.sweep()
            except (ZonalError, OSError, sqlite3.Error) as error:
                _log.warning("cannot delete unreferenced content: %s", error)
                await asyncio.sleep(SWEEP_AGAIN_SECONDS)
                continue
            if count:
                _log.info("deleted %d unreferenced pieces of content", count)
            return


def open_s3(directory: Path, clock: Clock, settings: Settings) -> S3:
    """S3 over the objects in `directory`."""
    return S3(BucketStore(directory), clock, settings)
