"""The AWS SDK for JavaScript: a file of `tests/javascript`, run by Node.js against a region. `script/clients` brings the packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCRIPTS = Path(__file__).parent / "javascript"


def run_javascript(name: str, endpoint: str) -> None:
    """Run the tests of one file; fails with what Node.js printed."""
    assert (SCRIPTS / "node_modules").is_dir(), "the AWS SDK for JavaScript is not there: run script/clients"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "ZONAL_ENDPOINT": endpoint}
    done = subprocess.run(["node", "--test", str(SCRIPTS / name)], env=os.environ | keys, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n# pass 0\n" not in done.stdout, "no test was run"
