"""Parser of a browser's upload form (multipart/form-data): small fields, then the file as a stream.

The fields precede the file; anything after it is read and ignored. Memory holds the fields and one piece of the file. (RFC 7578; S3 API
Reference, "POST Object".)
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import NamedTuple

from zonal.foundation.errors import AwsError
from zonal.services.s3.errors import invalid_argument
from zonal.wire.http_messages import HttpRequest as HttpRequest

FIELDS_LIMIT_BYTES = 20 * 1024
HEAD_LIMIT_BYTES = 8 * 1024


class _Section(NamedTuple):
    """The head of a section: the field's name, and the file's name and type if present."""

    name: str
    filename: str | None
    kind: str


class FormBody:
    """A form. `read_fields` sets `fields`, by lower-case name, and `kind`, the file's content type."""

    def __init__(self, request: HttpRequest) -> None:
        found = re.search(r'boundary="?([^";,]{1,70})"?', request.headers.get("content-type", ""))
        if found is None:
            raise malformed()
        self._mark = b"\r\n--" + found[1].encode("latin-1")
        self._pieces = request.pieces()
        self._buffer = b"\r\n"
        self.fields: dict[str, str] = {}
        self.kind = ""

    async def read_fields(self) -> None:
        """Read the fields up to the file. Raises `AwsError` if the form is malformed or has no file."""
        await self._up_to(self._mark, HEAD_LIMIT_BYTES)
        size = 0
        while await self._opens():
            section = _described((await self._up_to(b"\r\n\r\n", HEAD_LIMIT_BYTES)).decode("utf-8", "replace"))
            if section.name.lower() == "file":
                self._take_file(section)
                return
            content = await self._up_to(self._mark, FIELDS_LIMIT_BYTES - size)
            size += len(content)
            self.fields[section.name.lower()] = content.decode("utf-8", "replace")
        raise invalid_argument("POST requires exactly one file upload per request.", "file", "0")

    def _take_file(self, section: _Section) -> None:
        self.kind = section.kind
        if section.filename is not None and "key" in self.fields:
            self.fields["key"] = self.fields["key"].replace("${filename}", section.filename.rpartition("/")[2])

    async def file(self) -> AsyncIterator[bytes]:
        """Yield the file's content, then read the rest of the body. Raises `AwsError` if the body ends too early."""
        keep = len(self._mark) - 1
        while (at := self._buffer.find(self._mark)) < 0:
            if len(self._buffer) > keep:
                yield self._buffer[: len(self._buffer) - keep]
                self._buffer = self._buffer[len(self._buffer) - keep :]
            if not await self._more():
                raise malformed()
        if at:
            yield self._buffer[:at]
        self._buffer = b""
        async for _ in self._pieces:
            pass

    async def _opens(self) -> bool:
        """Whether another section follows the boundary; else the form ends."""
        while len(self._buffer) < 2:
            if not await self._more():
                raise malformed()
        return not self._buffer.startswith(b"--")

    async def _up_to(self, end: bytes, limit: int) -> bytes:
        """Read up to `end` and skip it. Raises `AwsError` if more than `limit` bytes precede it."""
        while (at := self._buffer.find(end)) < 0:
            if len(self._buffer) > limit + len(end):
                raise _too_large()
            if not await self._more():
                raise malformed()
        if at > limit:
            raise _too_large()
        found, self._buffer = self._buffer[:at], self._buffer[at + len(end) :]
        return found

    async def _more(self) -> bool:
        async for piece in self._pieces:
            self._buffer += piece
            return True
        return False


def is_form(request: HttpRequest) -> bool:
    """Whether a request is a browser's form."""
    return request.method == "POST" and request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _described(head: str) -> _Section:
    name = re.search(r'[;\s]name="((?:[^"\\]|\\.)*)"', head) or re.search(r"[;\s]name=([^;\s]+)", head)
    if name is None:
        raise malformed()
    filename = re.search(r'filename="((?:[^"\\]|\\.)*)"', head)
    kind = re.search(r"(?im)^content-type:\s*(.+?)\s*$", head)
    return _Section(name[1].replace('\\"', '"'), filename[1] if filename else None, kind[1] if kind else "")


def malformed() -> AwsError:
    return AwsError("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")


def _too_large() -> AwsError:
    return AwsError("MaxPostPreDataLengthExceeded", "Your POST request fields preceding the upload file were too large.")
