"""Error messages of DynamoDB that exist in an older and a newer wording.

AWS moves one operation after another to newer checks, whose messages for some invalid values differ. The code that checks a value does not
know the operation, so an error with two wordings holds both (`TwoMessages`) and the operation selects one. PutItem, UpdateItem and
DeleteItem return the newer message, and put "1 validation error detected: " before errors that are found without the table. GetItem,
BatchGetItem and Query return the newer message alone, all other operations the older one.
(Recordings of DynamoDB in its commercial regions, October 2026.)
"""

from __future__ import annotations

from zonal.foundation.errors import AwsError

_ENVELOPE = "1 validation error detected: "


class TwoMessages(AwsError):
    """A `ValidationException` with the older wording in `message` and the newer one in `newer`."""

    def __init__(self, message: str, newer: str) -> None:
        super().__init__("ValidationException", message)
        self.newer = newer


def with_newer_message(error: AwsError) -> AwsError:
    """The error with its newer message, for an operation with newer checks."""
    return AwsError("ValidationException", error.newer) if isinstance(error, TwoMessages) else error


def enveloped(error: AwsError) -> AwsError:
    """The error of a single item's write that is found without its table: the newer message behind the envelope."""
    if error.code != "ValidationException":
        return error
    return AwsError("ValidationException", _ENVELOPE + with_newer_message(error).message)
