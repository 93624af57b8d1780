"""Read the configuration file with the settings of all providers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balance_gateway.config import reader, schema
from balance_gateway.config.errors import ConfigError
from balance_gateway.config.settings import Settings
from balance_gateway.pipeline.redis_url import RedisUrlError, parse_redis_url
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.storage.database_url import check_url
from balance_gateway.storage.postgresql_url import UrlError


def read_settings(path: Path) -> Settings:
    """Read the settings from a file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an invalid key or value.
    """
    return _check_urls(reader.read_settings(path, PROVIDERS))


def parse_settings(values: Mapping[str, Any], directory: Path) -> Settings:
    """Convert the values of a parsed file to settings.

    Args:
        values: the values as parsed by tomli.
        directory: the base directory of relative paths.

    Raises:
        ConfigError: a key is unknown or missing, or its value is invalid.
    """
    return _check_urls(reader.parse_settings(values, directory, PROVIDERS))


def _check_urls(settings: Settings) -> Settings:
    """Check the parameters of the URLs as their clients read them, before anything is opened."""
    cache_url = settings.cache.url.reveal()
    try:
        check_url(settings.storage.url.reveal())
        if not cache_url.startswith("memory"):
            parse_redis_url(cache_url)
    except (UrlError, RedisUrlError) as error:
        raise ConfigError(str(error)) from None
    return settings


def build_config_schema() -> dict[str, Any]:
    """Build the JSON Schema of the configuration file."""
    return schema.build_schema(PROVIDERS)
