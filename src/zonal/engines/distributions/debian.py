"""Debian packages that contain an engine, unpacked below a directory.

There are two ways to choose them: `packages` as listed, for an engine that needs a few libraries beside the C library; or with `closure`,
everything that they depend on as well, resolved against an empty package database, for trees into which a process changes its root.
Essential packages are in no dependency closure: list them.

Only for machines with Debian's tools; `unavailable` gives the reason elsewhere. What a package's maintainer scripts would have made
(alternatives, users, `/bin/sh`) is not there: the engine's module makes what it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from zonal.engines import apt
from zonal.engines.distributions.distribution import DistributionError, Fetched, Package, Provenance, sha256


class DebianPackages(NamedTuple):
    """Packages of the machine's Debian release. The first one contains the engine and has its version."""

    packages: tuple[str, ...]
    closure: bool = False

    def unavailable(self) -> str:
        return apt.unavailable()

    def describe(self) -> str:
        return f"the Debian package {self.packages[0]}"

    def fetch(self, version: str, scratch: Path) -> Fetched:
        """See `Distribution`. The machine's release offers one version; another one is refused, with the one that there is."""
        if reason := self.unavailable():
            raise DistributionError(reason)
        try:
            return self._fetch(version, scratch)
        except apt.AptError as error:
            raise DistributionError(str(error)) from error

    def _fetch(self, version: str, scratch: Path) -> Fetched:
        archive = apt.Apt(scratch / "apt")
        offered = archive.candidate(self.packages[0])
        if not offered:
            raise DistributionError(f"this machine's Debian release has no package {self.packages[0]}")
        upstream = apt.upstream_version(offered)
        if upstream != version and not upstream.startswith(f"{version}."):
            raise DistributionError(f"Debian offers {self.packages[0]} {offered}; no other version can be fetched here")
        files = archive.download(archive.closure(self.packages) if self.closure else self.packages)
        home = scratch / "unpacked"
        for file in files:
            apt.unpack(file, home)
        packages = tuple(Package(file.name, apt.package_version(file), sha256(file)) for file in files)
        return Fetched(home, Provenance("Debian", packages))
