"""The writer process: commits changes to LMDB, so that the region's event loop does not wait for the disk.

Each call of LMDB releases and acquires the interpreter's lock. In a thread beside a busy event loop every put of a commit would wait for
the loop to release it, and the loop for the thread. So the region's process only reads (through the same memory map, without system calls)
and sends each group of changes over a socket: its length, then pairs of keys and values (`marshal`; both ends run the same Python). The
writer process commits each group as one transaction and answers when it is on the disk: an empty answer, or the error. When the
socket is closed, the writer process exits, after the commit that it has received.

Only one runs at a time: it acquires a file lock before it answers that it is ready, so the writer process of a killed region has
made its last commit before the next region reads. Imports are few, because every region waits for this process to start.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import select

import lmdb

READY = b""
LENGTH = 8
RELAXED_SYNC_SECONDS = 1.0
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
        _keep(socket, environment, durable)
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


def _keep(socket: int, environment: lmdb.Environment, durable: bool) -> None:
    unsynced = False
    while True:
        if unsynced and not select.select([socket], [], [], RELAXED_SYNC_SECONDS)[0]:
            unsynced = not _is_synced(environment)
            continue
        head = _read(socket, LENGTH)
        payload = _read(socket, int.from_bytes(head, "big"))
        if not payload:
            return
        problem = _commit(environment, marshal.loads(payload))
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


def _commit(environment: lmdb.Environment, pairs: Pairs) -> bytes:
    """Commit a group of changes as one transaction. Returns the error message, empty for success."""
    pairs.sort(key=_key)  # Adjacent keys are on the same pages.
    try:
        with environment.begin(write=True) as transaction:
            for key, value in pairs:
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)
    except (lmdb.Error, OSError, MemoryError) as error:
        return str(error).encode() or b"unknown"
    return READY


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
