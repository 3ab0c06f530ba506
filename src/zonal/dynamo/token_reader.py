"""Reading tokens one after the other: what the parsers of expressions and of PartiQL have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

END = "end"


class Token(NamedTuple):
    """A piece of a text. `kind` is name (a bare word), sign, end, or what else the language has; `start` is where it begins."""

    kind: str
    text: str
    start: int


class TokenReader:
    """Tokens, of which the last is the end, and how far a parser has come. A language says in `error` what it makes of the next one."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
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

    def is_keyword(self, *keywords: str) -> bool:
        """Whether the next token is one of these keywords, in whatever case."""
        return self.next.kind == "name" and self.next.text.upper() in keywords

    def takes_keyword(self, word: str) -> bool:
        if self.is_keyword(word):
            self._at += 1
            return True
        return False

    def expect_keyword(self, word: str) -> None:
        if not self.takes_keyword(word):
            raise self.error()

    def error(self) -> Exception:
        """The syntax error at the next token."""
        raise NotImplementedError
