"""Cutting PartiQL into tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

from zonal.dynamo.items import validation
from zonal.foundation.errors import AwsError

END = "end"
NOT_WELL_FORMED = "Statement wasn't well formed, can't be processed: "
_INTEGERS = range(-(2**31), 2**31)
"""What AWS's parser takes for an exponent, and for the digits behind the point that it leaves."""
_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign><<|>>|<=|>=|<>|!=|[=<>(){}\[\],.:*?+\-])
    |(?P<stray>.)""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A piece of a statement. `kind` is text, quoted, number, word, sign or end; `text` without its quotes."""

    kind: str
    text: str
    start: int


class Tokens:
    """The tokens of a statement and how far the parser has come."""

    def __init__(self, statement: str) -> None:
        self._tokens: list[Token] = []
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
                self._tokens.append(Token(kind, text, match.start()))
        self._tokens.append(Token(END, "", len(statement)))
        self._at = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    @property
    def following(self) -> Token:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self.next
        if token.kind != END:
            self._at += 1
        return token

    def takes(self, sign: str) -> bool:
        if self.next.kind == "sign" and self.next.text == sign:
            self._at += 1
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.takes(sign):
            raise self.error()

    def is_word(self, *words: str) -> bool:
        return self.next.kind == "word" and self.next.text.upper() in words

    def takes_word(self, word: str) -> bool:
        if self.is_word(word):
            self._at += 1
            return True
        return False

    def expect_word(self, word: str) -> None:
        if not self.takes_word(word):
            raise self.error()

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
