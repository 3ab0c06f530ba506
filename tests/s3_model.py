"""A model of S3 made of dictionaries, with which the real one is compared operation by operation.

It covers versioning (enabled, suspended, never), delete markers, tags, multipart uploads, preconditions of writes, and listings. It
generates its own version ids; `ids` maps them to the server's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import md5

NULL = "null"


class Refused(Exception):
    """The model's error, with S3's code."""


@dataclass
class Version:
    """A version of a key; `content` is None for a delete marker."""

    id: str
    content: bytes | None
    etag: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Upload:
    key: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Bucket:
    """One bucket. A key's versions are ordered newest first."""

    def __init__(self) -> None:
        self.versioning = ""
        self.keys: dict[str, list[Version]] = {}
        self.uploads: dict[str, Upload] = {}

    def put(
        self, key: str, content: bytes, *, id: str, etag: str | None = None, none_match: bool = False, match: str | None = None
    ) -> None:
        """`id` is the version id that the server returned, if the bucket has versioning."""
        self.check(key, none_match=none_match, match=match)
        self._add(key, Version(id, content, etag or md5(content).hexdigest()))

    def check(self, key: str, *, none_match: bool = False, match: str | None = None) -> None:
        """Check the preconditions of a write."""
        there = self._visible(key)
        if none_match and there is not None:
            raise Refused("PreconditionFailed")
        if match is not None and there is None:
            raise Refused("NoSuchKey")
        if match is not None and there is not None and there.etag != match:
            raise Refused("PreconditionFailed")

    def delete(self, key: str, *, id: str) -> None:
        """Without a version id, a bucket with versioning gets a delete marker with the server's `id`."""
        if not self.versioning:
            self._remove(key, NULL)
        else:
            self._add(key, Version(id, None))

    def delete_version(self, key: str, id: str) -> None:
        self._remove(key, id)

    def get(self, key: str, id: str | None = None) -> Version:
        if id is not None:
            for version in self.keys.get(key, []):
                if version.id == id:
                    if version.content is None:
                        raise Refused("MethodNotAllowed")
                    return version
            raise Refused("NoSuchVersion")
        there = self._visible(key)
        if there is None:
            raise Refused("NoSuchKey")
        return there

    def complete(self, id: str, numbers: list[int], *, version: str) -> None:
        upload = self.uploads.pop(id)
        digests = b"".join(md5(upload.parts[number]).digest() for number in numbers)
        etag = f"{md5(digests).hexdigest()}-{len(numbers)}"
        self.put(upload.key, b"".join(upload.parts[number] for number in numbers), id=version, etag=etag)

    def listed(self, prefix: str, delimiter: str, after: str) -> list[str]:
        """Keys and common prefixes, ordered by their UTF-8 bytes as on S3."""
        visible = [key for key in self.keys if self._visible(key) is not None and key.startswith(prefix) and key.encode() > after.encode()]
        shown = {_rolled(key, prefix, delimiter) for key in visible}
        return sorted((each for each in shown if each.encode() > after.encode()), key=str.encode)

    def versions(self) -> list[tuple[str, str, bool]]:
        """Key, version and whether it is the newest, in listing order."""
        return [(key, version.id, at == 0) for key in sorted(self.keys, key=str.encode) for at, version in enumerate(self.keys[key])]

    def is_empty(self) -> bool:
        return not any(self.keys.values())

    def _visible(self, key: str) -> Version | None:
        newest = next(iter(self.keys.get(key, [])), None)
        return newest if newest is not None and newest.content is not None else None

    def _add(self, key: str, version: Version) -> None:
        if version.id == NULL:
            self._remove(key, NULL)
        self.keys.setdefault(key, []).insert(0, version)

    def _remove(self, key: str, id: str) -> None:
        self.keys[key] = [version for version in self.keys.get(key, []) if version.id != id]


def _rolled(key: str, prefix: str, delimiter: str) -> str:
    at = key.find(delimiter, len(prefix)) if delimiter else -1
    return key if at < 0 else key[: at + len(delimiter)]
