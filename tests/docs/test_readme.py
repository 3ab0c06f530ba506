"""The README's commands run in their order in one shell, and links between pages exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.running_region import free_port

ROOT = Path(__file__).parents[2]
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if path.parent.name != "limits.d"  # Printed into limits.md, to which their links are relative.
]


def commands(page: Path, heading: str) -> str:
    """The console blocks of one section as a shell script."""
    sections = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    [section] = [each for each in sections if each.startswith(heading)]
    return "\n".join(re.findall(r"```console\n(.*?)```", section, flags=re.DOTALL))


def test_two_minutes_to_a_database_that_fails_over(tmp_path: Path) -> None:
    script = commands(ROOT / "README.md", "Two minutes")
    assert "zonal start" in script and "zonal drill" in script and "zonal stop" in script
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"ZONAL_STATE": str(tmp_path / "state"), "ZONAL_PORT": str(free_port()), "AWS_PAGER": ""}
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert "PostgreSQL 18" in done.stdout
        assert done.stdout.count("PASSED") == 2
    finally:
        subprocess.run([".venv/bin/zonal", "stop"], cwd=ROOT, env=environment, capture_output=True, timeout=60)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *PAGES])
def test_a_link_between_pages_has_a_target(page: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
    missing = [target for target in targets if not ((ROOT / page).parent / target).exists()]
    assert missing == []
