"""Access keys and accounts beside the default ones.

The default key (`access_key`, `secret_key`) belongs to the region's account. A further key may belong to the same account or to another
one. Other accounts can use S3 and STS only; in S3 accounts share buckets by policies and ACLs. An account's number, canonical user id,
display name and e-mail address come from its keys. A `repr` never contains a secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from zonal.foundation.identifiers import ACCOUNT

ANONYMOUS = "anonymous"
"""Takes the place of an account number for unsigned requests."""

_ANONYMOUS_ID = "65a011a29cdf8ec533ec3d1ccaae921c"
"""AWS's canonical user id of anonymous callers."""


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An access key and its account. Empty fields get values that are derived from the account's number."""

    access_key: Annotated[str, Meta(min_length=1, max_length=128)]
    secret_key: Annotated[str, Meta(min_length=1)]
    account: Annotated[str, Meta(pattern=r"^\d{12}$")] = ACCOUNT
    canonical_id: str = ""
    display_name: str = ""
    email: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.access_key!r}, account={self.account!r})"


class Account(msgspec.Struct, frozen=True):
    """An account as S3 shows it to other accounts."""

    number: str
    canonical_id: str
    display_name: str
    email: str = ""


class Accounts:
    """The accounts of a region: its own, and those of the further keys."""

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
        """The account with this number. An account without a key is derived from its number."""
        return self._by_number.get(number) or _plain(number)

    def by_canonical_id(self, canonical_id: str) -> Account | None:
        return self._by_canonical_id.get(canonical_id)

    def by_email(self, email: str) -> Account | None:
        return self._by_email.get(email.lower())


def _plain(number: str) -> Account:
    """An account derived from its number. A canonical user id is 64 hexadecimal digits, and constant for an account."""
    return Account(number, hashlib.sha256(f"zonal canonical user {number}".encode()).hexdigest(), number)
