"""Pagination: every item once and in order with any page size; tokens are valid for their operation only."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.foundation.errors import AwsError
from zonal.services.common.paging import Paging

PAGING = Paging(
    size_name="MaxThings",
    token_name="Next",
    fewest=2,
    most=50,
    out_of_bounds=lambda size, fewest, most: AwsError("Bounds", f"{size} not in {fewest}..{most}"),
    wrong_token=lambda token: AwsError("Token", token),
)
DIGESTS = PAGING._replace(digest=lambda key: hashlib.sha256(key.encode()).hexdigest())


def read_all(paging: Paging, items: list[str], size: int) -> list[list[str]]:
    """All pages, read by following the tokens."""
    pages, request = [], {"MaxThings": size}
    while True:
        page = paging.page(items, request, issuer="List", key=str)
        pages.append(list(page.items))
        if page.token is None:
            return pages
        request = {"MaxThings": size, "Next": page.token}


@given(st.sets(st.text(min_size=1)), st.integers(2, 50))
def test_pages_return_every_item_once_and_in_order(items: set[str], size: int) -> None:
    expected = sorted(items)
    for paging in (PAGING, DIGESTS):
        pages = read_all(paging, expected, size)
        assert [item for page in pages for item in page] == expected
        assert all(len(page) == size for page in pages[:-1]) and len(pages[-1]) <= size


def test_a_page_continues_after_an_item_that_was_deleted() -> None:
    token = PAGING.page(["a", "b", "c", "d"], {"MaxThings": 2}, issuer="List", key=str).token
    assert PAGING.page(["a", "c", "d"], {"Next": token}, issuer="List", key=str).items == ["c", "d"]


def test_digests_work_with_items_in_any_order() -> None:
    assert read_all(DIGESTS, ["c", "a", "b"], 2) == [["c", "a"], ["b"]]


@pytest.mark.parametrize("size", [-1, 0, 1, 51])
def test_a_size_out_of_bounds_is_rejected_with_the_bounds(size: int) -> None:
    with pytest.raises(AwsError) as error:
        PAGING.page(["a"], {"MaxThings": size}, issuer="List", key=str)
    assert (error.value.code, error.value.message) == ("Bounds", f"{size} not in 2..50")


def test_a_token_of_another_operation_is_rejected() -> None:
    token = PAGING.page(["a", "b", "c"], {"MaxThings": 2}, issuer="Other", key=str).token
    for paging in (PAGING, DIGESTS):
        for wrong in (token, "x", "é", "AAAA"):
            with pytest.raises(AwsError) as error:
                paging.page(["a", "b", "c"], {"Next": wrong}, issuer="List", key=str)
            assert error.value.code == "Token"


def test_an_operation_may_have_bounds_of_its_own_and_a_default() -> None:
    items = [f"{number:03}" for number in range(100)]
    assert len(PAGING.page(items, {}, issuer="List", key=str).items) == 100
    assert len(PAGING._replace(default=10).page(items, {}, issuer="List", key=str).items) == 10
    assert len(PAGING.bounded(most=80).page(items, {"MaxThings": 80}, issuer="List", key=str).items) == 80
    assert len(PAGING.bounded(fewest=1).page(items, {"MaxThings": 1}, issuer="List", key=str).items) == 1
