"""Splits a PartiQL statement into tokens."""

from __future__ import annotations

import re

from zonal.dynamo.items import validation
from zonal.dynamo.token_reader import END, Token, TokenReader
from zonal.foundation.errors import AwsError

NOT_WELL_FORMED = "Statement wasn't well formed, can't be processed: "
_INTEGERS = range(-(2**31), 2**31)
"""The range of an exponent, and of the digits after the point, in AWS's parser."""
_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign><<|>>|<=|>=|<>|!=|[=<>(){}\[\],.:;*?+\-])
    |(?P<stray>.)""",
    re.VERBOSE | re.DOTALL,
)


class StatementTokens(TokenReader):
    """The tokens of a statement, of the kinds text, quoted (both without their quotes), number, name, sign and end."""

    def __init__(self, statement: str) -> None:
        tokens: list[Token] = []
        for match in _TOKEN.finditer(statement):
            kind, text = match.lastgroup or "", match[0]
            if kind == "stray":
                raise validation(NOT_WELL_FORMED)
            if kind == "number" and not is_readable_number(text):
                raise validation(NOT_WELL_FORMED)
            if kind == "text":
                text = text[1:-1].replace("''", "'")
            elif kind == "quoted":
                text = text[1:-1].replace('""', '"')
            if kind != "space":
                tokens.append(Token(kind, text, match.start()))
        if tokens and tokens[-1].text == ";" and tokens[-1].kind == "sign":
            tokens.pop()
        super().__init__([*tokens, Token(END, "", len(statement))])
        self._statement = statement

    def place(self, token: Token) -> str:
        """The position of a token in AWS's form: `line:column:length`, counted from 1."""
        before = self._statement[: token.start]
        return f"{before.count(chr(10)) + 1}:{token.start - before.rfind(chr(10))}:{len(token.text)}"

    def nesting(self) -> int:
        """The deepest nesting of parentheses and NOTs."""
        deepest = outside = nots = 0
        opened: list[int] = []
        for token in self._tokens:
            if token.kind == "sign" and token.text == "(":
                opened.append(nots + 1)
                outside, nots = outside + nots + 1, 0
            elif token.kind == "name" and token.text.upper() == "NOT":
                nots += 1
            else:
                nots = 0
                if token.kind == "sign" and token.text == ")" and opened:
                    outside -= opened.pop()
            deepest = max(deepest, outside + nots)
        return deepest

    def error(self) -> AwsError:
        """The error at the next token."""
        token = self.next
        what = "unexpected end of statement" if token.kind == END else f"unexpected token '{token.text}' at {token.start}"
        return validation(NOT_WELL_FORMED + what)


def is_readable_number(number: str) -> bool:
    """Whether a number's exponent and scale fit into 32 bits, as in Java's BigDecimal."""
    digits, _, exponent = number.lower().partition("e")
    if not exponent.lstrip("+-").isdigit():
        return not exponent
    scale = len(digits.partition(".")[2]) - int(exponent)
    return int(exponent) in _INTEGERS and scale in _INTEGERS
