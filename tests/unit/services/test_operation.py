"""Operations are found by their marks."""

from __future__ import annotations

from typing import Any

import pytest

from zonal.services.operation import Call, handlers, operation


class Keys:
    @operation("CreateKey")
    def create(self, call: Call, request: Any) -> dict[str, str]:
        return {"KeyId": request["Name"]}

    def helper(self) -> None: ...


def test_marked_methods_are_found_and_helpers_are_not() -> None:
    assert list(handlers(Keys())) == ["CreateKey"]


def test_two_nouns_cannot_claim_one_operation() -> None:
    with pytest.raises(ValueError, match=r"CreateKey has two handlers: Keys\.create"):
        handlers(Keys(), Keys())
