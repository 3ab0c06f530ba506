"""Parses untrusted XML into a small tree, and writes a handler's result as XML.

The parser rejects document types (and so all entities but the five predefined ones), deep nesting, and more elements or attributes than any
of AWS's documents has. It takes linear time. Namespace prefixes are dropped, as AWS's services
do. Writing compiles each shape once into a function that appends to a list of strings.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from xml.parsers import expat

from zonal.wire.scalars import Malformed, from_text, real_text, timestamp_text
from zonal.wire.service_models import Shape

DEPTH_LIMIT = 64
NODE_LIMIT = 200_000
"""The largest documents are S3's: 10,000 parts with up to eight elements each."""
ATTRIBUTE_LIMIT = 32
"""Attributes of one element, namespaces among them."""


class NotXml(Exception):
    """The bytes are not XML, or contain XML that is rejected."""


class Element:
    """An element: its local name, attributes, text (of all its pieces) and children."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.text = ""
        self.children: list[Element] = []


def tree(raw: bytes) -> Element:
    """The root element. Raises `NotXml`."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    top = Element("", {})
    open_nodes = [top]
    texts: list[list[str]] = [[]]
    """The pieces of each open element's text, joined once, because appending to a string copies it."""
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > NODE_LIMIT:
            raise NotXml(f"there are more than {NODE_LIMIT} elements")
        if len(open_nodes) > DEPTH_LIMIT:
            raise NotXml(f"elements are nested more than {DEPTH_LIMIT} deep")
        if len(attributes) > ATTRIBUTE_LIMIT:
            raise NotXml(f"an element has more than {ATTRIBUTE_LIMIT} attributes")
        node = Element(name.rpartition(":")[2], attributes)
        open_nodes[-1].children.append(node)
        open_nodes.append(node)
        texts.append([])

    def end(name: str) -> None:
        open_nodes.pop().text = "".join(texts.pop())

    def text(data: str) -> None:
        texts[-1].append(data)

    def refuse(*_: Any) -> None:
        raise NotXml("document types and entities are not accepted")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise NotXml(str(error)) from None
    return top.children[0]


def read(shape: Shape, node: Element) -> Any:
    """An element by its shape. Raises `Malformed`."""
    if shape.type == "structure":
        return _read_structure(shape, node)
    if shape.type == "list":
        return [read(shape.member, child) for child in node.children]
    if shape.type == "map":
        return dict(_entry(shape, child) for child in node.children)
    if node.children:
        raise Malformed("", f"<{node.name}> holds elements where a {shape.type} belongs", type=shape.type)
    return from_text(shape, node.text if shape.type in ("string", "blob") else node.text.strip())


def _read_structure(shape: Shape, node: Element) -> dict[str, Any]:
    by_name: dict[str, list[Element]] = {}
    for child in node.children:
        by_name.setdefault(child.name, []).append(child)
    values: dict[str, Any] = {}
    for name, member in shape.members.items():
        if member.location not in (None, "body"):
            continue
        wire_name = member.location_name or name
        if member.xml_attribute:
            if wire_name in node.attributes:
                values[name] = node.attributes[wire_name]
            continue
        found = by_name.get(wire_name)
        if not found:
            continue
        try:
            values[name] = _read_member(member, found)
        except Malformed as problem:
            raise problem.under(name) from None
    return values


def _read_member(member: Shape, nodes: list[Element]) -> Any:
    if member.flattened and member.type == "list":
        return [read(member.member, node) for node in nodes]
    if member.flattened and member.type == "map":
        return dict(_entry(member, node) for node in nodes)
    if len(nodes) > 1:
        raise Malformed("", f"<{nodes[0].name}> is there more than once")
    return read(member, nodes[0])


def _entry(shape: Shape, node: Element) -> tuple[str, Any]:
    children = {child.name: child for child in node.children}
    key, value = children.get(shape.key.location_name or "key"), children.get(shape.value.location_name or "value")
    if key is None or value is None:
        raise Malformed("", "a map's entries have a key and a value")
    return key.text, read(shape.value, value)


