"""Checks a request against the model, and finds DynamoDB's error for an invalid one.

DynamoDB checks a request in three rounds: the JSON types (`SerializationException`), the model's constraints (`N validation errors
detected: …`, all in one message), and then the rules of the operation. `vet` accepts a valid request with a few compiled checks; only an
invalid one is traversed in full by `explain` to find AWS's error. Attribute values are not checked by `vet`: handlers settle them, and
`explain` is called when one is malformed. (The messages are those of public recordings of DynamoDB, the constraints those of the model.)
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import msgspec

from zonal.dynamo.error_messages import enveloped
from zonal.dynamo.items import WrongShape, decode_binary, validation
from zonal.foundation.errors import AwsError
from zonal.wire import constraints, service_models
from zonal.wire.service_models import Shape

MAX_ERRORS = 10
_TABLE_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_TABLE_PATTERN = "[a-zA-Z0-9_.-]+"
_NAMED = "TableName must be at least 3 characters long and at most 255 characters long"
_STRICT_NAMES = frozenset(("CreateTable", "DeleteTable", "DescribeTable", "UpdateTable", "DescribeTimeToLive", "UpdateTimeToLive"))
_ALSO_REQUIRED = {"CreateTableInput": ("AttributeDefinitions", "KeySchema"), "ImportTableInput": ("ClientToken",)}
_JAVA = {"string": "String", "boolean": "Boolean", "integer": "Integer", "long": "Long", "double": "Double", "float": "Float"}
_JAVA |= {"timestamp": "Date"}
_ENUM_ORDER = {
    "ReturnValue": ("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"),
    "Select": ("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"),
    "ConditionalOperator": ("OR", "AND"),
    "ComparisonOperator": (
        *("IN", "NULL", "BETWEEN", "LT", "NOT_CONTAINS", "EQ", "GT", "NOT_NULL", "NE", "LE", "BEGINS_WITH", "GE"),
        "CONTAINS",
    ),
    "ScalarAttributeType": ("B", "N", "S"),
    "ProjectionType": ("ALL", "INCLUDE", "KEYS_ONLY"),
}
_NEWER_WRITES = frozenset(("PutItem", "UpdateItem", "DeleteItem"))
_ENUM = "Failed to satisfy constraint: Member must satisfy enum value set: "
_NEWER_ENUMS = {
    "ReturnValue": _ENUM + "[ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATE_NEW, NONE]",  # AWS writes UPDATE_NEW.
    "ConditionalOperator": _ENUM + "[ALL, OR]",
}
_AT_LEAST_ONE = "Member must have length greater than or equal to 1"
_FIRST = (
    *("ClientRequestToken", "RequestItems", "TransactItems", "GlobalSecondaryIndexes", "ReturnConsumedCapacity", "TableName"),
    *("ReturnValues", "ReturnItemCollectionMetrics", "ConditionalOperator"),
)
"""The members whose constraints are reported first, in this order."""
_CHECKED_LATER = frozenset(("AttributeValue", "Tag", "TagKeyString"))
"""Shapes whose values are checked by their handlers, with messages of their own."""
_DEEP = 120
"""Levels of JSON beyond which AWS checks a write with its older messages: about 60 of maps and lists."""
_ATTRIBUTE_MEMBERS = (
    "S",
    "N",
    "B",
    "INT",
    "DECIMAL",
    "DOUBLE",
    "SS",
    "NS",
    "BS",
    "INTSET",
    "DECIMALSET",
    "DOUBLESET",
    "M",
    "L",
    "NULL",
    "BOOL",
)
"""The members of an attribute value in AWS's messages; its servers have more than the public model."""


def vet(service: str, operation: str, request: Any) -> dict[str, Any]:
    """The request without its nulls. Raises AWS's error if it does not fit the model."""
    checks, required = _compiled(service, operation)
    if not isinstance(request, dict):
        return explain(service, operation, request)
    for name, value in request.items():
        check = checks.get(name)
        if check is not None and not check(value):
            return explain(service, operation, request)
    for name in required:
        if name not in request:
            return explain(service, operation, request)
    return request


def explain(service: str, operation: str, request: Any) -> dict[str, Any]:
    """Traverse the whole request and raise its first error in AWS's order. Returns a valid request without its nulls."""
    shape = _input(service, operation)
    if not isinstance(request, dict):
        raise serialization("Start of list found where not expected" if isinstance(request, list) else "")
    cleaned: dict[str, Any] = _structure(shape, request)
    if operation in _STRICT_NAMES:
        _check_strict_name(operation, cleaned)
    if "ResourceArn" in shape.definition.required and "ResourceArn" not in cleaned:
        raise validation("Invalid TableArn")
    older = (operation in _NEWER_WRITES and is_deep(cleaned)) or (operation == "UpdateItem" and "Key" not in cleaned)
    if not older:
        _check_newer(operation, cleaned)
    errors: list[str] = []
    _constrain_members(shape, cleaned, "", errors, older=older)
    if operation == "BatchWriteItem" and len(errors) > 1:
        errors = [error for error in errors if "Map keys must satisfy" not in error] or errors
    if errors:
        raise validation(constraints.summary(errors[:MAX_ERRORS]))
    return cleaned


