"""Write the files of a new gateway, and create its storage."""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import tomli

from balance_gateway.app.configuration import parse_settings
from balance_gateway.app.new_configuration import (
    NewConfiguration,
    create_storage,
    find_database_file,
    format_configuration,
    format_sqlite_url,
)
from balance_gateway.cli.api_keys import generate_api_key, write_new_secret
from balance_gateway.cli.new_files import (
    make_folder,
    publish,
    refuse_existing,
    staging_folder,
    undo_on_failure,
)
from balance_gateway.config.settings import Settings

#: The files that SQLite keeps beside a database: those of another one would damage a new one.
_COMPANIONS = ("", "-wal", "-shm", "-journal")

_ADMIN_KEY = "admin_key"


def write_new_gateway(
    path: Path,
    values: Mapping[str, str],
    port: int,
    connectors: Mapping[str, Mapping[str, str]],
    secrets: Mapping[str, str],
) -> Mapping[str, object]:
    """Write everything or nothing, and return what was written.

    Args:
        path: the absolute path of the configuration file.
        values: tenant, database, cache and host.
        port: the port to listen on.
        connectors: the settings of connectors by provider.
        secrets: the secrets to store beside the admin key, by the name of their file.

    Raises:
        ConfigError: a value is invalid.
        Exists: a file exists.
        GatewayError: the storage cannot be created.
        OSError: a file cannot be written.
    """
    folder, key = path.parent, generate_api_key()
    all_secrets = {_ADMIN_KEY: key, **secrets}
    targets = {name: folder / "secrets" / name for name in all_secrets}
    new = NewConfiguration(
        name=path.name,
        tenant=values["tenant"],
        database=_make_absolute(values["database"]),
        cache=values["cache"],
        host=values["host"],
        port=port,
        key=f"file:secrets/{_ADMIN_KEY}",
        connectors=connectors,
    )
    refuse_existing([path, *targets.values()])
    with undo_on_failure() as stack:
        make_folder(folder, stack)
        with staging_folder(folder) as staged:
            for name, secret in all_secrets.items():
                write_new_secret(staged / name, secret)
            (staged / path.name).write_text(format_configuration(new), encoding="utf-8")
            checked = format_configuration(_refer_to(staged, new, all_secrets))
            settings = parse_settings(tomli.loads(checked), folder)
            database = find_database_file(settings)
            version = _create_storage(settings, database, stack)
            # From here on only links are made, the configuration last: all that it names is there.
            make_folder(folder / "secrets", stack, 0o700)
            for name, target in targets.items():
                publish(staged / name, target, stack)
            publish(staged / path.name, path, stack)
    return {
        "config": str(path),
        "database": None if database is None else str(database),
        "version": version,
        "tenant": values["tenant"],
        "admin_key": key,
        "admin_key_file": str(folder / "secrets" / _ADMIN_KEY),
    }


def _refer_to(staged: Path, new: NewConfiguration, secrets: Mapping[str, str]) -> NewConfiguration:
    """Return the configuration with references to the secrets where they are now."""
    places = {f"file:secrets/{name}": f"file:{staged / name}" for name in secrets}
    connectors = {
        kind: {key: places.get(value, value) for key, value in settings.items()}
        for kind, settings in new.connectors.items()
    }
    return replace(new, key=places[new.key], connectors=connectors)


def _create_storage(settings: Settings, database: Path | None, stack: ExitStack) -> str:
    if database is None:
        return create_storage(settings, None)
    refuse_existing(Path(f"{database}{suffix}") for suffix in _COMPANIONS)
    make_folder(database.parent, stack)
    with staging_folder(database.parent) as staged:
        version = create_storage(settings, staged / database.name)
        publish(staged / database.name, database, stack)
    return version


def _make_absolute(url: str) -> str:
    """Return the URL; a relative path is another file from another working directory."""
    relative = re.fullmatch(r"sqlite:///(?!/|:memory:)([^?]+)", url)
    return url if relative is None else format_sqlite_url(Path(relative[1]))
