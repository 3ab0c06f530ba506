import subprocess
import sys

import pytest

IMPORT_ALL = """
import builtins, importlib, pkgutil, sys

package = importlib.import_module(sys.argv[1])
names = sorted(found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."))
original = builtins.__import__
users = set()

def watched(name, globals=None, *rest, **named):
    importer = (globals or {}).get("__name__", "")
    if name.partition(".")[0] == "ctypes" and importer.startswith("zonal."):
        users.add(importer)
    return original(name, globals, *rest, **named)

builtins.__import__ = watched
for name in names:
    importlib.import_module(name)
kernel = sorted(name for name in sys.modules if name.startswith("zonal.fabric.linux"))
assert names, "the package has no modules"
assert not kernel and not users, f"loaded: {kernel}, ctypes imported by: {sorted(users)}"
"""
"""Imports are never undone: where no module is loaded after all of them were imported, no single one of them loads it."""


@pytest.mark.parametrize("package", ["zonal.services", "zonal.control", "zonal.engines"])
def test_importing_any_module_of_the_package_loads_no_kernel_code(package: str) -> None:
    """Other libraries may load `ctypes` for themselves; modules of zonal must not."""
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, package], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
