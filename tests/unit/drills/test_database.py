"""A drill's own database is deleted whatever happens during its creation."""

from typing import Any

import pytest

from zonal.drills.database import create


class Account:
    """RDS with one instance that is interrupted before it is available."""

    def __init__(self, states: list[str | type[BaseException]]) -> None:
        self.states = states
        self.deleted: list[str] = []

    def create_db_instance(self, **asked: Any) -> dict[str, Any]:
        return {"DBInstance": {"DBInstanceArn": f"arn:aws:rds:us-east-1:000000000000:db:{asked['DBInstanceIdentifier']}"}}

    def describe_db_instances(self, **asked: str) -> dict[str, Any]:
        state = self.states.pop(0)
        if not isinstance(state, str):
            raise state
        return {"DBInstances": [asked | {"DBInstanceStatus": state}]}

    def delete_db_instance(self, **asked: Any) -> None:
        assert asked["SkipFinalSnapshot"]
        self.deleted.append(asked["DBInstanceIdentifier"])


class Journal:
    """An operator whose journal has nothing new."""

    def journal(self, *, after: int = 0, subject: str = "") -> list[Any]:
        return []


@pytest.mark.parametrize("failures", [KeyboardInterrupt, ConnectionError])
def test_a_database_that_is_not_waited_for_is_deleted(failures: type[BaseException]) -> None:
    account, said = Account(["creating", failures]), list[str]()
    with pytest.raises(failures):
        create(account, Journal(), engine_version=None, report_progress=said.append)  # type: ignore[arg-type]
    [name] = account.deleted
    assert name in said[0]


def test_a_database_that_is_available_is_handed_over() -> None:
    account, said = Account(["creating", "available"]), list[str]()
    assert create(account, Journal(), engine_version=None, report_progress=said.append).identifier in said[-1]  # type: ignore[arg-type]
    assert account.deleted == []
