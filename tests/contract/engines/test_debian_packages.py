"""Debian packages become a version in the engine store without root and without an installation."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from zonal.engines.distributions.debian import DebianPackages
from zonal.engines.distributions.distribution import DistributionError
from zonal.engines.engine_store import EngineStore
from zonal.engines.registry import EngineDefinition

PACKAGES = DebianPackages(("memcached", "libevent-2.1-7"))


def _no_node(*_: object) -> object:
    raise AssertionError("no node is made here")


MEMCACHED = EngineDefinition(
    name="memcached",
    title="Memcached",
    default_major="1",
    distributions=(PACKAGES,),
    machine=None,
    programs=("usr/bin/memcached",),
    version_argv=("usr/bin/memcached", "--version"),
    version_pattern=r"(\d+\.\d+\.\d+)",
    complete=None,
    build=_no_node,  # type: ignore[arg-type]
    ordered_settings=lambda spec: {},
)


def test_packages_are_unpacked_into_the_store_with_their_digests(tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "engines", engines={"memcached": MEMCACHED})
    if reason := PACKAGES.unavailable():
        with pytest.raises(DistributionError, match=reason):
            PACKAGES.fetch("1", tmp_path)
        return
    installed = store.install("memcached", "1.6")
    assert installed.home == tmp_path / "engines/memcached" / installed.version
    made_from = store.provenance(installed)
    assert made_from is not None and made_from.source == "Debian"
    assert {package.file.partition("_")[0] for package in made_from.packages} == {"memcached", "libevent-2.1-7"}
    assert all(len(package.sha256) == 64 and package.version for package in made_from.packages)
    libraries = installed.home / "usr/lib/x86_64-linux-gnu"
    printed = subprocess.run(
        ["ldd", installed.home / "usr/bin/memcached"], env={"LD_LIBRARY_PATH": str(libraries)}, capture_output=True, text=True
    )
    assert str(libraries / "libevent-2.1.so.7") in printed.stdout


def test_a_closure_contains_the_c_library(tmp_path: Path) -> None:
    packages = DebianPackages(("libevent-2.1-7",), closure=True)
    if reason := packages.unavailable():
        with pytest.raises(DistributionError, match=reason):
            packages.fetch("2", tmp_path)
        return
    fetched = packages.fetch("2.1", tmp_path)
    assert any(package.file.startswith("libc6_") for package in fetched.provenance.packages)


def test_a_version_that_debian_does_not_have_is_refused_with_the_one_it_has(tmp_path: Path) -> None:
    if not PACKAGES.unavailable():
        with pytest.raises(DistributionError, match=r"Debian offers memcached 1\..*; no other version can be fetched here"):
            PACKAGES.fetch("9", tmp_path)
