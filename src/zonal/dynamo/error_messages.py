"""Refusals that DynamoDB words in two ways, and who says which.

AWS moves its operations, one after another, to a newer way of checking requests, which has other words for some of what can be wrong
with a value. Whoever checks a value does not know for which operation: a refusal that has two wordings holds both (`TwoMessages`), and the
operation picks. PutItem, UpdateItem and DeleteItem speak the newer words, and put each refusal that comes before the table is looked up
behind "1 validation error detected: "; GetItem, BatchGetItem and Query speak them bare; all others speak the older ones.
(Recordings of DynamoDB in its commercial regions, October 2026.)
"""

from __future__ import annotations

from zonal.foundation.errors import AwsError

_ENVELOPE = "1 validation error detected: "


class TwoMessages(AwsError):
    """A `ValidationException` whose `message` is the older wording and `newer` the newer one."""

    def __init__(self, message: str, newer: str) -> None:
        super().__init__("ValidationException", message)
        self.newer = newer


def with_newer_message(error: AwsError) -> AwsError:
    """The refusal as an operation says it that AWS has moved."""
    return AwsError("ValidationException", error.newer) if isinstance(error, TwoMessages) else error


def enveloped(error: AwsError) -> AwsError:
    """The refusal of a single item's write, as said before its table is looked up."""
    if error.code != "ValidationException":
        return error
    return AwsError("ValidationException", _ENVELOPE + with_newer_message(error).message)
