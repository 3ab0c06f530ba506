"""The commands of the DynamoDB tutorial work as documented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.region.test_dynamodb_boto3 import Endpoint

DOCS = Path(__file__).parents[2] / "docs"
ANSWERS = ["CREATING", "bob@example.com", "1\t1\n1\t3", "UPDATING\n1"]


def test_the_commands_of_the_tutorial_print_the_documented_output(tmp_path: Path) -> None:
    endpoint = Endpoint(tmp_path)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_PAGER": "",
    }
    try:
        blocks = re.findall(r"```bash\n(.*?)```", (DOCS / "dynamodb-walk.md").read_text(), re.DOTALL)
        answers = []
        for block in blocks:
            done = subprocess.run(["bash", "-e", "-c", block], env=environment, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            answers.append(done.stdout.strip())
        assert answers == ANSWERS
    finally:
        endpoint.close()
