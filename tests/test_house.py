"""What a machine can hold of the house's order, so that people need not remember it."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "zonal"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 600, 70

RATCHET: dict[str, int] = {}
"""Files and functions that were longer when the ratchet was set, with their length; a line here may only shrink or go."""


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_opens_with_a_docstring_that_explains_it(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    assert len(docstring) > 25, f"{name(module)} needs a door: a docstring that lets a stranger explain it"


@pytest.mark.parametrize("package", [path for path in MODULES if path.name == "__init__.py"], ids=name)
def test_a_packages_docstring_is_prose(package: Path) -> None:
    body = ast.parse(package.read_text()).body
    others = [node for node in body[1:] if not (package.parent == SOURCE and isinstance(node, ast.Assign))]
    assert others == [], f"{name(package)} holds code; a package's door is prose only"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_no_file_and_no_function_grows_past_the_ratchet(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= RATCHET.get(name(module), LONGEST_FILE), f"{name(module)} has a second noun: give it a file"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= RATCHET.get(f"{name(module)}:{node.name}", LONGEST_FUNCTION), f"{name(module)}:{node.name} has {length} lines"


FINALIZER_MODULE = "foundation/release_queue.py"
SIGNAL_MODULE = "foundation/signal_forwarding.py"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_finalizer_only_queues(module: Path) -> None:
    """The collector runs finalizers inside anybody's locks, so all of them are registered by the one module that only queues."""
    found = [
        node.lineno
        for node in ast.walk(ast.parse(module.read_text()))
        if (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "__del__") or is_weakref_with_callback(node)
    ]
    assert found == [] or name(module) == FINALIZER_MODULE, f"{name(module)}:{found} registers a finalizer; use foundation.release_queue"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_signal_handler_only_sets_a_flag_or_sends_a_signal(module: Path) -> None:
    """A handler runs inside anybody's locks too. asyncio's `add_signal_handler` is not one: the loop calls it as any callback."""
    found = [
        node.lineno
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "signal.signal" and not is_default_handler(node.args[1])
    ]
    assert found == [] or name(module) == SIGNAL_MODULE, f"{name(module)}:{found} registers a handler; use foundation.signal_forwarding"


def is_weakref_with_callback(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom) and node.module == "weakref":
        return any(each.name in ("finalize", "ref", "proxy") for each in node.names)
    if not isinstance(node, ast.Call):
        return False
    function = ast.unparse(node.func)
    return function == "weakref.finalize" or (function in ("weakref.ref", "weakref.proxy") and len(node.args) + len(node.keywords) > 1)


def is_default_handler(node: ast.expr) -> bool:
    return ast.unparse(node) in ("signal.SIG_IGN", "signal.SIG_DFL")


def test_the_search_for_finalizers_and_handlers_finds_them() -> None:
    texts = ("weakref.finalize(a, b)", "from weakref import finalize", "weakref.ref(a, b)", "weakref.proxy(a, callback=b)")
    assert all(any(map(is_weakref_with_callback, ast.walk(ast.parse(text)))) for text in texts)
    assert not any(map(is_weakref_with_callback, ast.walk(ast.parse("weakref.ref(a)"))))


@pytest.mark.parametrize("module", [path for path in MODULES if name(path).split("/")[0] not in ("cli", "drills")], ids=name)
def test_a_process_that_must_go_on_does_not_print(module: Path) -> None:
    """`print` raises where its line cannot be written (a full disk); what lives long uses logging or `foundation.log_files`."""
    found = [
        node.lineno for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert found == [], f"{name(module)}:{found} prints"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_nothing_is_left_for_later(module: Path) -> None:
    assert re.search(r"\b(TODO|FIXME|XXX|HACK)\b", module.read_text()) is None


def test_no_path_of_somebodys_machine_is_in_the_repository() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    pattern = re.compile(rb"/(home|Users)/[a-z]+/|/work/(main|shared)|/root/")
    guilty = [file for file in files if file and (ROOT / file).is_file() and pattern.search((ROOT / file).read_bytes())]
    assert [file for file in guilty if file != "tests/test_house.py"] == []


def test_every_test_directory_mirrors_a_part_or_is_listed() -> None:
    parts = {path.name for path in SOURCE.iterdir() if path.is_dir()} | {"services"}
    mirrored = {path.name for path in (ROOT / "tests" / "unit").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert mirrored <= parts


def test_a_change_that_is_not_released_yet_has_a_fragment() -> None:
    fragments = list((ROOT / "changes").glob("*.md"))
    assert fragments, "changes/ holds a fragment for each change since the last release"
    for fragment in fragments:
        assert fragment.read_text().strip(), f"{fragment.name} is empty"
