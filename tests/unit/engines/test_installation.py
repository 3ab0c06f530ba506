"""An installation is completed: RDS's extensions, and libraries that the machine lacks from its distribution's packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from zonal.engines import apt, libraries, library_packages
from zonal.engines.postgres import installation
from zonal.engines.postgres.installation import IncompleteInstallation


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation without anything in it."""
    for directory in ("bin", "lib", "share/extension"):
        (tmp_path / "home" / directory).mkdir(parents=True)
    (tmp_path / "home/bin/postgres").write_bytes(b"\x7fELF\0/lib64/ld-linux-x86-64.so.2\0")
    return tmp_path / "home"


def test_extensions_that_rds_offers_are_trusted_and_the_others_are_not_listed(home: Path) -> None:
    extensions = home / "share/extension"
    (extensions / "dblink.control").write_text("comment = 'connect'\nsuperuser = true\n")
    (extensions / "hstore.control").write_text("comment = 'pairs'\ntrusted = true\n")
    (extensions / "amcheck.control").write_text("comment = 'trusted = true'\ntrusted = false")
    (extensions / "file_fdw.control").write_text("comment = 'files of the host'\n")
    (extensions / "plpython3u.control").write_text("comment = 'programs on the host'\n")
    for _ in range(2):
        installation.complete_extensions(home)
    assert {path.name: path.read_text() for path in extensions.iterdir()} == {
        "dblink.control": "comment = 'connect'\ntrusted = true\n",
        "hstore.control": "comment = 'pairs'\ntrusted = true\n",
        "amcheck.control": "comment = 'trusted = true'\ntrusted = true\n",
    }


def test_a_copy_that_shares_the_files_by_hard_links_is_left_as_it_was(home: Path, tmp_path: Path) -> None:
    control = home / "share/extension/dblink.control"
    control.write_text("comment = 'connect'\n")
    (tmp_path / "copy").hardlink_to(control)
    installation.complete_extensions(home)
    assert (tmp_path / "copy").read_text() == "comment = 'connect'\n"


@pytest.mark.parametrize("lacking", [set(), {"libossp-uuid.so.16"}])
def test_the_script_of_uuid_ossp_is_replaced_only_where_its_module_cannot_be_loaded(
    home: Path, monkeypatch: pytest.MonkeyPatch, lacking: set[str]
) -> None:
    (home / "lib/uuid-ossp.so").touch()
    script = home / "share/extension/uuid-ossp--1.1.sql"
    script.write_text("AS 'MODULE_PATHNAME'")
    monkeypatch.setattr(libraries, "missing", lambda home, files: lacking)
    installation.complete_extensions(home)
    assert ("MODULE_PATHNAME" not in script.read_text()) == bool(lacking)


class Packages:
    """A distribution with a package for each library; `needs` are the libraries that a library loads in turn."""

    needs: dict[str, str] = {"libxml2.so.2": "libicuuc.so.72"}  # noqa: RUF012

    def __init__(self, scratch: Path) -> None:
        assert scratch.is_dir()

    def unpack_libraries(self, names: set[str], target: Path) -> None:
        if "libunknown.so.1" in names:
            raise apt.AptError("no package of this machine's distribution is known to have libunknown.so.1")
        for name in names:
            (target / name).touch()


@pytest.fixture
def machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What the programs need and the machine lacks; apt is there."""
    needed = {"libxml2.so.2"}

    def missing(home: Path, files: object) -> set[str]:
        lacking = {name for name in needed if not (home / "lib" / name).exists()}
        return lacking | {Packages.needs[name] for name in needed - lacking if name in Packages.needs} - {
            path.name for path in (home / "lib").iterdir()
        }

    monkeypatch.setattr(libraries, "missing", missing)
    monkeypatch.setattr(apt, "unavailable", lambda: "")
    monkeypatch.setattr(library_packages, "LibraryPackages", Packages)
    return needed


def test_libraries_are_brought_with_those_that_they_need(home: Path, machine: set[str]) -> None:
    installation.complete_libraries(home)
    assert sorted(path.name for path in (home / "lib").iterdir()) == ["libicuuc.so.72", "libxml2.so.2"]
    assert sorted(path.name for path in home.iterdir()) == ["bin", "lib", "share"]


def test_a_library_that_no_package_has_is_refused_by_name(home: Path, machine: set[str]) -> None:
    machine.add("libunknown.so.1")
    with pytest.raises(IncompleteInstallation, match=r"lacks: libunknown\.so\.1, libxml2\.so\.2; on Debian and Ubuntu they are in libxml2"):
        installation.complete_libraries(home)


def test_the_error_on_a_machine_without_apt_names_the_missing_libraries(
    home: Path, machine: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "unavailable", lambda: "apt-get not found")
    with pytest.raises(IncompleteInstallation, match=r"needs libraries that this machine lacks: libxml2\.so\.2"):
        installation.complete_libraries(home)


def test_the_error_on_a_machine_without_time_zones_names_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "TIME_ZONES", tmp_path)
    with pytest.raises(IncompleteInstallation, match="install the package tzdata"):
        installation.check_machine_files()


@pytest.mark.parametrize(
    ("library", "packages"),
    [
        ("libxml2.so.2", ("libxml2-2", "libxml2")),
        ("libicuuc.so.76", ("libicu76",)),
        ("libzstd.so.1", ("libzstd1",)),
        ("libcrypto.so.3", ("libssl3t64", "libssl3")),
        ("libnothing.so.1", ()),
    ],
)
def test_the_packages_that_may_have_a_library_are_known(library: str, packages: tuple[str, ...]) -> None:
    assert library_packages.candidates(library) == packages
