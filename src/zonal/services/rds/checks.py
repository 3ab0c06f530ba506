"""Validates a DB instance's identifier, master user, password, database and port.

The rules are those of CreateDBInstance's parameters; the messages are RDS's.
"""

from __future__ import annotations

import re

from zonal.foundation.errors import AwsError
from zonal.services.rds.engines import RdsEngine

_IDENTIFIER = re.compile(r"[a-zA-Z](?:-?[a-zA-Z0-9])*")
_LONGEST_IDENTIFIER = 63
_FORBIDDEN_IN_PASSWORDS = '/@" '
SMALLEST_PORT, LARGEST_PORT = 1150, 65535


def checked_identifier(text: str, parameter: str = "DBInstanceIdentifier") -> str:
    """An identifier in lower case. Raises `InvalidParameterValue`."""
    if not _IDENTIFIER.fullmatch(text) or len(text) > _LONGEST_IDENTIFIER:
        raise AwsError(
            "InvalidParameterValue",
            f"The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters,"
            " digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens.",
        )
    return text.lower()


def check_password(password: str) -> None:
    """Raise `InvalidParameterValue`, without the password in the message."""
    if len(password) < 8:
        raise AwsError(
            "InvalidParameterValue", "The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters."
        )
    if len(password) > 128:
        raise AwsError(
            "InvalidParameterValue", "The parameter MasterUserPassword is not a valid password because it is longer than 128 characters."
        )
    if any(character in _FORBIDDEN_IN_PASSWORDS or not "!" <= character <= "~" for character in password):
        raise AwsError(
            "InvalidParameterValue",
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides '/', '@', '\"', ' ' may be"
            " used.",
        )


def check_master_username(name: str, engine: RdsEngine) -> None:
    """Raises `InvalidParameterValue`."""
    if not re.fullmatch(r"[a-zA-Z_]\w{0,62}", name, re.ASCII) or name[0] == "_":
        raise AwsError(
            "InvalidParameterValue",
            f"The parameter MasterUsername must begin with a letter and contain only alphanumeric characters: {name}",
        )
    lowered = name.lower()
    if lowered in engine.reserved_users or lowered.startswith(engine.reserved_prefixes):
        raise AwsError("InvalidParameterValue", f"MasterUsername {name} cannot be used as it is a reserved word used by the engine")


def check_database(name: str, engine: RdsEngine) -> None:
    """Raises `InvalidParameterValue`."""
    if not re.fullmatch(r"[a-zA-Z]\w{0,62}", name, re.ASCII):
        raise AwsError("InvalidParameterValue", "DBName must begin with a letter and contain only alphanumeric characters.")
    if name.lower() in engine.reserved_databases:
        raise AwsError("InvalidParameterValue", f"DBName {name} cannot be used. It is a reserved word for this engine")


def check_port(port: int) -> None:
    """Raises `InvalidParameterValue`."""
    if not SMALLEST_PORT <= port <= LARGEST_PORT:
        message = f"Invalid endpoint port {port}. Valid port range is {SMALLEST_PORT}-{LARGEST_PORT}."
        raise AwsError("InvalidParameterValue", message)
