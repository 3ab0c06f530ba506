"""The rules of the house style that a machine can check: names, docstrings, sizes, and calls that a long-lived process must not make."""

import ast
import functools
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "zonal"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 600, 70

RATCHET: dict[str, int] = {}
"""Files and functions that may be longer, with their length; an entry may only shrink or be removed."""


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_opens_with_a_docstring_that_explains_it(module: Path) -> None:
    docstring = ast.get_docstring(tree(module)) or ""
    assert len(docstring) > 25, f"{name(module)} needs a docstring that explains it to a stranger"


@pytest.mark.parametrize("package", [path for path in MODULES if path.name == "__init__.py"], ids=name)
def test_a_package_module_contains_only_its_overview(package: Path) -> None:
    body = tree(package).body
    others = [node for node in body[1:] if not (package.parent == SOURCE and isinstance(node, ast.Assign))]
    assert others == [], f"{name(package)} contains code; a package's overview is prose only"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_file_and_a_function_stay_below_their_longest_length(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= RATCHET.get(name(module), LONGEST_FILE), f"{name(module)} has a second noun: give it a file"
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= RATCHET.get(f"{name(module)}:{node.name}", LONGEST_FUNCTION), f"{name(module)}:{node.name} has {length} lines"


FINALIZER_MODULE = "foundation/release_queue.py"
SIGNAL_MODULE = "foundation/signal_forwarding.py"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_finalizer_only_queues(module: Path) -> None:
    """The garbage collector runs finalizers while any lock may be held, so one module registers them all, and they only queue."""
    found = [
        node.lineno
        for node in ast.walk(tree(module))
        if (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "__del__") or is_weakref_with_callback(node)
    ]
    assert found == [] or name(module) == FINALIZER_MODULE, f"{name(module)}:{found} registers a finalizer; use foundation.release_queue"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_signal_handler_only_sets_a_flag_or_sends_a_signal(module: Path) -> None:
    """A handler runs while any lock may be held. `add_signal_handler` of asyncio is allowed: the loop calls it like any callback."""
    found = [
        node.lineno
        for node in ast.walk(tree(module))
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


def test_the_check_for_finalizers_finds_every_form() -> None:
    texts = ("weakref.finalize(a, b)", "from weakref import finalize", "weakref.ref(a, b)", "weakref.proxy(a, callback=b)")
    assert all(any(map(is_weakref_with_callback, ast.walk(ast.parse(text)))) for text in texts)
    assert not any(map(is_weakref_with_callback, ast.walk(ast.parse("weakref.ref(a)"))))


@pytest.mark.parametrize("module", [path for path in MODULES if name(path).split("/")[0] not in ("cli", "drills")], ids=name)
def test_a_long_lived_process_does_not_print(module: Path) -> None:
    """`print` raises when its line cannot be written (a full disk); use logging or `foundation.log_files`."""
    found = [node.lineno for node in ast.walk(tree(module)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"]
    assert found == [], f"{name(module)}:{found} prints"


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_contains_no_note_of_unfinished_work(module: Path) -> None:
    assert re.search(r"\b(TODO|FIXME|XXX|HACK)\b", module.read_text()) is None


def test_the_repository_contains_no_path_of_a_developers_machine() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    pattern = re.compile(rb"/(home|Users)/[a-z]+/|/work/(main|shared)|/root/")
    matching = [file for file in files if file and (ROOT / file).is_file() and pattern.search((ROOT / file).read_bytes())]
    assert [file for file in matching if file != "tests/test_house.py"] == []


def test_every_directory_of_unit_tests_mirrors_a_package() -> None:
    parts = {path.name for path in SOURCE.iterdir() if path.is_dir()} | {"services"}
    mirrored = {path.name for path in (ROOT / "tests" / "unit").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert mirrored <= parts


def test_a_change_that_is_not_released_yet_has_a_changelog_fragment() -> None:
    fragments = list((ROOT / "changes").glob("*.md"))
    assert fragments, "changes/ holds a fragment for each change since the last release"
    for fragment in fragments:
        assert fragment.read_text().strip(), f"{fragment.name} is empty"


GERUNDS = {"signing", "listing", "paging", "routing", "logging", "forwarding"}
"""Gerunds that are the field's own nouns, so a module may have them as its name or its last word."""

REPLACED_MODULES = {
    "console",
    "door",
    "desk",
    "places",
    "readiness",
    "shelf",
    "room",
    "ground",
    "hands",
    "looking",
    "inside",
    "running",
    "picture",
    "porter",
    "acting",
    "life",
    "succession",
    "planning",
    "eye",
    "programs",
    "entry",
    "views",
    "wiring",
    "naming",
    "names",
    "markup",
    "bucket_markup",
    "refusals",
    "sending",
    "upkeep",
    "stored",
    "wording",
    "nesting",
    "lag",
    "units",
    "keeper",
    "keeper_link",
    "tree",
    "words",
    "charges",
    "terms",
    "entries",
    "walking",
    "commits",
    "moments",
    "world",
    "policy_words",
    "locating",
    "restoring",
    "copying",
    "deleting",
    "writing",
    "reading",
    "quoting",
    "convergence",
}
REPLACED_IDENTIFIERS = {
    "words",
    "Door",
    "Desk",
    "Hands",
    "Ground",
    "Shelf",
    "Eye",
    "Wanted",
    "Standing",
    "Sighting",
    "Look",
    "Refuse",
    "Governor",
    "governor",
    "Porter",
    "porter",
    "Cables",
    "cables",
    "Wiring",
    "wiring",
    "Frontend",
    "frontend",
    "frontends",
    "KeeperLink",
    "World",
    "beacons",
    "hearing",
    "knock",
    "welcome",
    "take_in",
    "look_again",
    "overtake_uploads",
    "_flying",
    "_aboard",
    "_take_off",
    "Lasting",
    "Catalogue",
    "Upkeep",
    "Reworded",
    "room_for",
    "with_room",
    "shelf",
    "standing",
    "sighting",
    "upkeep",
}


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_modules_name_is_a_noun(module: Path) -> None:
    last = module.stem.rpartition("_")[2]
    assert not last.endswith("ing") or last in GERUNDS, f"{name(module)}: name the module by a noun of the field"


def test_a_types_name_is_defined_once() -> None:
    """One word has one meaning across the project: qualify the second type (`HttpRequest`, `FailoverView`)."""
    defined: dict[str, list[str]] = defaultdict(list)
    for module in MODULES:
        for node in tree(module).body:
            if isinstance(node, ast.ClassDef):
                defined[node.name].append(name(module))
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                # An alias of a type is in capitalized words; a constant and a TypeVar of one letter are not.
                aliases = [each.id for each in targets if isinstance(each, ast.Name) and re.fullmatch(r"_?[A-Z]\w*[a-z]\w*", each.id)]
                for alias in aliases:
                    defined[alias].append(name(module))
    assert {each: modules for each, modules in defined.items() if len(modules) > 1} == {}


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_replaced_name_is_not_used_in_the_source(module: Path) -> None:
    parts = set(module.relative_to(SOURCE).with_suffix("").parts)
    assert not parts & REPLACED_MODULES, f"{name(module)} has a name that was replaced by a term of the field"
    used: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Name):
            used.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            used.add(node.arg)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            used.add(node.name)
    assert used & REPLACED_IDENTIFIERS == set(), f"{name(module)} uses names that were replaced by terms of the field"


@pytest.mark.parametrize("module", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_replaced_name_is_not_used_for_a_test_module(module: Path) -> None:
    assert module.stem.removeprefix("test_") not in REPLACED_MODULES
