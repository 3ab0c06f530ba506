"""Splits an expression into tokens, and reports syntax errors.

AWS reports the unexpected token and the text around it: `Syntax error; token: "4", near: "> 4"`.
"""

from __future__ import annotations

import re

from zonal.dynamo.token_reader import END, Token, TokenReader

MAX_EXPRESSION_SIZE = 4096
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
    """AWS's message for an invalid expression, without the name of the parameter."""


class TooLong(ExpressionError):
    """An expression has too many bytes."""

    def __init__(self, size: int) -> None:
        super().__init__("Expression size has exceeded the maximum allowed size;")
        self.size = size


class ExpressionTokens(TokenReader):
    """The tokens of one expression, of the kinds name, reference (#…), value (:…), index (digits), sign, stray and end."""

    def __init__(self, text: str) -> None:
        if not text:
            raise ExpressionError("The expression can not be empty;")
        size = len(text.encode())
        if size > MAX_EXPRESSION_SIZE:
            raise TooLong(size)
        self._text = text
        tokens = [Token(m.lastgroup or "", m[0], m.start()) for m in _TOKEN.finditer(text) if m.lastgroup != "space"]
        super().__init__([*tokens, Token(END, "<EOF>", len(text))])

    def error(self) -> ExpressionError:
        """The syntax error at the next token."""
        before = self._tokens[max(self._at - 1, 0)]
        behind = self.following
        end = behind.start + len(behind.text) if behind.kind != END else len(self._text)
        near = self._text[before.start : end].strip()
        return ExpressionError(f'Syntax error; token: "{self.next.text}", near: "{near}"')
