import pytest

from .printed import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_printed_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), f"docs/{name} is out of date: run script/docs"


def test_the_settings_page_names_the_type_of_each_list() -> None:
    rows = {row.split("`")[1]: row.split("|")[3].strip() for row in PAGES["settings.md"]().splitlines() if row.startswith("| `")}
    assert rows["credentials"] == "a list of tables"
    assert rows["allowed_hosts"] == rows["allowed_origins"] == "a list of strings"
