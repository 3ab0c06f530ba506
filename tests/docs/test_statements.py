"""Settings, variables and commands in the docs exist: every snippet is loaded or parsed."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from zonal.cli.main import zonal as command_line
from zonal.foundation.settings import Settings, load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "changes").glob("*.md"))]
SOURCES = [
    *(ROOT / "src").rglob("*.py"),
    *(ROOT / "tests").rglob("*.py"),
    *(path for path in (ROOT / "script").iterdir() if path.is_file()),
]
DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Settings)}
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def inline(page: Path) -> list[str]:
    """Inline code outside of blocks."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose)]


def test_there_are_snippets_of_every_kind() -> None:
    assert any(blocks(page, "toml") for page in PAGES)
    assert any(assignments(page) for page in PAGES) and any(defaults(page) for page in PAGES)
    assert len({command for page in PAGES for command in commands(page)}) > 25


@pages
def test_a_region_loads_every_settings_file_in_the_docs(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page, "toml")):
        state = tmp_path / str(number)
        state.mkdir()
        (state / "settings.toml").touch(mode=0o600)
        (state / "settings.toml").write_text(block)
        load(state, environment={})


def assignments(page: Path) -> list[str]:
    return [each for each in inline(page) if re.match(rf"({'|'.join(DEFAULTS)}) *=", each)]


@pages
def test_a_settings_value_in_the_docs_is_valid(page: Path) -> None:
    for snippet in assignments(page):
        msgspec.convert(tomllib.loads(snippet), Settings, strict=False)


def defaults(page: Path) -> list[tuple[str, str]]:
    """Settings that a page names with a value in brackets: `name` (value)."""
    return re.findall(rf"`({'|'.join(DEFAULTS)})`\s+\(([^)\s]+)\)", page.read_text())


@pages
def test_a_default_in_the_docs_is_the_settings_default(page: Path) -> None:
    for name, value in defaults(page):
        assert value == str(DEFAULTS[name]), f"`{name}` ({value}): the default is {DEFAULTS[name]}"


@pages
def test_a_variable_in_the_docs_is_read_by_the_code(page: Path) -> None:
    known = {f"ZONAL_{name.upper()}" for name in DEFAULTS}
    known |= {name for path in SOURCES if path != Path(__file__) for name in re.findall(r"\bZONAL_[A-Z0-9_]+\b", path.read_text())}
    assert set(re.findall(r"\bZONAL_[A-Z0-9_]+\b", page.read_text())) <= known


def commands(page: Path) -> list[tuple[str, ...]]:
    """Commands of the command line, in blocks and in prose, as argv; without comments, pipes, and columns of explanation."""
    if page.name == "cli.md":
        return []  # Printed from the commands themselves.
    lines = inline(page)
    for language in ("console", "sh", "bash"):
        lines += [line for block in blocks(page, language) for line in block.replace("\\\n", " ").splitlines()]
    lines += [re.split(r"\s{2,}", line)[0] for block in blocks(page, "text") for line in block.splitlines()]
    found = []
    for line in lines:
        match = re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?zonal ([a-z].*)", line.removeprefix("$ "))
        if match:
            segments = shlex.split(match[1].replace("…", ""), comments=True)
            found.append(tuple(itertools.takewhile(lambda word: word not in ("|", "&&", ";"), segments)))
    return found


PLACEHOLDER = {"ZONE": "us-east-1a", "N": "1", "P": "1", "MS": "1", "DIR": "d", "PORT": "1", "[--index": "--index", "INDEX]": "INDEX"}


@pages
def test_the_command_line_parses_every_command_in_the_docs(page: Path) -> None:
    for command in commands(page):
        check_argv(command_line, [PLACEHOLDER.get(word, word) for word in command], shlex.join(command))


def check_argv(command: click.Command, argv: list[str], whole: str, parent: click.Context | None = None) -> None:
    """Parse as the command line does; arguments that a sentence omits may be missing."""
    context = click.Context(command, parent=parent, info_name=command.name, **command.context_settings)
    if isinstance(command, click.Group):
        if not argv:
            return
        child = command.get_command(context, argv[0])
        assert child is not None, f"`zonal {whole}`: there is no {argv[0]}"
        check_argv(child, argv[1:], whole, context)
        return
    try:
        command.make_context(command.name, list(argv), parent=parent)
    except click.MissingParameter:
        pass
    except click.BadOptionUsage as error:
        assert error.option_name in whole and "requires an argument" in error.message, f"`zonal {whole}`: {error.message}"
    except click.UsageError as error:
        raise AssertionError(f"`zonal {whole}`: {error.message}") from None
