"""Options and parameter types that commands share: the state directory, JSON output, and finite numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from zonal.foundation.errors import describe

F = TypeVar("F", bound=Callable[..., Any])


LONGEST_STATE_PATH = 400
"""In bytes. SQLite opens paths of up to 512 bytes, including the longest name below a state directory."""


class Amount(click.FloatRange):
    """A finite number in a range. click accepts `nan` in every range, and infinity in an open one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class StateDirectory(click.Path):
    """A directory that need not exist. An empty value, as an unset variable gives one, does not mean the current directory."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty.", param, ctx)
        return super().convert(value, param, ctx)


def default_state() -> Path:
    """The state directory of this user's region: `$ZONAL_STATE`, else below `$XDG_STATE_HOME`, else `~/.local/state/zonal`."""
    if chosen := os.environ.get("ZONAL_STATE"):
        return Path(chosen)
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "zonal"


def _resolve(_context: click.Context, _parameter: click.Parameter, given: Path | None) -> Path:
    chosen = given or default_state()
    try:
        if len(str(chosen.absolute()).encode()) > LONGEST_STATE_PATH:
            raise click.BadParameter(f"its path is longer than {LONGEST_STATE_PATH} bytes.")
        return chosen.resolve()  # SQLite and the sandbox's mounts need an absolute path without `..`.
    except UnicodeEncodeError as error:
        raise click.BadParameter("its name is not UTF-8.") from error
    except (OSError, RuntimeError) as error:
        raise click.BadParameter(f"{chosen} cannot be resolved: {describe(error)}") from error


def state_option(command: F) -> F:
    """`--state DIR`: the region, by its state directory."""
    return click.option(
        "--state",
        type=StateDirectory(),
        callback=_resolve,
        metavar="DIR",
        help="The region's state directory; each directory is a region. [default: $ZONAL_STATE, else the user's state directory]",
    )(command)


def json_option(command: F) -> F:
    """`--json`: prints JSON, for a program."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
