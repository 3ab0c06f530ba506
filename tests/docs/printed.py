"""Pages of docs/ that are printed from the code: `script/docs` writes them, `test_printed.py` compares them."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import click

import zonal
import zonal.services
from zonal.cli.main import zonal as command_line
from zonal.foundation import settings
from zonal.records.lifecycle import Lifecycle
from zonal.services.dynamodb.service import NAMES as DYNAMODB_NAMES
from zonal.services.dynamodb.unsupported import TABLE as UNSUPPORTED
from zonal.services.dynamodb.unsupported import UnsupportedParameter
from zonal.wire import service_models

DOCS = Path(__file__).parents[2] / "docs"
PACKAGES = {found.name for found in pkgutil.iter_modules(zonal.services.__path__) if found.ispkg}
_PRINTED, _END = "<!-- printed from the code by script/docs -->", "<!-- end of what is printed -->"


def modules() -> Iterator[ModuleType]:
    """Every module of zonal, imported."""
    for found in pkgutil.walk_packages(zonal.__path__, "zonal."):
        yield importlib.import_module(found.name)


def settings_page() -> str:
    head = "# Settings\n\nA setting comes from the command line, else from the environment (`ZONAL_PORT`), else from `settings.toml` in the"
    return f"{head}\nstate directory, else it has its default.\n\n{settings.table()}\n"


def command_page() -> str:
    parts = ["# The command line\n"]
    shape = command_line.context_settings | {"max_content_width": 100, "terminal_width": 100}
    for context in _contexts(click.Context(command_line, info_name="zonal", **shape)):
        parts.append(f"## `{context.command_path}`\n\n```text\n{context.get_help().rstrip()}\n```\n")
    return "\n".join(parts)


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """A command and its subcommands, each with its parent's context, so that inherited settings (`-h`) apply."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            child = context.command.get_command(context, name)
            assert child is not None
            yield from _contexts(click.Context(child, info_name=name, parent=context))


def lifecycle_page() -> str:
    parts = ["# Lifecycles\n\nEach record with states has one table; this page is printed from them.\n"]
    found = {value.name: value for module in modules() for value in vars(module).values() if isinstance(value, Lifecycle)}
    for name in sorted(found):
        rows = "\n".join(f"| {row.state} | {row.event} | {row.next} | {row.why} |" for row in found[name].rows)
        table = f"| state | event | next | why |\n|---|---|---|---|\n{rows}"
        parts.append(f"## {name}\n\n```mermaid\n{found[name].diagram()}\n```\n\n{table}\n")
    return "\n".join(parts)


def operation_page() -> str:
    parts = ["# Operations\n\nWhat is built, by service. Every other operation of these services answers 501 `NotImplemented`.\n"]
    for service, names in sorted(_operations().items()):
        parts.append(f"## {service}: {len(names)} operations\n\n{', '.join(f'`{name}`' for name in sorted(names))}\n")
    return "\n".join(parts)


def _operations() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for module in modules():
        if not module.__name__.startswith("zonal.services."):
            continue
        package = module.__name__.split(".")[2]
        for _, noun in inspect.getmembers(module, inspect.isclass):
            for _, method in inspect.getmembers(noun, inspect.isfunction):
                if operation := getattr(method, "aws_operation", None):
                    found.setdefault(_service_of(package, operation), set()).add(operation)
    return found


def _service_of(package: str, operation: str) -> str:
    """The service of an operation: a package may hold several services of botocore (`NAMES` of its `service` module)."""
    spec = importlib.util.find_spec(f"zonal.services.{package}.service") if package in PACKAGES else None
    names = getattr(importlib.import_module(spec.name), "NAMES", (package,)) if spec is not None else (package,)
    return next(name for name in names if len(names) == 1 or service_models.service(name).operation(operation) is not None)


TITLES = {"dynamodb": "DynamoDB", "wire": "The API endpoint", "operator": "The command line and drills", "ec2": "EC2", "rds": "RDS"}


def limits_page() -> str:
    """The lists in docs/limits.d, one for each part, as one page."""
    parts = [
        "# Limits\n\nWhat zonal does not do, and where it differs from AWS. An operation that is not built returns 501 `NotImplemented`;\n"
        "a parameter whose effect is not implemented is rejected. No parameter is silently ignored.\n"
    ]
    for path in sorted((DOCS / "limits.d").glob("*.md")):
        parts.append(f"## {TITLES.get(path.stem, path.stem.capitalize())}\n\n{path.read_text().strip()}\n")
    return "\n".join(parts)


def dynamodb_page() -> str:
    """The page with its section on operations printed anew, between the two marks."""
    before, _, rest = (DOCS / "dynamodb.md").read_text().partition(_PRINTED)
    _, _, after = rest.partition(_END)
    built = _operations()
    parts = ["| service | operations |\n|---|---|"]
    parts += [f"| {name} | {', '.join(sorted(built[name]))} |" for name in DYNAMODB_NAMES]
    other = sorted(set(service_models.service("dynamodb").operation_names) - built["dynamodb"])
    parts.append(f"\nThe other operations answer 501 `NotImplemented`: {', '.join(other)}.")
    parts.append("\nA request that sets one of these parameters is rejected with a `ValidationException`:\n")
    parts.append("| operation | parameter | why |\n|---|---|---|")
    parts += [f"| {row.operation} | {_parameter(row)} | {row.reason} |" for row in UNSUPPORTED]
    return f"{before}{_PRINTED}\n{chr(10).join(parts)}\n{_END}{after}"


def _parameter(row: UnsupportedParameter) -> str:
    return f"`{row.path}`" + (f" {', '.join(row.values)}" if row.values else "")


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "cli.md": command_page,
    "lifecycles.md": lifecycle_page,
    "operations.md": operation_page,
    "limits.md": limits_page,
    "dynamodb.md": dynamodb_page,
}


def write() -> None:
    """Print every page into docs/."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())


if __name__ == "__main__":
    write()
