"""The entry point of the command line: imports the command, runs it, and prints an error as one sentence with an exit status."""

from __future__ import annotations

import importlib
import sys

import click

from zonal.foundation.errors import ZonalError, describe

COMMANDS = {
    "start": "zonal.cli.start_stop:start",
    "stop": "zonal.cli.start_stop:stop",
    "status": "zonal.cli.inspect:status",
    "env": "zonal.cli.inspect:env",
    "journal": "zonal.cli.inspect:journal",
    "logs": "zonal.cli.inspect:logs",
    "exec": "zonal.cli.exec:execute",
    "fail": "zonal.cli.fail_recover:fail",
    "recover": "zonal.cli.fail_recover:recover",
    "drill": "zonal.cli.drills:drill",
    "report": "zonal.cli.report:report",
    "engines": "zonal.cli.engines:engines",
    "doctor": "zonal.cli.doctor:doctor",
}

NO_REGION = 3
"""Exit status where no region runs on the state directory."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="zonal", prog_name="zonal")
def zonal() -> None:
    """An AWS region on this machine, with Availability Zones that can really fail.

    Start with `zonal start -d` and `eval "$(zonal env)"`; then aws, boto3 and every other SDK use the region.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process."""
    try:
        status = zonal.main(arguments, prog_name="zonal", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ZonalError as error:
        click.echo(f"zonal: {error}", err=True)
        sys.exit(NO_REGION if type(error).__name__ == "RegionAbsent" else 1)
    except BrokenPipeError:
        sys.stderr.close()  # The reader of the output has ended; Python would report the failed flush at exit.
        sys.exit(141)
    except OSError as error:
        click.echo(f"zonal: {describe(error)}", err=True)  # A full disk or a file of another user: the system's message names the file.
        sys.exit(1)


if __name__ == "__main__":
    main()
