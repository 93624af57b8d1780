"""Builds the JSON Schema of the configuration file, for editors."""

from typing import Any

import msgspec

from balance_gateway.config.accounts import build_account_type
from balance_gateway.config.reader import File, Specs
from balance_gateway.config.value_types import JSON_SCHEMAS

_REFERENCE = "#/$defs/{name}"


def build_schema(specs: Specs) -> dict[str, Any]:
    """Build the schema of a file with connectors and accounts of all providers.

    Args:
        specs: the specs of all providers by kind.
    """
    connectors = [spec.settings for spec in specs.values()]
    accounts = [build_account_type(spec) for spec in specs.values()]
    references, definitions = msgspec.json.schema_components(
        [File, *connectors, *accounts], schema_hook=_build_value_schema, ref_template=_REFERENCE
    )
    file = definitions.pop("File")
    provider_parts = references[1:]
    count = len(connectors)
    file["properties"]["connectors"] = {
        "type": "object",
        "description": "One set of credentials at one provider, by name.",
        "additionalProperties": {"anyOf": list(provider_parts[:count])},
    }
    file["properties"]["accounts"] = {
        "type": "array",
        "description": "The accounts, each at one connector.",
        "items": {"anyOf": list(provider_parts[count:])},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **file,
        "title": "Configuration of Balance Gateway",
        "$defs": definitions,
    }


def _build_value_schema(kind: type) -> dict[str, Any]:
    return dict(JSON_SCHEMAS[kind])
