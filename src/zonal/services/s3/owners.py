"""The `Owner` member of responses, and the groups that grants may name."""

from __future__ import annotations

from zonal.foundation.credentials import Account

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS = (ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY)


def owner(account: Account) -> dict[str, str]:
    """An account as `Owner` in a response. (AWS omits the display name since November 2025; older clients need it.)"""
    return {"DisplayName": account.display_name, "ID": account.canonical_id}
