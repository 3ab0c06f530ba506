"""Tries what the fabric needs of this machine, and names the remedy for what is missing.

A child process creates the sandbox's namespaces and in them one of each object that the fabric creates; all of it ends with the child. The
kernel's answer decides. Settings are only read to explain a refusal.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from zonal.fabric import id_ranges, sandbox
from zonal.fabric.linux import syscalls
from zonal.fabric.linux.namespaces import Keep
from zonal.fabric.linux.netlink import Netlink, NetlinkBatch, add_pair, delay
from zonal.fabric.linux.nftables import Nftables
from zonal.fabric.ruleset import AddressMap, Chain, Established, PacketRule, Ruleset, Translate, Verdict
from zonal.foundation.errors import ZonalError, describe

PROGRAMS = ("unshare", "nsenter", "mount", "sleep", "sh")


class Finding(msgspec.Struct, frozen=True):
    """One requirement that was tried. `remedy` says how to provide it. Without one that is not `needed`, some functions are missing."""

    what: str
    works: bool
    detail: str = ""
    remedy: str = ""
    needed: bool = True


def diagnose() -> list[Finding]:
    """Try every requirement. After one that is needed and fails, the others are left out."""
    findings = [
        Finding(f"program {name}", shutil.which(name) is not None, remedy="apt-get install util-linux coreutils") for name in PROGRAMS
    ]
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory(prefix="zonal-doctor-") as directory:
        child = os.fork()
        if child == 0:
            os.close(reader)
            _report(writer, directory)
        os.close(writer)
        with os.fdopen(reader, "rb") as report:
            findings += [msgspec.json.decode(line, type=Finding) for line in report]
        os.waitpid(child, 0)
    return findings


def probe() -> None:
    """Raise `SandboxRefused` with the first needed requirement that is missing, and its remedy."""
    for finding in diagnose():
        if finding.needed and not finding.works:
            raise sandbox.SandboxRefused(f"{finding.what}: {finding.detail or 'missing'}. {finding.remedy}")


def _report(writer: int, directory: str) -> None:
    """Runs in the child: write a finding for each line, then end the process."""
    try:
        for finding in _try_all(directory):
            os.write(writer, msgspec.json.encode(finding) + b"\n")
            if finding.needed and not finding.works:
                break
    finally:
        os._exit(0)


def _try_all(directory: str) -> Iterator[Finding]:
    yield _try("namespaces", sandbox.make_namespaces, namespaces_remedy())
    yield _try(
        "a range of user ids",
        lambda: id_ranges.require_range("an instance with several users, or a domain controller,"),
        id_ranges.REMEDY,
        needed=False,
    )
    yield _try(
        "mounts of its own", lambda: _mount(directory), "Run zonal where mounts are allowed in a namespace: not in a plain container."
    )
    yield _try("a process table of its own", _mount_proc, "Something hides parts of /proc, as containers do: run with an unmasked /proc.")
    keep = Keep(Path(directory) / "net")
    yield _try("network namespaces", lambda: keep.make("one"), "The kernel needs CONFIG_NET_NS.")
    yield _try("veth devices", lambda: _pair(keep), "Load the module: sudo modprobe veth (CONFIG_VETH).")
    yield _try(
        "packet rules", lambda: _rules(keep), "Load the modules: sudo modprobe -a nf_tables nft_ct nft_nat nft_numgen (CONFIG_NF_TABLES)."
    )
    yield _try("read-only views", lambda: syscalls.make_read_only("/"), "zonal needs Linux 5.12 or newer.")
    remedy = "Only `zonal fail --delay` needs it: sudo modprobe sch_netem (CONFIG_NET_SCH_NETEM)."
    yield _try("delays", lambda: _delay(keep), remedy, needed=False)


def _try(what: str, act: Callable[[], object], remedy: str, *, needed: bool = True) -> Finding:
    try:
        act()
    except (OSError, ZonalError) as error:
        return Finding(what, False, describe(error), remedy, needed)
    return Finding(what, True, needed=needed)


def namespaces_remedy(read: Callable[[str], str | None] | None = None) -> str:
    """The setting that keeps an ordinary user from creating namespaces. `read` returns the content of a file below `/proc/sys`, or None."""
    read = read or _read
    if read("kernel/unprivileged_userns_clone") == "0":
        return "Allow user namespaces: sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if read("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "Ubuntu restricts user namespaces: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (or run zonal as root)"
    if read("user/max_user_namespaces") == "0":
        return "Allow user namespaces: sudo sysctl -w user.max_user_namespaces=10000"
    return "The kernel or a container's policy refuses namespaces: run zonal as root, or outside the container."


def _read(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None


def _mount(directory: str) -> None:
    syscalls.mount("none", "/", flags=syscalls.RECURSIVE | syscalls.PRIVATE)
    syscalls.mount("tmpfs", directory, "tmpfs")


def _mount_proc() -> None:
    """Mount `/proc` in a child, because only a process inside a pid namespace can mount its process table."""
    child = os.fork()
    if child == 0:
        try:
            syscalls.mount("proc", "/proc", "proc")
        except OSError as error:
            os._exit(error.errno or 1)
        syscalls.unmount("/proc")
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise OSError(status, f"mount proc: {os.strerror(status)}")


def _pair(keep: Keep) -> None:
    batch = NetlinkBatch()
    ends = {"mac": "02:00:00:00:00:01", "peer_mac": "02:00:00:00:00:02"}
    add_pair(batch, "here", peer="there", peer_namespace=keep.make("two"), mtu=1500, **ends)
    Netlink(keep.make("one")).run(batch)


def _rules(keep: Keep) -> None:
    established = PacketRule(Verdict("accept"), (Established(),))
    nat = Chain("nat", (PacketRule(Translate("source", "map")),), "postrouting", 100, "nat")
    Nftables(keep.make("one")).apply(
        Ruleset("try", (Chain("forward", (established,), "forward"), nat), address_maps=(AddressMap("map", ()),))
    )


def _delay(keep: Keep) -> None:
    socket = Netlink(keep.make("one"))
    batch = NetlinkBatch()
    delay(batch, socket.devices()["here"].number, 1.0)
    socket.run(batch)
