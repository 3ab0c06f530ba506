import sys

import pytest

from zonal.cli.capacity_chart import draw
from zonal.dynamo.capacity_comparison import compare
from zonal.foundation.errors import ZonalError


def test_a_tables_traffic_is_drawn_as_svg() -> None:
    assert b"<svg" in draw(compare("orders", []))


def test_without_pygal_the_command_says_how_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygal", None)
    with pytest.raises(ZonalError, match=r"pip install 'zonal\[charts\]'"):
        draw(compare("orders", []))
