"""Compares LMDB and RocksDB: a durable commit, a read and a range, as DynamoDB's engine uses them.

Needs `pip install rocksdict` beside the development packages. Writes are commits of 1, 16 and 64 items of 200 bytes, each synced
before the next begins; reads are of random stored keys; ranges are 100 adjacent keys. Both are measured in turn in one run.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from benchmarks.measurements import arguments, machine, tell

ITEMS = 20_000
VALUE = os.urandom(200)


def main() -> None:
    runs = arguments(__doc__ or "", runs=5).parse_args().runs
    figures: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, make in (("LMDB", Lmdb), ("RocksDB", Rocks)):
            directory = Path(tempfile.mkdtemp(prefix="zonal-bench-", dir=Path.cwd()))
            store = make(directory)
            try:
                for what, figure in measured(store):
                    figures.setdefault(f"{name}, {what}", []).append(figure)
            finally:
                store.close()
                shutil.rmtree(directory)
    print(machine())
    for what in sorted(figures, key=lambda text: text.partition(", ")[2]):
        tell(what, figures[what], unit="µs", goal="")


def measured(store: Any) -> Iterator[tuple[str, float]]:
    source = random.Random(1)
    keys = [source.randbytes(30) for _ in range(ITEMS)]
    for at in range(0, ITEMS, 1000):
        store.commit([(key, VALUE) for key in keys[at : at + 1000]])
    for size in (1, 16, 64):
        yield f"durable commit of {size}", typical(lambda size=size: store.commit([(source.choice(keys), VALUE) for _ in range(size)]), 200)
    yield "read of one", typical(lambda: store.get(source.choice(keys)), 5000)
    yield "range of 100", typical(lambda: store.range(source.choice(keys), 100), 300)


def typical(action: Callable[[], object], times: int) -> float:
    """The median time of an action, in microseconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6


class Lmdb:
    def __init__(self, directory: Path) -> None:
        self._environment = lmdb.open(str(directory), map_size=1 << 30)
        self._reader: Any = None

    def commit(self, pairs: list[tuple[bytes, bytes]]) -> None:
        if self._reader is not None:
            self._reader.abort()
            self._reader = None
        with self._environment.begin(write=True) as transaction:
            for key, value in sorted(pairs):
                transaction.put(key, value)

    def get(self, key: bytes) -> bytes | None:
        self._reader = self._reader or self._environment.begin()
        found: bytes | None = self._reader.get(key)
        return found

    def range(self, low: bytes, count: int) -> int:
        self._reader = self._reader or self._environment.begin()
        cursor = self._reader.cursor()
        cursor.set_range(low)
        return sum(len(value) for _, value in islice(cursor.iternext(), count))

    def close(self) -> None:
        if self._reader is not None:
            self._reader.abort()
        self._environment.close()


class Rocks:
    def __init__(self, directory: Path) -> None:
        import rocksdict

        self._batch = lambda: rocksdict.WriteBatch(raw_mode=True)
        self._database = rocksdict.Rdict(str(directory), rocksdict.Options(raw_mode=True))
        self._sync = rocksdict.WriteOptions()
        self._sync.sync = True

    def commit(self, pairs: list[tuple[bytes, bytes]]) -> None:
        batch = self._batch()
        for key, value in pairs:
            batch[key] = value
        self._database.write(batch, self._sync)

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._database.get(key)
        return found

    def range(self, low: bytes, count: int) -> int:
        return sum(len(value) for _, value in islice(self._database.items(from_key=low), count))

    def close(self) -> None:
        self._database.close()


if __name__ == "__main__":
    main()
