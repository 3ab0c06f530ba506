"""The store after killed processes: acknowledged changes are there, and each group of changes is there as a whole or not at all."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from zonal.dynamo.storage.lmdb_storage import LmdbStorage

CRASHES = int(os.environ.get("ZONAL_STORAGE_CRASHES", "3"))

WRITER = """
import asyncio, sys
from pathlib import Path
from zonal.dynamo.storage.lmdb_storage import LmdbStorage

async def write(storage, lane, first):
    for number in range(first, first + 100_000):
        value = b"%d" % number
        await storage.submit({b"item%d" % lane: value, b"index%d" % lane: value})
        print(lane, number, flush=True)

async def main(directory, first):
    storage = LmdbStorage(Path(directory))
    print("writer", storage._writer.pid, flush=True)
    await asyncio.gather(*(write(storage, lane, first) for lane in range(8)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_no_acknowledged_write_is_lost_and_no_group_is_torn_when_region_or_writer_process_is_killed(tmp_path: Path) -> None:
    source = random.Random(7)
    acknowledged: dict[int, int] = {}
    for crash in range(CRASHES):
        arguments = [sys.executable, "-c", WRITER, str(tmp_path / "items"), str(crash * 100_000)]
        writer = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert writer.stdout is not None
        writer_pid = int(writer.stdout.readline().split()[1])
        time.sleep(source.uniform(0.05, 0.3))
        for victim in source.sample([writer.pid, writer_pid], source.choice([1, 1, 2])):
            os.kill(victim, signal.SIGKILL)
        time.sleep(source.uniform(0, 0.1))  # A writer that was not killed may have started another writer process; that one is killed too.
        writer.kill()
        for line in writer.stdout:
            if line.endswith("\n"):  # The last line may be incomplete.
                lane, _, number = line.partition(" ")
                acknowledged[int(lane)] = int(number)
        writer.wait(120)
        asyncio.run(_check(tmp_path / "items", acknowledged))
    assert len(acknowledged) == 8


async def _check(directory: Path, acknowledged: dict[int, int]) -> None:
    storage = LmdbStorage(directory)
    for lane, number in acknowledged.items():
        item, index = storage.get(b"item%d" % lane), storage.get(b"index%d" % lane)
        assert item is not None and int(item) >= number
        assert item == index
    await storage.close()
