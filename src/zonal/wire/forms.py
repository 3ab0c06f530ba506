"""Forms: the parameters of AWS's Query protocols, and query strings.

A form is flat: `Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1`. `read` returns the pairs, `grow` builds a tree from the dots in
their names, and `parse` reads the tree by the operation's input shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from zonal.foundation.errors import AwsError
from zonal.wire.http_messages import HttpRequest
from zonal.wire.scalars import Malformed, from_text
from zonal.wire.service_models import Shape

FIELD_LIMIT = 20_000
DEPTH_LIMIT = 64
_SIGNING = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")


def read(request: HttpRequest) -> dict[str, str]:
    """A Query request's parameters, from its query string and its body. Raises `AwsError` MalformedQueryString."""
    pairs = _pairs(request.query)
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded").partition(";")[0].strip()
    if request.body and kind == "application/x-www-form-urlencoded":
        try:
            pairs += _pairs(request.body.decode("ascii"))
        except UnicodeDecodeError:
            raise _malformed("the form holds bytes that are not percent-encoded") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _malformed(f"{_repeated(pairs)[:100]} is given more than once")
    for name in (*_SIGNING, "X-Amz-Security-Token"):
        form.pop(name, None)
    return form


def _repeated(pairs: list[tuple[str, str]]) -> str:
    """The first repeated name."""
    counts = Counter(name for name, _ in pairs)
    return next(name for name, _ in pairs if counts[name] > 1)


def multiple(query: str) -> dict[str, list[str]]:
    """The values of a query string by name; names may repeat."""
    values: dict[str, list[str]] = {}
    for name, value in _pairs(query) if query else ():
        values.setdefault(name, []).append(value)
    return values


def _pairs(text: str) -> list[tuple[str, str]]:
    if text.count("&") >= FIELD_LIMIT:
        raise _malformed(f"there are more than {FIELD_LIMIT} parameters")
    try:
        return [
            (unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict"))
            for name, _, value in (pair.partition("=") for pair in text.split("&") if pair)
        ]
    except UnicodeDecodeError:
        raise _malformed("a parameter is not UTF-8") from None


def _malformed(why: str) -> AwsError:
    return AwsError("MalformedQueryString", f"The query string is malformed: {why}.", status=400)


class Branch:
    """A node of the tree: the value of its name (or None) and its children."""

    __slots__ = ("below", "value")

    def __init__(self) -> None:
        self.value: str | None = None
        self.below: dict[str, Branch] = {}

    def items(self) -> list[tuple[int, Branch]]:
        """The children of a list, sorted by their numbers."""
        try:
            numbered = [(int(number), branch) for number, branch in self.below.items() if len(number) < 10 and number.isdecimal()]
        except ValueError:
            raise Malformed("", "a list's elements are numbered from 1") from None
        if len(numbered) != len(self.below):
            raise Malformed("", "a list's elements are numbered from 1")
        return sorted(numbered, key=lambda item: item[0])


def grow(form: Mapping[str, str]) -> Branch:
    """Build the tree of a form. Raises `AwsError` MalformedQueryString if it is too deep."""
    root = Branch()
    for name, value in form.items():
        if name.count(".") > DEPTH_LIMIT:
            raise _malformed(f"a parameter is nested more than {DEPTH_LIMIT} deep")
        branch = root
        for segment in name.split("."):
            branch = branch.below.setdefault(segment, Branch())
        branch.value = value
    return root


def parse(shape: Shape | None, form: Mapping[str, str], *, ec2: bool) -> tuple[dict[str, Any], list[str]]:
    """The parameters by the input's shape, and the names that are not in the shape. Raises `Malformed`, `AwsError`."""
    root = grow(form)
    reader = _Ec2Reader() if ec2 else _QueryReader()
    values = reader.structure(shape, root) if shape else {}
    known = reader.top_names(shape) if shape else set()
    return values, [name for name in form if name.partition(".")[0] not in known]


class _QueryReader:
    """Reads forms of the Query protocol."""

    def structure(self, shape: Shape, branch: Branch) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, member in shape.members.items():
            try:
                below = self.find(member, name, branch)
                if below is not None:
                    values[name] = self.value(member, below)
            except Malformed as problem:
                raise problem.under(name) from None
        return values

    def find(self, member: Shape, name: str, branch: Branch) -> Branch | None:
        """The branch of a structure's member. A flattened list has the name of its elements."""
        if member.type == "list" and member.flattened and member.member.location_name:
            name = member.member.location_name
        elif member.location_name:
            name = member.location_name
        return branch.below.get(name)

    def top_names(self, shape: Shape) -> set[str]:
        probe = _NameCollector()
        for name, member in shape.members.items():
            self.find(member, name, probe)  # type: ignore[arg-type]
        return probe.below.names

    def value(self, shape: Shape, branch: Branch) -> Any:
        if shape.type == "structure":
            return self.structure(shape, branch)
        if shape.type == "list":
            return self.list(shape, branch)
        if shape.type == "map":
            return self.map(shape, branch)
        if branch.value is None:
            raise Malformed("", "Unexpected complex element termination")
        return from_text(shape, branch.value)

    def list(self, shape: Shape, branch: Branch) -> list[Any]:
        if not branch.below:
            if branch.value:
                raise Malformed("", "Unexpected list element termination")
            return []
        if not shape.flattened:
            branch = branch.below.get(shape.member.location_name or "member") or branch.below.get("member") or branch
        return [self.value(shape.member, below) for _, below in branch.items()]

    def map(self, shape: Shape, branch: Branch) -> dict[str, Any]:
        if not shape.flattened:
            branch = branch.below.get("entry", branch)
        values: dict[str, Any] = {}
        for _, entry in branch.items():
            key = entry.below.get(shape.key.location_name or "key")
            value = entry.below.get(shape.value.location_name or "value")
            if key is None or key.value is None or value is None:
                raise Malformed("", "a map's entries have a key and a value")
            values[key.value] = self.value(shape.value, value)
        return values


class _Ec2Reader(_QueryReader):
    """Reads forms of the EC2 protocol: lists are always flattened, and names begin with a capital letter."""

    def find(self, member: Shape, name: str, branch: Branch) -> Branch | None:
        if member.query_name:
            name = member.query_name
        elif member.location_name:
            name = member.location_name[0].upper() + member.location_name[1:]
        return branch.below.get(name)

    def list(self, shape: Shape, branch: Branch) -> list[Any]:
        if not branch.below and branch.value:
            raise Malformed("", "a list's elements are numbered from 1")
        return [self.value(shape.member, below) for _, below in branch.items()]


class _NameCollector:
    """Replaces a branch to collect the names that a structure reads."""

    class _Names:
        def __init__(self) -> None:
            self.names: set[str] = set()

        def get(self, name: str) -> None:
            self.names.add(name)

    def __init__(self) -> None:
        self.below = self._Names()
