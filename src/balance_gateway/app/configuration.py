"""Read the configuration file with the settings of all providers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balance_gateway.config import reader, schema
from balance_gateway.config.settings import Settings
from balance_gateway.providers.registry import PROVIDERS


def read_settings(path: Path) -> Settings:
    """Read the settings from a file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an invalid key or value.
    """
    return reader.read_settings(path, PROVIDERS)


def parse_settings(values: Mapping[str, Any], directory: Path) -> Settings:
    """Convert the values of a parsed file to settings.

    Args:
        values: the values as parsed by tomllib.
        directory: the base directory of relative paths.

    Raises:
        ConfigError: a key is unknown or missing, or its value is invalid.
    """
    return reader.parse_settings(values, directory, PROVIDERS)


def build_config_schema() -> dict[str, Any]:
    """Build the JSON Schema of the configuration file."""
    return schema.build_schema(PROVIDERS)
