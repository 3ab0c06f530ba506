"""Cutting PartiQL into tokens."""

from __future__ import annotations

import re

from zonal.dynamo.items import validation
from zonal.dynamo.tokens import END, Token, TokenReader
from zonal.foundation.errors import AwsError

NOT_WELL_FORMED = "Statement wasn't well formed, can't be processed: "
_INTEGERS = range(-(2**31), 2**31)
"""What AWS's parser takes for an exponent, and for the digits behind the point that it leaves."""
_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign><<|>>|<=|>=|<>|!=|[=<>(){}\[\],.:*?+\-])
    |(?P<stray>.)""",
    re.VERBOSE | re.DOTALL,
)


class Tokens(TokenReader):
    """The tokens of a statement, of the kinds text, quoted (both without their quotes), number, name, sign and end."""

    def __init__(self, statement: str) -> None:
        tokens: list[Token] = []
        for match in _TOKEN.finditer(statement):
            kind, text = match.lastgroup or "", match[0]
            if kind == "stray":
                raise validation(NOT_WELL_FORMED)
            if kind == "number":
                _check_exponent(text)
            if kind == "text":
                text = text[1:-1].replace("''", "'")
            elif kind == "quoted":
                text = text[1:-1].replace('""', '"')
            if kind != "space":
                tokens.append(Token(kind, text, match.start()))
        super().__init__([*tokens, Token(END, "", len(statement))])

    def error(self) -> AwsError:
        """The error at the next token."""
        token = self.next
        what = "unexpected end of statement" if token.kind == END else f"unexpected token '{token.text}' at {token.start}"
        return validation(NOT_WELL_FORMED + what)


def _check_exponent(number: str) -> None:
    digits, _, exponent = number.lower().partition("e")
    scale = len(digits.partition(".")[2]) - int(exponent or "0")
    if int(exponent or "0") not in _INTEGERS or scale not in _INTEGERS:
        raise validation(NOT_WELL_FORMED)
