"""How netlink messages are written: attributes have the kernel's names, and what is written is what the kernel's headers say."""

from __future__ import annotations

import ast
import inspect
import struct
from types import ModuleType

import pytest

from zonal.fabric.linux import netlink, nftables
from zonal.fabric.linux.netlink import KernelRoute, NetlinkBatch, attributes

WRITERS = {"attribute", "number", "text", "nested", "_number"}


@pytest.mark.parametrize("module", [netlink, nftables])
def test_no_attribute_is_a_bare_number(module: ModuleType) -> None:
    bare = []
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[kind, *_]) if name in WRITERS:
                used = [part for part in ast.walk(kind) if isinstance(part, ast.Constant) and isinstance(part.value, int)]
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=int()) as kind, *_]):
                used = [kind]
            case ast.Subscript(value=ast.Name(id="values") | ast.Call(func=ast.Name(id="dict")), slice=ast.Constant() as kind):
                used = [kind]
            case ast.Compare(left=ast.Constant(value=int()) as kind, ops=[ast.In()]):
                used = [kind]
            case _:
                continue
        if used:
            bare.append(ast.unparse(node))
    assert bare == []


def test_a_route_is_written_as_the_kernel_reads_it() -> None:
    batch = NetlinkBatch()
    netlink.route(batch, KernelRoute(4711, "10.0.0.0/24", device="core", gateway="169.254.0.1", source="10.0.0.5", metric=1), 7)
    [(_, _, body, _)] = batch.messages
    assert body[:4] == bytes((2, 24, 0, 0))
    assert dict(attributes(body, 12)) == {
        1: bytes((10, 0, 0, 0)),
        15: struct.pack("=I", 4711),
        4: struct.pack("=I", 7),
        5: bytes((169, 254, 0, 1)),
        7: bytes((10, 0, 0, 5)),
        6: struct.pack("=I", 1),
    }