def serialization(message: str) -> AwsError:
    """AWS's `SerializationException`."""
    return AwsError("SerializationException", message)


@functools.cache
def _input(service: str, operation: str) -> Shape:
    found = service_models.service(service).operation(operation)
    assert found is not None and found.input is not None
    return found.input


ShapeCheck = Callable[[Any], bool]


@functools.cache
def _compiled(service: str, operation: str) -> tuple[dict[str, ShapeCheck], tuple[str, ...]]:
    shape = _input(service, operation)
    return {name: _check_of(member) for name, member in shape.members.items()}, _required(shape)


def _required(shape: Shape) -> tuple[str, ...]:
    """The required members; the model lacks some that AWS requires."""
    return shape.definition.required + _ALSO_REQUIRED.get(shape.name, ())


def _check_of(shape: Shape) -> ShapeCheck:
    """A quick check that returns true for valid values only, though not for all of them."""
    definition = shape.definition
    if shape.type == "string":
        return _string_check(shape)
    if shape.type == "boolean":
        return lambda value: type(value) is bool
    if shape.type in ("integer", "long"):
        low, high = constraints.bounds(shape.definition)
        return lambda value: type(value) is int and low <= value <= high
    if shape.type in ("double", "float", "timestamp"):
        return lambda value: type(value) in (int, float)
    if shape.name == "AttributeValue":
        return lambda value: type(value) is dict
    low, high = constraints.bounds(shape.definition)
    if shape.name == "KeySchema":
        high = 2  # Longer ones go to `explain`: only a global index may have them.
    if shape.type == "map":
        if shape.value.name == "AttributeValue":
            return lambda value: type(value) is dict
        key_check, value_check = _check_of(shape.key), _check_of(shape.value)
        return lambda value: (
            type(value) is dict and low <= len(value) <= high and all(key_check(k) and value_check(v) for k, v in value.items())
        )
    if shape.type == "list":
        element_check = _check_of(shape.member)
        return lambda value: type(value) is list and low <= len(value) <= high and all(map(element_check, value))
    if shape.type == "structure":
        members, required = {name: _check_of(member) for name, member in shape.members.items()}, definition.required
        return lambda value: (
            type(value) is dict
            and all(name in value for name in required)
            and all(name not in members or members[name](each) for name, each in value.items())
        )
    return lambda value: False


def _string_check(shape: Shape) -> ShapeCheck:
    if shape.name in ("TableArn", "TableName"):
        known: dict[str, bool] = {}

        def is_table(value: Any) -> bool:
            if type(value) is not str:
                return False
            found = known.get(value)  # Several threads check requests: another may clear the cache between two lines.
            if found is None:
                if len(known) > 1000:
                    known.clear()
                found = known[value] = _is_table_name(value)
            return found

        return is_table
    definition = shape.definition
    if definition.enum:
        choices = frozenset(definition.enum)
        return lambda value: type(value) is str and value in choices
    pattern = re.compile(definition.pattern) if definition.pattern else None
    low, high = constraints.bounds(shape.definition)
    return lambda value: type(value) is str and low <= len(value) <= high and (pattern is None or pattern.fullmatch(value) is not None)


def _is_table_name(value: str) -> bool:
    return _TABLE_NAME.fullmatch(value) is not None or (value.startswith("arn:") and len(value) <= 1024)


# The first round: JSON types.


def _value(shape: Shape, value: Any, *, is_field: bool) -> Any:
    if shape.type == "structure":
        return _struct(shape, value, is_field=is_field)
    if shape.type == "list":
        return _list(shape, value, is_field=is_field)
    if shape.type == "map":
        return _map(shape, value, is_field=is_field)
    if isinstance(value, dict):
        raise serialization("Start of structure or map found where not expected")
    if isinstance(value, list):
        raise serialization(f"Unrecognized collection type {_class(shape)}")
    if shape.type == "blob":
        return _blob(value)
    if shape.type == "boolean":
        return _boolean(value)
    return _scalar(shape, value)


def _structure(shape: Shape, value: dict[str, Any]) -> dict[str, Any]:
    members = shape.members
    return {name: _value(members[name], each, is_field=True) for name, each in value.items() if name in members and each is not None}


