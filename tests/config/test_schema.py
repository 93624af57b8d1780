"""The JSON Schema of the configuration file has every key of every provider, described."""

from typing import Any

from balance_gateway.app.configuration import build_config_schema
from balance_gateway.config.accounts import build_account_type
from balance_gateway.providers.registry import PROVIDERS

SCHEMA = build_config_schema()


def list_properties() -> dict[str, Any]:
    """Return the schema of each key by its full name."""
    tables = {"": SCHEMA, **SCHEMA["$defs"]}
    return {
        f"{table}.{key}": value
        for table, definition in tables.items()
        for key, value in definition.get("properties", {}).items()
    }


def test_each_key_is_described() -> None:
    undescribed = [
        name
        for name, value in list_properties().items()
        if "description" not in value and not name.endswith("Settings.provider")
        and not any("description" in one for one in value.get("anyOf", ()))
    ]  # fmt: skip

    assert undescribed == []


def test_a_description_is_that_of_the_key_s_own_table() -> None:
    properties = list_properties()

    assert properties["LightSettings.currency"]["description"].startswith("Default currency")
    assert properties["LightAccount.currency"]["description"].startswith("ISO 4217")


def test_every_provider_has_its_connector_and_its_account() -> None:
    found = list_properties()

    for spec in PROVIDERS.values():
        for kind in (spec.settings, build_account_type(spec)):
            for key in kind.__struct_fields__:
                assert f"{kind.__name__}.{key}" in found
        assert found[f"{spec.settings.__name__}.provider"] == {"enum": [spec.kind.value]}
    used = [each["$ref"] for each in SCHEMA["properties"]["accounts"]["items"]["anyOf"]]
    assert len(used) == len(PROVIDERS)


def test_unknown_keys_are_refused_in_every_table() -> None:
    tables = [SCHEMA, *(one for one in SCHEMA["$defs"].values() if "properties" in one)]

    assert len(tables) > 10
    assert [one for one in tables if one["additionalProperties"] is not False] == []
