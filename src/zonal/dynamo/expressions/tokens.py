"""Cutting an expression into tokens, and telling where it stops making sense.

AWS names the token it stumbled over and what stands around it: `Syntax error; token: "4", near: "> 4"`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_EXPRESSION_SIZE = 4096
END = "end"
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<reference>#[A-Za-z0-9_]+)"
    r"|(?P<value>:[A-Za-z0-9_]+)"
    r"|(?P<index>[0-9]+)"
    r"|(?P<sign><=|>=|<>|[=<>(),.\[\]+\-])"
    r"|(?P<stray>.)",
    re.DOTALL,
)


class ExpressionError(Exception):
    """What is wrong with an expression, in AWS's words, without the name of the parameter."""


class Token(NamedTuple):
    """A piece of the text. `kind` is name, reference (#…), value (:…), index (digits), sign, stray or end."""

    kind: str
    text: str
    start: int


class Tokens:
    """The tokens of one expression and how far the parser has come."""

    def __init__(self, text: str) -> None:
        if not text:
            raise ExpressionError("The expression can not be empty;")
        size = len(text.encode())
        if size > MAX_EXPRESSION_SIZE:
            raise ExpressionError(f"Expression size has exceeded the maximum allowed size; expression size: {size}")
        self._text = text
        self._tokens = [Token(m.lastgroup or "", m[0], m.start()) for m in _TOKEN.finditer(text) if m.lastgroup != "space"]
        self._tokens.append(Token(END, "<EOF>", len(text)))
        self._at = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    @property
    def following(self) -> Token:
        """The token behind the next one."""
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self._tokens[self._at]
        if token.kind != END:
            self._at += 1
        return token

    def takes(self, sign: str) -> bool:
        """Take the next token if it is this sign."""
        if self.next.kind == "sign" and self.next.text == sign:
            self._at += 1
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.takes(sign):
            raise self.error()

    def is_word(self, *words: str) -> bool:
        """Whether the next token is one of these keywords, in whatever case."""
        return self.next.kind == "name" and self.next.text.upper() in words

    def takes_word(self, word: str) -> bool:
        if self.is_word(word):
            self._at += 1
            return True
        return False

    def error(self) -> ExpressionError:
        """The syntax error at the next token."""
        before = self._tokens[max(self._at - 1, 0)]
        behind = self.following
        end = behind.start + len(behind.text) if behind.kind != END else len(self._text)
        near = self._text[before.start : end].strip()
        return ExpressionError(f'Syntax error; token: "{self.next.text}", near: "{near}"')