def _struct(shape: Shape, value: Any, *, is_field: bool) -> Any:
    if isinstance(value, list):
        raise serialization(f"Unrecognized collection type {_class(shape)}")
    if not isinstance(value, dict):
        raise serialization("Unexpected field type" if is_field else "Unexpected value type in payload")
    return _structure(shape, value)


_CAST = (
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class"
    " (sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of loader 'bootstrap')"
)


def _list(shape: Shape, value: Any, *, is_field: bool) -> Any:
    if isinstance(value, dict):
        raise serialization("Start of structure or map found where not expected")
    if not isinstance(value, list):
        raise serialization("Unexpected field type" if is_field else _CAST)
    return [_value(shape.member, each, is_field=False) for each in value if each is not None]


def _map(shape: Shape, value: Any, *, is_field: bool) -> Any:
    if isinstance(value, list):
        raise serialization(f"Unrecognized collection type java.util.Map<java.lang.String, {_generic(shape.value)}>")
    if not isinstance(value, dict):
        raise serialization("Unexpected field type" if is_field else _CAST)
    return {name: _value(shape.value, each, is_field=False) for name, each in value.items() if each is not None}


def _blob(value: Any) -> str:
    if not isinstance(value, str):
        raise serialization("only base-64-encoded strings are convertible to bytes")
    if len(value) % 4:
        raise serialization(f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(value)}")
    try:
        decode_binary(value)
    except WrongShape:
        raise serialization("Invalid last non-pad Base64 character dectected") from None
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.lower() in ("true", "yes", "1", "false", "no", "0"):
            return value.lower() in ("true", "yes", "1")
        raise serialization("Unexpected token received from parser")
    raise serialization(f"{_token(value)} cannot be converted to Boolean")


def _scalar(shape: Shape, value: Any) -> Any:
    if shape.type == "string":
        if isinstance(value, str):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if shape.type in ("integer", "long") else value
    raise serialization(f"{_token(value)} cannot be converted to {_JAVA[shape.type]}")


def _token(value: Any) -> str:
    """The name of a token in AWS's JSON parser."""
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    return "DECIMAL_VALUE" if isinstance(value, float) else "NUMBER_VALUE"


def _class(shape: Shape) -> str:
    if shape.type == "structure":
        return f"class com.amazonaws.dynamodb.v20120810.{shape.name}"
    return "class java.nio.ByteBuffer" if shape.type == "blob" else f"class java.lang.{_JAVA[shape.type]}"


def _generic(shape: Shape) -> str:
    if shape.type == "list":
        return f"java.util.List<{_generic(shape.member)}>"
    if shape.type == "map":
        return f"java.util.Map<java.lang.String, {_generic(shape.value)}>"
    return _class(shape).removeprefix("class ")


# The second round: the model's constraints.


def _check_strict_name(operation: str, request: dict[str, Any]) -> None:
    name = request.get("TableName")
    if name is None:
        raise validation("The parameter 'TableName' is required but was not present in the request")
    if operation == "CreateTable" and len(name) < 3:
        [too_short] = constraints.broken_length(len(name), 3, 255)
        raise enveloped(validation(constraints.failure(f"'{name}'", "tableName", too_short)))
    if not name.startswith("arn:") and not 3 <= len(name) <= 255:
        raise validation(_NAMED)


def _check_newer(operation: str, request: dict[str, Any]) -> None:
    """Constraints that operations with newer checks report alone, before all others."""
    if operation in _NEWER_WRITES and request.get("TableName") == "":
        raise _alone("TableName", _AT_LEAST_ONE)
    if operation == "UpdateItem" and request.get("ReturnValues", "NONE") not in _ENUM_ORDER["ReturnValue"]:
        raise enveloped(validation(_NEWER_ENUMS["ReturnValue"]))
    if operation == "Query" and request.get("ConditionalOperator", "AND") not in _ENUM_ORDER["ConditionalOperator"]:
        raise validation(_NEWER_ENUMS["ConditionalOperator"])
    if operation in ("Query", "Scan") and request.get("Limit", 1) < 1:
        raise _alone("Limit", "Member must have value greater than or equal to 1")
    if operation == "Scan" and request.get("Segment", 0) < 0:
        raise _alone("Segment", "Member must have value greater than or equal to 0")
    if operation in ("BatchGetItem", "BatchWriteItem") and request.get("RequestItems") == {}:
        raise _alone("RequestItems", _AT_LEAST_ONE)


def _alone(name: str, constraint: str) -> AwsError:
    return enveloped(validation(f"Value at '{name}' failed to satisfy constraint: {constraint}"))


