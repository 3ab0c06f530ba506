"""AWS's service models, loaded from botocore's data files.

A model file is decoded directly into the structures below; parts that zonal does not use (documentation, examples, endpoint rules) are
skipped while decoding, and shapes are resolved at first use. botocore itself is not imported, which saves some 15 MB of memory.
`metadata()` reads only the beginning of a file; `service()` reads all of it, once.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from zonal.foundation.errors import ZonalError


class ModelMissing(ZonalError):
    """botocore has no model of this service."""


class Metadata(msgspec.Struct, rename="camel", frozen=True):
    """The metadata of a service model."""

    api_version: str
    endpoint_prefix: str
    protocol: str
    service_id: str
    protocols: tuple[str, ...] = ()
    signing_name: str | None = None
    target_prefix: str | None = None
    json_version: str | None = None
    xml_namespace: str | None = None
    service_abbreviation: str | None = None
    service_full_name: str = ""
    aws_query_compatible: dict[str, Any] | None = None

    @property
    def signs_as(self) -> str:
        """The service's name in a credential scope."""
        return self.signing_name or self.endpoint_prefix

    @property
    def all_protocols(self) -> tuple[str, ...]:
        """Every protocol that a client may use."""
        return self.protocols or (self.protocol,)


class Traits(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """The traits that a reference adds to a shape. `shape` is the shape's name."""

    shape: str = ""
    location_name: str | None = None
    query_name: str | None = None
    location: str | None = None
    flattened: bool | None = None
    streaming: bool | None = None
    timestamp_format: str | None = None
    xml_namespace: dict[str, str] | str | None = None
    xml_attribute: bool | None = None
    jsonvalue: bool | None = None
    eventpayload: bool | None = None
    result_wrapper: str | None = None


class ErrorTrait(msgspec.Struct, rename="camel", frozen=True):
    code: str | None = None
    http_status_code: int = 400
    sender_fault: bool = False


class Definition(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """A shape as the file defines it."""

    type: str
    members: dict[str, Traits] = {}
    member: Traits | None = None
    key: Traits | None = None
    value: Traits | None = None
    required: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    payload: str | None = None
    location_name: str | None = None
    flattened: bool | None = None
    streaming: bool | None = None
    timestamp_format: str | None = None
    xml_namespace: dict[str, str] | str | None = None
    document: bool = False
    union: bool = False
    eventstream: bool = False
    exception: bool = False
    fault: bool = False
    error: ErrorTrait | None = None


class Http(msgspec.Struct, rename="camel", frozen=True):
    method: str = "POST"
    request_uri: str = "/"
    response_code: int = 200


class OperationDefinition(msgspec.Struct, rename="camel", frozen=True):
    """An operation as the file defines it."""

    name: str
    http: Http = Http()
    input: Traits | None = None
    output: Traits | None = None
    deprecated: bool = False


class _File(msgspec.Struct, frozen=True):
    metadata: Metadata
    operations: dict[str, OperationDefinition]
    shapes: dict[str, Definition]


class Shape:
    """A shape at one of its uses: the definition, overridden by the traits of the reference."""

    def __init__(self, service: ServiceModel, name: str, definition: Definition, traits: Traits) -> None:
        self._service = service
        self.name = name
        self.definition = definition
        self.type = definition.type
        self.location = traits.location
        self.location_name = traits.location_name or definition.location_name
        self.query_name = traits.query_name
        self.flattened = bool(traits.flattened if traits.flattened is not None else definition.flattened)
        self.streaming = bool(traits.streaming or definition.streaming)
        self.timestamp_format = traits.timestamp_format or definition.timestamp_format
        self.xml_namespace = traits.xml_namespace or definition.xml_namespace
        self.xml_attribute = bool(traits.xml_attribute)
        self.jsonvalue = bool(traits.jsonvalue)
        self.result_wrapper = traits.result_wrapper
        self.payload = definition.payload

    @functools.cached_property
    def members(self) -> Mapping[str, Shape]:
        """A structure's members by their names in the model."""
        return {name: self._service.resolve(traits) for name, traits in self.definition.members.items()}

    @functools.cached_property
    def member(self) -> Shape:
        """The shape of a list's elements."""
        assert self.definition.member is not None, f"{self.name} is not a list"
        return self._service.resolve(self.definition.member)

    @functools.cached_property
    def key(self) -> Shape:
        assert self.definition.key is not None, f"{self.name} is not a map"
        return self._service.resolve(self.definition.key)

    @functools.cached_property
    def value(self) -> Shape:
        assert self.definition.value is not None, f"{self.name} is not a map"
        return self._service.resolve(self.definition.value)

    @property
    def error_code(self) -> str:
        """The code that an error shape has on the wire."""
        error = self.definition.error
        return (error.code if error else None) or self.name

    def __repr__(self) -> str:
        return f"<{self.type} {self.name}>"


class Operation:
    """An operation of a service, with its input and output shapes (None if it has none)."""

    def __init__(self, service: ServiceModel, definition: OperationDefinition) -> None:
        self.service = service
        self.name = definition.name
        self.http = definition.http
        self.is_deprecated = definition.deprecated
        self._definition = definition

    @functools.cached_property
    def input(self) -> Shape | None:
        return self.service.resolve(self._definition.input) if self._definition.input else None

    @functools.cached_property
    def output(self) -> Shape | None:
        return self.service.resolve(self._definition.output) if self._definition.output else None

    def __repr__(self) -> str:
        return f"<{self.service.name}:{self.name}>"


class ServiceModel:
    """One service's model. `name` is botocore's name for it (`rds`, `elbv2`)."""

    def __init__(self, name: str, file: _File) -> None:
        self.name = name
        self.metadata = file.metadata
        self._definitions = file.shapes
        self._operations = file.operations
        self._found: dict[str, Operation] = {}
        self._resolved: dict[int, Shape] = {}

    @property
    def operation_names(self) -> list[str]:
        return list(self._operations)

    def operation(self, name: str) -> Operation | None:
        """The operation with this name, or None."""
        if name not in self._found:
            if name not in self._operations:
                return None
            self._found[name] = Operation(self, self._operations[name])
        return self._found[name]

    def resolve(self, traits: Traits) -> Shape:
        """The shape of a reference in this model. One reference always resolves to the same object, so that recursive shapes are finite."""
        if (found := self._resolved.get(id(traits))) is None:
            found = self._resolved[id(traits)] = self._shape(traits)
        return found

    def _shape(self, traits: Traits) -> Shape:
        return Shape(self, traits.shape, self._definitions[traits.shape], traits)

    @functools.cached_property
    def errors(self) -> Mapping[str, Shape]:
        """Error shapes by their names and by their codes on the wire."""
        shapes = [self._shape(Traits(name)) for name, definition in self._definitions.items() if definition.exception]
        return {shape.error_code: shape for shape in shapes} | {shape.name: shape for shape in shapes}


@functools.cache
def service(name: str) -> ServiceModel:
    """The model of a service, loaded once. Raises `ModelMissing`."""
    path = _path(name)
    file = msgspec.json.decode(_read(path), type=_File)
    extras = path.with_name("service-2.sdk-extras.json")
    if extras.exists():
        _merge(file.shapes, msgspec.json.decode(extras.read_bytes())["merge"].get("shapes", {}))
    return ServiceModel(name, file)


@functools.cache
def metadata(name: str) -> Metadata:
    """A model's metadata, from the head of its file. Raises `ModelMissing`."""
    head = _read(_path(name), limit=16384).decode(errors="ignore")
    start = head.find('"metadata":')
    if start < 0:
        return service(name).metadata
    try:
        found, _ = json.JSONDecoder().raw_decode(head, start + len('"metadata":'))
        return msgspec.convert(found, Metadata)
    except (ValueError, msgspec.ValidationError):
        return service(name).metadata


def _merge(shapes: dict[str, Definition], changes: dict[str, dict[str, Any]]) -> None:
    """Merge botocore's `sdk-extras` into the shapes, as botocore does."""
    for name, change in changes.items():
        known = msgspec.to_builtins(shapes[name]) if name in shapes else {}
        members = known.get("members", {}) | change.get("members", {})
        shapes[name] = msgspec.convert(known | change | ({"members": members} if members else {}), Definition)


def _path(name: str) -> Path:
    specification = importlib.util.find_spec("botocore")
    if specification is None or not specification.submodule_search_locations:
        raise ModelMissing("botocore, which has AWS's service models, is not installed; install zonal's requirements")
    directory = Path(specification.submodule_search_locations[0]) / "data" / name
    versions = sorted(path for path in directory.glob("*/service-2.json*"))
    if not name.replace("-", "").isalnum() or not versions:
        raise ModelMissing(f"botocore has no model of a service '{name}'")
    return versions[-1]


def _read(path: Path, limit: int = -1) -> bytes:
    if path.suffix != ".gz":
        with path.open("rb") as file:
            return file.read(limit)
    if limit < 0:
        return gzip.decompress(path.read_bytes())
    with path.open("rb") as file:
        return zlib.decompressobj(wbits=31).decompress(file.read(limit), limit)
