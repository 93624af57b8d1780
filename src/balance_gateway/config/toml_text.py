"""Formats tables of the configuration file as text."""

import json
from collections.abc import Mapping, Sequence


def format_value(value: object) -> str:
    """Format a string, an integer or a list of strings as TOML, on one line."""
    # JSON's strings are TOML's, except that TOML also escapes DEL. Escaped surrogates are none.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def format_table(header: str, values: Mapping[str, object]) -> str:
    """Format a table with its header, such as ``[[auth.api_keys]]``; it ends with a line break."""
    lines = [header, *(f"{key} = {format_value(value)}" for key, value in values.items())]
    return "".join(f"{line}\n" for line in lines)


def format_api_key(name: str, reference: str, tenant: str, scopes: Sequence[str]) -> str:
    """Format the table of an API key; ``reference`` is ``env:NAME`` or ``file:PATH``."""
    values = {"name": name, "key": reference, "tenant": tenant, "scopes": list(scopes)}
    return format_table("[[auth.api_keys]]", values)
