"""JSON is decoded within its bounds, whatever its strings contain."""

from __future__ import annotations

import pytest

from zonal.wire.json_bodies import DEPTH_LIMIT, NotJson, decode


def nested(levels: int, element: bytes) -> bytes:
    return (b"[" + element + b",") * levels + b"1" + b"]" * levels


@pytest.mark.parametrize("element", [b'"x"', b'"]"', b'"]]]]"', b'{"a]]]": 1}', b'"\\"]"', b'"\\\\"'])
def test_brackets_in_strings_do_not_hide_the_depth(element: bytes) -> None:
    with pytest.raises(NotJson, match="nested more than 160 deep"):
        decode(nested(DEPTH_LIMIT + 1, element))
    assert decode(nested(DEPTH_LIMIT - 1, element)) is not None


def test_opening_brackets_in_strings_are_not_levels() -> None:
    assert decode(b'["' + b"[" * 1000 + b'", "' + b"{" * 1000 + b'"]') == ["[" * 1000, "{" * 1000]
