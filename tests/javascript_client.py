"""Runs a test file of `tests/javascript` (AWS SDK for JavaScript) by Node.js on a region. `script/clients` installs the packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCRIPTS = Path(__file__).parent / "javascript"


def run_javascript(name: str, endpoint: str) -> None:
    """Run the tests of one file; fails with the output of Node.js."""
    assert (SCRIPTS / "node_modules").is_dir(), "the AWS SDK for JavaScript is not installed: run script/clients"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "ZONAL_ENDPOINT": endpoint}
    done = subprocess.run(["node", "--test", str(SCRIPTS / name)], env=os.environ | keys, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n# pass 0\n" not in done.stdout, "no test was run"
