"""Messages for broken model constraints, as AWS's common framework writes them.

`Value 'a' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3`, several of them joined as
`2 validation errors detected: …; …`. `validation` checks a request that was parsed by the model; DynamoDB's own check reads the JSON as it
was sent and has an older and a newer wording. Both take the messages from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zonal.wire.service_models import Definition

NOT_NULL = "Member must not be null"


def bounds(definition: Definition) -> tuple[float, float]:
    """The minimum and maximum length or value; infinite if the model has none."""
    low, high = definition.min, definition.max
    return (float("-inf") if low is None else low, float("inf") if high is None else high)


def broken_length(length: int, low: float, high: float) -> list[str]:
    """The broken constraint of a string, list, map or blob of this length, if any."""
    if length < low:
        return [f"Member must have length greater than or equal to {low:.0f}"]
    return [f"Member must have length less than or equal to {high:.0f}"] if length > high else []


def broken_range(value: float, low: float, high: float) -> list[str]:
    """The broken constraint of a number, if any."""
    if value < low:
        return [f"Member must have value greater than or equal to {_number(low)}"]
    return [f"Member must have value less than or equal to {_number(high)}"] if value > high else []


def enum(choices: Iterable[str]) -> str:
    """The broken constraint of a value that is not in the enum."""
    return f"Member must satisfy enum value set: [{', '.join(choices)}]"


def pattern(expression: str) -> str:
    """The broken constraint of a string that does not match."""
    return f"Member must satisfy regular expression pattern: {expression}"


def failure(shown: str, path: str, constraint: str) -> str:
    """One broken constraint. `shown` is the value with its quotes, or `null`."""
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def summary(failures: Sequence[str]) -> str:
    """The message of all of a request's broken constraints."""
    several = "s" if len(failures) > 1 else ""
    return f"{len(failures)} validation error{several} detected: {'; '.join(failures)}"


def _number(bound: float) -> str:
    return f"{bound:.0f}" if bound == int(bound) else f"{bound:g}"
