"""Keys beside the main one: further users of the region, of its own account or of others.

The main key (`access_key`, `secret_key`) belongs to the region's account and opens everything. A further key may belong to the same
account, or to another one, which exists for S3 alone: there accounts share buckets with each other by policies and ACLs. An account is
what its keys say of it: number, canonical user id, display name, e-mail address. Secrets are never shown, not even in a `repr`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from zonal.foundation.identifiers import ACCOUNT

ANONYMOUS = "anonymous"
"""Stands for an account's number where nobody signed."""

_ANONYMOUS_ID = "65a011a29cdf8ec533ec3d1ccaae921c"
"""AWS's canonical id for whoever does not sign."""


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key, and what it tells of its account. What is empty is made from the account's number."""

    access_key: Annotated[str, Meta(min_length=1, max_length=128)]
    secret_key: Annotated[str, Meta(min_length=1)]
    account: Annotated[str, Meta(pattern=r"^\d{12}$")] = ACCOUNT
    canonical_id: str = ""
    display_name: str = ""
    email: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.access_key!r}, account={self.account!r})"


class Account(msgspec.Struct, frozen=True):
    """An account as S3 shows it to others."""

    number: str
    canonical_id: str
    display_name: str
    email: str = ""


class Accounts:
    """The accounts that a region knows: its own, and those of its further keys."""

    def __init__(self, credentials: Iterable[Credential] = ()) -> None:
        self._by_number = {ACCOUNT: _plain(ACCOUNT), ANONYMOUS: Account(ANONYMOUS, _ANONYMOUS_ID, ANONYMOUS)}
        for each in credentials:
            plain = self.of(each.account)
            known = Account(
                each.account, each.canonical_id or plain.canonical_id, each.display_name or plain.display_name, each.email or plain.email
            )
            self._by_number[each.account] = known
        self._by_canonical_id = {each.canonical_id: each for each in self._by_number.values()}
        self._by_email = {each.email.lower(): each for each in self._by_number.values() if each.email}

    def of(self, number: str) -> Account:
        """The account of this number; one that nobody has told of is what its number makes of it."""
        return self._by_number.get(number) or _plain(number)

    def by_canonical_id(self, canonical_id: str) -> Account | None:
        return self._by_canonical_id.get(canonical_id)

    def by_email(self, email: str) -> Account | None:
        return self._by_email.get(email.lower())


def _plain(number: str) -> Account:
    """A canonical user id is 64 hexadecimal digits, always the same for one account."""
    return Account(number, hashlib.sha256(f"zonal canonical user {number}".encode()).hexdigest(), number)
