"""The composition root, as far as it can be seen without a world."""

import subprocess
import sys


def test_a_region_takes_all_the_descriptors_that_it_may_have() -> None:
    script = (
        "import resource; from zonal.region import allow_descriptors as allow; allow(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    argv = ["sh", "-c", 'ulimit -Sn 100; ulimit -Hn 500; exec "$0" -c "$1"', sys.executable, script]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split() == ["500", "500"]
