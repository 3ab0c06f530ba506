"""A disk that forgets what was not synced, as one may when the power goes.

While it watches, every call of `os` that changes something below a directory is carried out, and also written into a model that knows two
truths: what is there now, and what is certain to be there after a power loss. A file's content is certain once the file was synced; a name
(made, renamed or removed) once its directory was synced. What is in between may be there or not, for each name and each content by itself:
`image` writes one of the possible outcomes into a new directory.

SQLite's own writes are not seen; what it has committed with `synchronous=FULL` counts as certain, so its files are copied as they are.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class File:
    """A file by its own, whatever it is called."""

    def __init__(self) -> None:
        self.now = b""
        self.certain = b""


Names = dict[str, "File | None"]
"""What there is by its path; None is a directory."""


class LosingDisk:
    """Watches what happens below `root`. `on_event` is called before each call that changes something or makes it certain."""

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
        """What may be below `root` after a power loss now, as a directory of its own."""
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
            for path in self.root.rglob("catalog.db*"):
                shutil.copy(path, directory / path.relative_to(self.root))

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
