"""The failover page holds the table that decides."""

from pathlib import Path

from zonal.control.failover import table


def test_the_failover_page_holds_the_table_of_the_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "failover.md").read_text()
    assert table() in page, "print it anew: python -c 'from zonal.control.failover import table; print(table())'"
