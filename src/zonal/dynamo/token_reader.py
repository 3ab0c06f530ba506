"""Token reader shared by the parsers of expressions and of PartiQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

END = "end"


class Token(NamedTuple):
    """A token. `kind` is name (an unquoted word), sign, end, or a kind of the language; `start` is its offset in the text."""

    kind: str
    text: str
    start: int


class TokenReader:
    """A position in a sequence of tokens that ends with an end token. Languages override `error`."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    @property
    def following(self) -> Token:
        """The token after the next one."""
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
        """Whether the next token is one of these keywords, in upper or lower case."""
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
