"""A simulated disk that loses unsynced data in a power loss.

While it observes a directory, every call of `os` that changes something there is executed and also recorded in a model with two states: the
current one, and the one that is certain to survive a power loss. A file's content is certain after the file was synced; a name (created,
renamed or removed) after its directory was synced. Anything else may survive or not, independently for each name and each content: `image`
writes one possible outcome to a new directory.

SQLite's writes are not observed; what it has committed with `synchronous=FULL` is certain, so its files are copied as they are.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest


class File:
    """A file's content, independent of its names."""

    def __init__(self) -> None:
        self.now = b""
        self.certain = b""


Names = dict[str, "File | None"]
"""Files by path; None for a directory."""


class LosingDisk:
    """Observes the calls below `root`. `on_event` is called before each call that changes or syncs something."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, on_event: Callable[[], None]) -> None:
        self.root = root
        self.now: Names = {}
        self.certain: Names = {}
        self.lock = threading.RLock()
        self._descriptors: dict[int, str] = {}
        self._on_event = on_event
        notes = {
            "open": self._opened,
            "write": lambda count, descriptor, piece: self._wrote(count, descriptor, [piece]),
            "writev": self._wrote,
            "fdatasync": self._synced,
            "fsync": self._synced,
            "rename": self._renamed,
            "unlink": lambda _, path, **more: self.now.pop(str(path)),
            "mkdir": lambda _, path, *more: self.now.update({str(path): None}),
            "close": lambda _, descriptor: self._descriptors.pop(descriptor),
        }
        for name, note in notes.items():
            patch.setattr(os, name, self._watched(name, getattr(os, name), note))

    def image(self, directory: Path, source: random.Random) -> None:
        """Create a directory with what may be left below `root` after a power loss now."""
        with self.lock:
            names = {}
            for path in sorted({**self.now, **self.certain}):
                held = source.choice((self.now, self.certain))
                if path in held and (Path(path).parent == self.root or str(Path(path).parent) in names):
                    names[path] = held[path]
            directory.mkdir()
            for path, file in names.items():
                there = directory / Path(path).relative_to(self.root)
                if file is None:
                    there.mkdir()
                else:
                    there.write_bytes(
                        file.certain if source.random() < 0.5 else file.now[: source.randint(len(file.certain), len(file.now))]
                    )
            with self._without_restart_of_the_wal():
                for path in sorted(self.root.rglob("catalog.db*")):  # The database before its WAL.
                    shutil.copy(path, directory / path.relative_to(self.root))

    @contextmanager
    def _without_restart_of_the_wal(self) -> Iterator[None]:
        """Hold a read transaction: a checkpoint may go on, but the WAL keeps every frame, so that a copy of both is consistent."""
        database = next(self.root.rglob("catalog.db"), None)
        if database is None:
            yield
            return
        with closing(sqlite3.connect(database)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield

    def _watched(self, name: str, real: Callable[..., Any], note: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *arguments: Any, **more: Any) -> Any:
            with self.lock:
                is_ours = target in self._descriptors if isinstance(target, int) else str(target).startswith(f"{self.root}/")
                if name == "open" and str(target) == str(self.root):
                    is_ours = True
                if is_ours:
                    self._on_event()
                result = real(target, *arguments, **more)
                if is_ours:
                    note(result, target, *arguments, **more)
                return result

        return call

    def _opened(self, descriptor: int, path: Any, flags: int, *_: Any, **__: Any) -> None:
        self._descriptors[descriptor] = str(path)
        if flags & os.O_CREAT:
            self.now.setdefault(str(path), File())

    def _wrote(self, count: int, descriptor: int, pieces: list[bytes]) -> None:
        file = self.now[self._descriptors[descriptor]]
        assert file is not None
        file.now += b"".join(pieces)[:count]

    def _synced(self, _: None, descriptor: int) -> None:
        path = self._descriptors[descriptor]
        file = self.now.get(path)
        if file is not None:
            file.certain = file.now
            return
        inside = [name for name in {**self.now, **self.certain} if str(Path(name).parent) == path]
        for name in inside:
            self.certain.pop(name, None)
        self.certain |= {name: self.now[name] for name in inside if name in self.now}

    def _renamed(self, _: None, source: Any, target: Any) -> None:
        self.now[str(target)] = self.now.pop(str(source))
        for descriptor, path in self._descriptors.items():
            if path == str(source):
                self._descriptors[descriptor] = str(target)