class CachedXml(dict[str, Any]):
    """A structure that caches its XML, for structures that many responses contain, or one response many times.

    It must not be changed after construction.
    """

    __slots__ = ("written",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        super().__init__(members)
        self.written: dict[XmlWriter, str] = {}


XmlWriter = Callable[[list[str], Any], None]


@functools.cache
def writer(shape: Shape, name: str) -> XmlWriter:
    """A function that writes a value of this shape as the element `name`."""
    start, end = f"<{name}{_namespace(shape)}>", f"</{name}>"
    if shape.type == "structure":
        return _structure_writer(shape, name)
    if shape.type == "list":
        return _list_writer(shape, name)
    if shape.type == "map":
        return _map_writer(shape, name)
    text = _text_writer(shape)

    def write(out: list[str], value: Any) -> None:
        out.append(f"{start}{text(value)}{end}")

    return write


class _Member(NamedTuple):
    """How a member is written. A string is written between `start` and `end` without a writer, because most members are strings."""

    write: Any
    start: str = ""
    end: str = ""


@functools.cache
def content_writer(shape: Shape) -> XmlWriter:
    """A function that writes a structure's members without an enclosing element. An unknown member is an `AssertionError`."""
    members: dict[str, _Member] = {}

    def write(out: list[str], value: Any) -> None:
        if not members:  # Compiled at first use, because shapes may be recursive.
            members.update({name: _member(name, member) for name, member in shape.members.items()})
        for name, item in value.items():
            assert name in members, f"{shape.name} has no member {name}"
            if item is not None:
                act, start, end = members[name]
                if start:
                    out.append(f"{start}{act(item)}{end}")
                else:
                    act(out, item)

    return write


def _member(name: str, member: Shape) -> _Member:
    if member.location not in (None, "body") or member.xml_attribute:
        return _Member(lambda out, value: None)  # It is written to a header or to the start tag.
    if member.type == "list" and member.flattened and member.member.location_name:
        return _Member(writer(member, member.member.location_name))
    name = member.location_name or name
    if member.type in ("structure", "list", "map"):
        return _Member(writer(member, name))
    return _Member(_text_writer(member), f"<{name}{_namespace(member)}>", f"</{name}>")


def _structure_writer(shape: Shape, name: str) -> XmlWriter:
    content = content_writer(shape)
    start, end = f"<{name}{_namespace(shape)}", f"</{name}>"
    attributes = {key: member.location_name or key for key, member in shape.members.items() if member.xml_attribute}

    def write(out: list[str], value: Any) -> None:
        out.append(start)
        for key, attribute in attributes.items():
            if value.get(key) is not None:
                out.append(f' {attribute}="{_attribute(str(value[key]))}"')
        out.append(">")
        content(out, value)
        out.append(end)

    def write_or_repeat(out: list[str], value: Any) -> None:
        if type(value) is not CachedXml:
            write(out, value)
            return
        text = value.written.get(write)
        if text is None:
            pieces: list[str] = []
            write(pieces, value)
            text = value.written[write] = "".join(pieces)
        out.append(text)

    return write_or_repeat


def _list_writer(shape: Shape, name: str) -> XmlWriter:
    item_name = name if shape.flattened else shape.member.location_name or "member"
    start, end = ("", "") if shape.flattened else (f"<{name}{_namespace(shape)}>", f"</{name}>")

    def write(out: list[str], value: Any) -> None:
        out.append(start)
        if value:
            member = writer(shape.member, item_name)  # At first use, because shapes may be recursive.
            for item in value:
                member(out, item)
        out.append(end)

    return write


def _map_writer(shape: Shape, name: str) -> XmlWriter:
    def write(out: list[str], value: Any) -> None:
        entry = name if shape.flattened else "entry"
        key = writer(shape.key, shape.key.location_name or "key")
        member = writer(shape.value, shape.value.location_name or "value")
        if not shape.flattened:
            out.append(f"<{name}{_namespace(shape)}>")
        for item_key, item in value.items():
            out.append(f"<{entry}>")
            key(out, item_key)
            member(out, item)
            out.append(f"</{entry}>")
        if not shape.flattened:
            out.append(f"</{name}>")

    return write


def _namespace(shape: Shape) -> str:
    space = shape.xml_namespace
    if not space:
        return ""
    if isinstance(space, str):
        return f' xmlns="{escape(space)}"'
    prefix = f":{space['prefix']}" if space.get("prefix") else ""
    return f' xmlns{prefix}="{escape(space["uri"])}"'


def _text_writer(shape: Shape) -> Callable[[Any], str]:
    if shape.type == "boolean":
        return lambda value: "true" if value else "false"
    if shape.type == "timestamp":
        return lambda value: _timestamp_text(value, shape.timestamp_format or "iso8601")
    if shape.type == "blob":
        return lambda value: base64.b64encode(value).decode()
    if shape.type in ("float", "double"):
        return real_text
    if shape.type in ("integer", "long"):
        return lambda value: str(int(value))
    return _escaped


def _escaped(value: Any) -> str:
    text = value if type(value) is str else str(value)
    return text if _SPECIAL.search(text) is None else escape(text)


def _timestamp_text(value: Any, format: str) -> str:
    assert isinstance(value, datetime), f"a timestamp must be a datetime, not {value!r}"
    return timestamp_text(value, format)


_SPECIAL = re.compile(r"[&<>\"\r\x00-\x08\x0b\x0c\x0e-\x1f]")
_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def _attribute(text: str) -> str:
    """Text for an attribute. Tabs and line feeds become references, because a parser would replace them by spaces."""
    return escape(text).replace("\t", "&#x9;").replace("\n", "&#xa;")


def escape(text: str) -> str:
    """Text for an element. Control characters become references, as S3 writes them."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda match: _NAMES.get(match[0]) or f"&#x{ord(match[0]):x};", text)
