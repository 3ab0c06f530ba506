"""The writer process: commits changes to LMDB, so that the region's event loop does not wait for the disk.

Each call of LMDB releases and acquires the interpreter's lock. In a thread beside a busy event loop every put of a commit would wait for
the loop to release it, and the loop for the thread. So the region's process only reads (through the same memory map, without system calls)
and sends each group of changes over a socket: its length, then pairs of keys and values (`marshal`; both ends run the same Python). The
writer process commits each group as one transaction and answers when it is on the disk: an empty answer, or the error. When the
socket is closed, the writer process exits, after the commit that it has received.

Only one runs at a time: it acquires a file lock before it answers that it is ready, so the writer process of a killed region has
made its last commit before the next region reads. Imports are few, because every region waits for this process to start.

Deletions work on a completely full disk. The file has `RESERVE_BYTES` of unused pages at its end, and a group that would leave fewer is
rejected, unless it makes the store smaller: that group is committed to the reserved pages (`SpaceReserve`).
"""

from __future__ import annotations

import fcntl
import marshal
import os
import select

import lmdb

from zonal.foundation.allocation import allocate

READY = b""
LENGTH = 8
RELAXED_SYNC_SECONDS = 1.0
RESERVE_BYTES = 4 * 1024 * 1024
GROWTH_BYTES = 256 * 1024
"""The file grows by so much at a time, so that most commits need no system call for the reserve."""
NO_SPACE = b"no space left on device"
_MAP_SIZES = (1 << 40, 1 << 36, 1 << 32)

Pairs = list[tuple[bytes, bytes | None]]


def main(socket: int, directory: str, durable: bool) -> None:
    """Commit the groups that arrive on the file descriptor `socket` to the store in `directory`, until it is closed."""
    lock = os.open(f"{directory}/keeper.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        environment = open_environment(directory, durable=durable)
    except (lmdb.Error, OSError, MemoryError) as error:
        _answer(socket, str(error).encode())
        return
    try:
        _answer(socket, READY)
        _keep(socket, environment, SpaceReserve(environment, directory), durable)
    except OSError:
        pass  # The region has exited; what it sent is committed.
    _is_synced(environment)
    environment.close()


def open_environment(directory: str, *, durable: bool = True, readonly: bool = False) -> lmdb.Environment:
    """Open with the largest map that the process can reserve. It takes address space only; the file grows as it is filled."""
    failure: Exception = MemoryError("no room for a map")
    for map_size in _MAP_SIZES:
        try:
            return lmdb.open(
                directory,
                map_size=map_size,
                readonly=readonly,
                create=not readonly,
                sync=durable,
                metasync=durable,
                readahead=False,
                max_readers=1024,
                mode=0o600,
            )
        except (lmdb.Error, OSError, MemoryError) as error:
            failure = error
    raise failure


def framed(payload: bytes) -> bytes:
    """A payload behind its length."""
    return len(payload).to_bytes(LENGTH, "big") + payload


class SpaceReserve:
    """The unused pages at the end of the store's file."""

    def __init__(self, environment: lmdb.Environment, directory: str) -> None:
        self._environment = environment
        self._path = f"{directory}/data.mdb"
        self._page_bytes: int = environment.stat()["psize"]
        self._allocated_bytes = os.stat(self._path).st_size  # noqa: PTH116 (no import of pathlib: the region waits for this process)
        self.keeps(0)

    def keeps(self, new_bytes: int) -> bool:
        """Whether the reserve remains after a commit of so many bytes. Lets the file grow if the disk has the space."""
        needed = (self._environment.info()["last_pgno"] + 1) * self._page_bytes + new_bytes + RESERVE_BYTES
        if needed > self._allocated_bytes and allocate(self._path, needed + GROWTH_BYTES):
            self._allocated_bytes = needed + GROWTH_BYTES
        return needed <= self._allocated_bytes


def _keep(socket: int, environment: lmdb.Environment, reserve: SpaceReserve, durable: bool) -> None:
    unsynced = False
    while True:
        if unsynced and not select.select([socket], [], [], RELAXED_SYNC_SECONDS)[0]:
            unsynced = not _is_synced(environment)
            continue
        head = _read(socket, LENGTH)
        payload = _read(socket, int.from_bytes(head, "big"))
        if not payload:
            return
        problem = _commit(environment, reserve, marshal.loads(payload))
        _answer(socket, problem)
        unsynced = not durable
        if problem and _is_broken(environment):
            return  # The next group gets a new writer process, which opens the store again.


def _is_synced(environment: lmdb.Environment) -> bool:
    """Sync the committed changes; False if the disk cannot store them now."""
    try:
        environment.sync(True)
    except (lmdb.Error, OSError):
        return False
    return True


def _is_broken(environment: lmdb.Environment) -> bool:
    """Whether LMDB requires the environment to be opened again (MDB_PANIC: a meta page could not be written)."""
    try:
        with environment.begin():
            return False
    except lmdb.PanicError:
        return True
    except (lmdb.Error, OSError):
        return False


def _commit(environment: lmdb.Environment, reserve: SpaceReserve, pairs: Pairs) -> bytes:
    """Commit a group of changes as one transaction. Returns the error message, empty for success."""
    pairs.sort(key=_key)  # Adjacent keys are on the same pages.
    try:
        keeps_reserve = reserve.keeps(sum(len(key) + len(value) for key, value in pairs if value is not None))
        with environment.begin(write=True) as transaction:
            if not keeps_reserve and _growth_bytes(transaction, pairs) >= 0:
                return NO_SPACE
            for key, value in pairs:
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)
    except (lmdb.Error, OSError, MemoryError) as error:
        return str(error).encode() or b"unknown"
    return READY


def _growth_bytes(transaction: lmdb.Transaction[bytes], pairs: Pairs) -> int:
    """By how much a group makes the store larger; negative if smaller."""
    growth = 0
    for key, value in pairs:
        before = transaction.get(key)
        growth -= 0 if before is None else len(key) + len(before)
        growth += 0 if value is None else len(key) + len(value)
    return growth


def _key(pair: tuple[bytes, bytes | None]) -> bytes:
    return pair[0]


def _answer(socket: int, payload: bytes) -> None:
    os.write(socket, framed(payload))


def _read(socket: int, size: int) -> bytes:
    """Read `size` bytes; empty if the socket was closed."""
    pieces: list[bytes] = []
    while size:
        piece = os.read(socket, min(size, 1 << 20))
        if not piece:
            return b""
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
