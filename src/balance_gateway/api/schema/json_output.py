"""Encodes responses as JSON: numbers exactly, and text that UTF-8 cannot encode replaced."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson


def serialize_json(value: object) -> orjson.Fragment:
    """Encode free-form JSON, so that a value that cannot be encoded fails at its own field."""
    return orjson.Fragment(encode_json(encode_json_value(value)))


def encode_json(value: Any) -> bytes:
    """Encode a response, or a part of it, as JSON."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # A provider may send half a surrogate pair, which UTF-8 cannot encode: it becomes "?".
        return orjson.dumps(_replace_surrogates(value))


def encode_json_value(value: object) -> object:
    """Return a JSON value in which every number is serialized exactly, at any size.

    NaN and infinite numbers, which JSON does not have, become null.
    """
    if isinstance(value, str | bool | None):
        return value
    if isinstance(value, int | Decimal):
        finite = isinstance(value, int) or value.is_finite()
        return orjson.Fragment(str(value)) if finite else None
    if isinstance(value, Mapping):
        return {str(key): encode_json_value(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [encode_json_value(item) for item in value]
    return value


def _replace_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_replace_surrogates(key): _replace_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    return value