def is_deep(value: Any) -> bool:
    """Whether a request is nested so deep that AWS checks it with its older messages."""
    layer, levels = [value], 0
    while layer and levels <= _DEEP:
        layer = [
            inner
            for each in layer
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        levels += 1
    return bool(layer)


def _turn(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _constrain_members(shape: Shape, value: dict[str, Any], path: str, errors: list[str], *, older: bool = False) -> None:
    for name in sorted(shape.members, key=_turn):
        member = shape.members[name]
        where = f"{path}.{_lower(name)}" if path else _lower(name)
        if name in value:
            _constrain(member, value[name], where, errors, older=older)
        elif name in _required(shape):
            errors.append(constraints.failure("null", where, constraints.NOT_NULL))


def _constrain(shape: Shape, value: Any, path: str, errors: list[str], *, older: bool = False) -> None:
    if shape.name in _CHECKED_LATER:
        return
    for constraint in [_AT_LEAST_ONE] if older and path == "tableName" and value == "" else _broken(shape, value, path):
        if not older and shape.name in _NEWER_ENUMS and path in ("returnValues", "conditionalOperator"):
            errors.append(_NEWER_ENUMS[shape.name])
        elif shape.name == "KeyList":
            errors.append(f"Value at 'R{path[1:-4]}Keys' failed to satisfy constraint: {constraint}")
        else:
            errors.append(constraints.failure(f"'{_shown(shape, value)}'", path, constraint))
    if shape.type == "structure":
        _constrain_members(shape, value, path, errors)
    elif shape.type == "list":
        for at, element in enumerate(value, start=1):
            _constrain(shape.member, element, f"{path}.{at}.member", errors)
    elif shape.type == "map":
        if shape.value.name == "WriteRequests" and not all(1 <= len(each) <= 25 for each in value.values()):
            bounds = "[Member must have length less than or equal to 25, Member must have length greater than or equal to 1]"
            errors.append(constraints.failure(f"'{_shown(shape, value)}'", path, f"Map value must satisfy constraint: {bounds}"))
        if (keys := _broken_keys(shape.key, value)) is not None:
            errors.append(constraints.failure(f"'{_shown(shape, value)}'", path, f"Map keys must satisfy constraint: {keys}"))
        for name, element in value.items():
            _constrain(shape.value, element, f"{path}.{name}.member", errors)


def _broken(shape: Shape, value: Any, path: str) -> list[str]:
    definition = shape.definition
    if shape.name in ("TableArn", "TableName") and isinstance(value, str):
        if _is_table_name(value):
            return []
        return _broken_text(value, _TABLE_PATTERN, 3, 255)
    if shape.type == "string":
        if definition.enum:
            choices = _ENUM_ORDER.get(shape.name, definition.enum)
            return [] if value in choices or shape.name == "TableClass" else [constraints.enum(choices)]
        return _broken_text(value, definition.pattern, *constraints.bounds(definition))
    low, high = constraints.bounds(definition)
    if shape.name == "KeySchema":
        high = 8 if "lobalSecondaryIndex" in path else 2
    if shape.name == "WriteRequests":
        return []  # Reported for the map that contains them.
    if shape.type in ("integer", "long", "double", "float"):
        return constraints.broken_range(value, low, high)
    return constraints.broken_length(len(value), low, high) if shape.type in ("list", "map") else []


def _broken_text(value: str, pattern: str | None, low: float, high: float) -> list[str]:
    broken = []
    if pattern and not re.fullmatch(pattern, value):
        broken.append(constraints.pattern(pattern))
    return broken + constraints.broken_length(len(value), low, high)


def _broken_keys(shape: Shape, value: dict[str, Any]) -> str | None:
    if shape.name not in ("TableArn", "TableName") or all(map(_is_table_name, value)):
        return None
    return (
        "[Member must have length less than or equal to 255, Member must have length greater than or equal to 3,"
        f" Member must satisfy regular expression pattern: {_TABLE_PATTERN}]"
    )


def _shown(shape: Shape, value: Any) -> str:
    """A value as Java's toString writes it; the newer checks write a map of reads as JSON."""
    if shape.name == "BatchGetRequestMap":
        return msgspec.json.encode(value).decode()
    if shape.type == "list":
        return "[" + ", ".join(_shown(shape.member, each) for each in value) + "]"
    if shape.type == "map":
        return "{" + ", ".join(f"{name}={_shown(shape.value, each)}" for name, each in value.items()) + "}"
    if shape.type == "structure":
        members = _ATTRIBUTE_MEMBERS if shape.name == "AttributeValue" else shape.members
        shown = {_lower(name): "null" if name not in value else _shown_member(shape, name, value[name]) for name in members}
        if shape.name == "PutRequest":
            shown["workloadProfileName"] = "null"
        return f"{shape.name}({', '.join(f'{name}={text}' for name, text in shown.items())})"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _shown_member(shape: Shape, name: str, value: Any) -> str:
    return _shown(shape.members[name], value)


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
