"""Ledgers of S3 clients: the acknowledged operations, and the possible outcomes of the unacknowledged one.

A ledger belongs to one client, which runs its operations one after the other on its own keys. So at most one operation has an unknown
outcome (the one during which the server was killed). `content` creates bytes that describe themselves, so that a reader recognises torn
content.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

TAG_BYTES = 24


def content(seed: int, size: int) -> bytes:
    """Content that begins with its own description, so that torn content is recognised."""
    return b"%016x%08x" % (seed, size) + random.Random(seed).randbytes(size - TAG_BYTES)


def tag(raw: bytes) -> str:
    """The description of complete content. Raises `AssertionError` if it is torn."""
    seed, size = int(raw[:16], 16), int(raw[16:TAG_BYTES], 16)
    assert raw == content(seed, size), f"torn: {len(raw)} bytes of {size} made from {seed:x}"
    return raw[:TAG_BYTES].decode()


@dataclass
class PlainKey:
    """A key in a bucket without versioning: its acknowledged content (None: no object), and the contents that are possible since."""

    holds: str | None = None
    maybe: list[str | None] = field(default_factory=list)

    def settle(self, found: str | None) -> None:
        """Compare the found content with the ledger, and record it as certain."""
        assert found == self.holds or found in self.maybe, f"holds {found}; acknowledged {self.holds}, perhaps {self.maybe}"
        self.holds, self.maybe = found, []


Version = tuple[str, str | None]
"""A version id with its content; None for a delete marker."""


@dataclass
class VersionedKey:
    """A key in a bucket with versioning: its versions, oldest first, and those that may have been added or removed since."""

    versions: list[Version] = field(default_factory=list)
    maybe_added: list[str | None] = field(default_factory=list)
    maybe_gone: list[str] = field(default_factory=list)

    def settle(self, found: list[Version]) -> None:
        """Like `PlainKey.settle`. `found` ends with the current version; before it, versions and markers are each oldest first."""
        kept = [each for each in self.versions if each in found]
        for lost in set(self.versions) - set(kept):
            assert lost[0] in self.maybe_gone, f"the acknowledged version {lost} is gone"
        added = [each for each in found if each not in self.versions]
        assert sorted(map(str, self.maybe_added)) == sorted(str(what) for _, what in added) or not added, f"nobody wrote {added}"
        self.versions, self.maybe_added, self.maybe_gone = kept + added, [], []
        assert found[-1:] == self.versions[-1:], "what came last is not what is visible"
        for is_marker in (False, True):
            assert _of_kind(found, is_marker) == _of_kind(self.versions, is_marker), "versions have changed their order"


def _of_kind(versions: list[Version], is_marker: bool) -> list[Version]:
    return [each for each in versions if (each[1] is None) == is_marker]


@dataclass
class OpenUpload:
    """A multipart upload. `parts` are acknowledged, `maybe` may be stored. `may_be_closed`: its completion or abort was requested."""

    key: str
    id: str
    whole: bytes
    parts: dict[int, str] = field(default_factory=dict)
    maybe: int | None = None
    may_be_closed: bool = False

    def settle(self, found: dict[int, str] | None) -> bool:
        """Whether it is still open. `found` are the stored parts, None if there is no such upload."""
        if found is None:
            assert self.may_be_closed, f"the upload {self.id} is gone with its parts {self.parts}"
            return False
        for number, etag in self.parts.items():
            assert number == self.maybe or found.get(number) == etag, f"part {number} of {self.id} is gone"
        assert set(found) <= {*self.parts, self.maybe}
        self.parts, self.maybe, self.may_be_closed = found, None, False
        return True
