"""Ledgers of an S3 client for crash tests: the acknowledged operations, and the one whose outcome is unknown.

A ledger belongs to one client that performs one operation after the other on its own keys. So at most one operation has an unknown outcome
(the one during which the server died). `content` makes bytes that contain their own seed and size, so that a reader detects torn content.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

TAG_BYTES = 24


def content(seed: int, size: int) -> bytes:
    """Bytes that begin with their seed and size."""
    return b"%016x%08x" % (seed, size) + random.Random(seed).randbytes(size - TAG_BYTES)


def tag(raw: bytes) -> str:
    """The seed and size at the beginning of this content; fails if the content is not exactly what they determine."""
    seed, size = int(raw[:16], 16), int(raw[16:TAG_BYTES], 16)
    assert raw == content(seed, size), f"torn: {len(raw)} bytes of {size} made from {seed:x}"
    return raw[:TAG_BYTES].decode()


@dataclass
class PlainKey:
    """A key in a bucket without versions: its acknowledged content (None: absent), and its possible contents since."""

    holds: str | None = None
    maybe: list[str | None] = field(default_factory=list)

    def settle(self, found: str | None) -> None:
        """Compare the content that was found with the ledger, which then records it as certain."""
        assert found == self.holds or found in self.maybe, f"holds {found}; acknowledged {self.holds}, perhaps {self.maybe}"
        self.holds, self.maybe = found, []


Version = tuple[str, str | None]
"""A version id with its content; None for a delete marker."""


@dataclass
class VersionedKey:
    """A key in a bucket with versions, oldest first, and the versions that may have been added or removed since."""

    versions: list[Version] = field(default_factory=list)
    maybe_added: list[str | None] = field(default_factory=list)
    maybe_gone: list[str] = field(default_factory=list)

    def settle(self, found: list[Version]) -> None:
        """As `PlainKey.settle`; `found` ends with the visible version, otherwise each kind (versions, markers) is oldest first."""
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
    """An upload in parts. `parts` are acknowledged, `maybe` may have arrived. `may_be_closed`: a completion or abort has begun."""

    key: str
    id: str
    whole: bytes
    parts: dict[int, str] = field(default_factory=dict)
    maybe: int | None = None
    may_be_closed: bool = False

    def settle(self, found: dict[int, str] | None) -> bool:
        """Whether it is still open; `found` are the existing parts, None if there is no such upload."""
        if found is None:
            assert self.may_be_closed, f"the upload {self.id} is gone with its parts {self.parts}"
            return False
        for number, etag in self.parts.items():
            assert number == self.maybe or found.get(number) == etag, f"part {number} of {self.id} is gone"
        assert set(found) <= {*self.parts, self.maybe}
        self.parts, self.maybe, self.may_be_closed = found, None, False
        return True
