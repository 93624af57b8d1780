"""Converts parsed TOML to typed settings with msgspec, and words its errors for operators.

msgspec finds the fault and its place. The error is worded by the type at that place: it names the
key as written in the file, says what the value must be, and suggests the nearest known name.
"""

import difflib
import functools
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from balance_gateway.config.errors import ConfigError, InvalidSetting
from balance_gateway.config.value_types import ValueParser, format_name

T = TypeVar("T")

_PLACE = re.compile(r" - at `\$(.*)`\Z", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_UNKNOWN = "Object contains unknown field"


def convert_table(values: object, kind: type[T], name: str, directory: Path) -> T:
    """Convert a table of the file.

    Args:
        values: the table as parsed by tomli.
        kind: the type of the settings, a ``msgspec.Struct``.
        name: the table's full name, such as ``connectors.light_eu``; empty for the whole file.
        directory: the base directory of relative paths.

    Raises:
        ConfigError: a key is unknown or missing, or its value is invalid.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name} must be a table")
    try:
        return msgspec.convert(values, kind, dec_hook=_get_parser(directory))
    except msgspec.ValidationError as error:
        message = _describe_error(error, values, inspect.type_info(kind), name)
    # Raised outside of the handler: msgspec's error may quote the value.
    raise ConfigError(message)


@functools.lru_cache(maxsize=1)
def _get_parser(directory: Path) -> ValueParser:
    # A file has thousands of tables.
    return ValueParser(directory)


def join_name(table: str, key: str) -> str:
    """Return the full name of a key of a table."""
    return f"{table}.{format_name(key)}" if table else format_name(key)


def describe_choice(value: object, choices: Collection[str]) -> str:
    """Return the end of an error: the allowed values, and the nearest to the given one."""
    allowed = ", ".join(sorted(choices))
    if not isinstance(value, str):
        return f"must be one of {allowed}"
    near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"must be one of {allowed}, not {value!r}{hint}"


def _describe_error(
    error: msgspec.ValidationError, values: Any, kind: inspect.Type, name: str
) -> str:
    text = str(error)
    place = _PLACE.search(text)
    for key, index in _STEP.findall(place[1] if place else ""):
        # A list has steps by index, a table by key; other values have none.
        values = values[int(index)] if index else values[key]
        kind = _get_inner_type(kind, key)
        name = f"{name}[{index}]" if index else join_name(name, key)
    cause = error.__cause__
    if isinstance(cause, InvalidSetting):
        return f"{join_name(name, cause.key)} {cause.problem}"
    if cause is not None:
        problem = str(cause)
        return f"{name}{problem}" if problem.startswith(":") else f"{name} {problem}"
    if missing := _MISSING.match(text):
        return f"{join_name(name, missing[1])} is missing"
    if text.startswith(_UNKNOWN):
        assert isinstance(kind, inspect.StructType)
        return _describe_unknown_key(values, kind, name)
    return f"{name} {_describe_type(kind, values)}"


def _describe_unknown_key(values: Mapping[str, Any], kind: inspect.StructType, name: str) -> str:
    known = {field.encode_name for field in kind.fields} | {kind.tag_field or ""} - {""}
    key = next(key for key in values if key not in known)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"{join_name(name, key)} is not a known key; {hint}"


def _get_inner_type(kind: inspect.Type, key: str) -> inspect.Type:
    """Return the type of a struct's field, or of a list's items."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.StructType):
        kind = next(field.type for field in kind.fields if field.encode_name == key)
        if isinstance(kind, inspect.UnionType):
            # Every union is "or None".
            kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
        return kind
    assert isinstance(kind, inspect.VarTupleType)
    return kind.item_type


def _describe_type(kind: inspect.Type, value: object) -> str:
    """Return the end of an error that says what a value of this type must be."""
    if isinstance(kind, inspect.Metadata):
        special = (kind.extra or {}).get("must_be")
        return f"must be {special}" if special else _describe_type(kind.type, value)
    if isinstance(kind, inspect.LiteralType):
        return describe_choice(value, [str(each) for each in kind.values])
    if isinstance(kind, inspect.EnumType):
        return describe_choice(value, [each.value for each in kind.cls])
    return f"must be {_name_type(kind)}"


def _name_type(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType():
            return f"an integer from {kind.ge} to {kind.le}"
        case inspect.FloatType():
            return f"a number of seconds, at least {kind.ge:g}"
        case inspect.BoolType():
            return "true or false"
        case inspect.DateTimeType():
            return "an instant with a UTC offset, such as 2026-01-01T00:00:00Z"
        case inspect.DateType():
            return "a date such as 2024-12-31"
        case inspect.StrType():
            return "a string"
        case inspect.VarTupleType(item_type=inspect.StructType() | inspect.DictType()):
            return "an array of tables, [[…]]"
        case inspect.VarTupleType():
            return "a list of strings" + (" that is not empty" if kind.min_length else "")
    return "a table"
