"""Builds the JSON Schema of the configuration file, for editors.

Descriptions come from the docstrings of the settings, from their sections ``Attributes``.
"""

import inspect
import re
from typing import Any

import msgspec

from balance_gateway.config.accounts import build_account_type
from balance_gateway.config.reader import File, Specs
from balance_gateway.config.value_types import JSON_SCHEMAS

_ATTRIBUTE = re.compile(r"^    (\w+): (.*?)(?=^    \w|\Z)", re.MULTILINE | re.DOTALL)


def build_schema(specs: Specs) -> dict[str, Any]:
    """Build the schema of a file with connectors and accounts of all providers.

    Args:
        specs: the specs of all providers by kind.
    """
    connectors = [spec.settings for spec in specs.values()]
    accounts = [build_account_type(spec) for spec in specs.values()]
    (_, *references), definitions = msgspec.json.schema_components(
        [File, *connectors, *accounts],
        schema_hook=lambda kind: dict(JSON_SCHEMAS[kind]),
        ref_template="#/$defs/{name}",
    )
    bases = {kind.__name__: kind.__mro__ for kind in (*connectors, *accounts)}
    for name, definition in definitions.items():
        inherited = [inspect.getdoc(base) for base in reversed(bases.get(name, ()))]
        _describe_properties(definition, inherited)
    file = definitions.pop("File")
    file["properties"]["connectors"]["additionalProperties"] = {
        "anyOf": references[: len(connectors)]
    }
    file["properties"]["accounts"]["items"] = {"anyOf": references[len(connectors) :]}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**head, **file, "title": "Balance Gateway", "$defs": definitions}


def _describe_properties(definition: dict[str, Any], inherited: list[str | None]) -> None:
    """Describe the keys of a table, and the table itself by its summary."""
    own = inspect.cleandoc(definition.get("description", ""))
    texts: dict[str, str] = {}
    for docstring in (*inherited, own):
        texts |= dict(_ATTRIBUTE.findall(docstring or ""))
    for name, schema in definition.get("properties", {}).items():
        if name in texts:
            schema.setdefault("description", _to_plain_text(texts[name]))
    if own:
        definition["description"] = _to_plain_text(own.split("\n\n")[0])


def _to_plain_text(text: str) -> str:
    return " ".join(text.replace("``", "").split())
