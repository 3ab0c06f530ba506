"""Who somebody is to S3: an account, its canonical id, and the name that lists show."""

from __future__ import annotations

import hashlib

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS = (ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY)


def canonical_id(account: str) -> str:
    """An account's canonical user id: 64 hexadecimal digits, always the same for one account."""
    return hashlib.sha256(f"zonal canonical user {account}".encode()).hexdigest()


def owner(account: str) -> dict[str, str]:
    """An account as `Owner` in an answer."""
    return {"DisplayName": account, "ID": canonical_id(account)}
