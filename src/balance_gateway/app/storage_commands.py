"""Migrate, back up and restore the storage without opening the rest of the gateway."""

from dataclasses import dataclass
from pathlib import Path

from balance_gateway.config.settings import Settings
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.errors import BadInput, Internal
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.database_url import (
    find_sqlite_path,
    format_client_options,
    parse_database_url,
)
from balance_gateway.storage.migrations import read_version
from balance_gateway.storage.plan_pause import pause_plans
from balance_gateway.storage.sqlite_backup import BackupError, WrongTarget, back_up, restore


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A backup that was written, or put in place.

    Attributes:
        file: the file that was written.
        size_bytes: its size.
        version: the version of its tables.
        kept: the former files of the database, which were kept under these names; empty for a
            backup.
        paused_plans: the number of plans that a restore has paused; 0 for a backup.
    """

    file: str
    size_bytes: int
    version: str
    kept: list[str]
    paused_plans: int = 0


async def migrate_storage(settings: Settings) -> str:
    """Create the tables of the storage, or migrate them to this release; return their version.

    Raises:
        Internal: the storage cannot be opened, is damaged or was created by a newer release.
    """
    try:
        database = await open_database(settings.storage.url.reveal())
    except DatabaseError as error:
        raise Internal(str(error)) from error
    try:
        async with database.read_transaction() as connection:
            version = await connection.run_sync(read_version)
    except DatabaseError as error:
        raise Internal(str(error)) from error
    finally:
        await database.aclose()
    assert version is not None, "the database was migrated when it was opened"
    return version


def back_up_storage(settings: Settings, file: Path, *, replace: bool) -> BackupResult:
    """Write a backup of the SQLite database to a file; gateways may be using the database.

    Raises:
        BadInput: the storage is not an SQLite file, or the backup's file exists or cannot be one.
        Internal: the database is missing or damaged, or the disk failed.
    """
    path = _find_sqlite_path(settings, "pg_dump -Fc -f FILE {options} {name}")
    try:
        backup = back_up(path, file, replace=replace)
    except WrongTarget as error:
        raise BadInput(str(error), field="file") from None
    except BackupError as error:
        raise Internal(str(error)) from None
    return BackupResult(str(backup.file), backup.size_bytes, backup.version, [])


def restore_storage(settings: Settings, file: Path | None) -> BackupResult:
    """Put a backup in the place of the SQLite database, and keep the former files.

    Raises:
        BadInput: the storage is not an SQLite file, or no backup is given.
        Internal: the backup is damaged, another program's or of a newer release; a gateway has the
            database open; or the disk failed.
    """
    path = _find_sqlite_path(
        settings,
        "createdb {options} NEW_NAME, then pg_restore --single-transaction {options} -d NEW_NAME"
        " FILE, then NEW_NAME in storage.url, then 'balance-gateway restore' without FILE",
    )
    if file is None:
        raise BadInput("FILE is missing: the backup that 'balance-gateway backup' wrote")
    try:
        backup, kept = restore(path, file, system_clock())
    except BackupError as error:
        raise Internal(str(error)) from None
    former = [str(each) for each in kept]
    return BackupResult(str(path), backup.size_bytes, backup.version, former, backup.paused_plans)


def is_in_postgresql(settings: Settings) -> bool:
    """Whether the storage is a PostgreSQL database."""
    parsed, _, _ = parse_database_url(settings.storage.url.reveal())
    return parsed.get_backend_name() == "postgresql"


async def finish_restore(settings: Settings) -> int:
    """Pause the plans of a PostgreSQL database that pg_restore has filled; return their number.

    What was sent of them since the backup is not known, so nothing is sent before a person has
    decided; ``restore_storage`` does so in SQLite files.

    Raises:
        Internal: the database cannot be opened, or was created by a newer release.
    """
    try:
        database = await open_database(settings.storage.url.reveal())
    except DatabaseError as error:
        raise Internal(str(error)) from error
    try:
        return await pause_plans(database)
    except DatabaseError as error:
        raise Internal(str(error)) from error
    finally:
        await database.aclose()


def _find_sqlite_path(settings: Settings, postgresql_command: str) -> Path:
    parsed, label, _ = parse_database_url(settings.storage.url.reveal())
    if parsed.get_backend_name() != "sqlite":
        command = postgresql_command.format(
            options=format_client_options(parsed), name=parsed.database or "postgres"
        )
        raise BadInput(f"storage.url is PostgreSQL, use its own programs: {command}")
    path = find_sqlite_path(parsed)
    if path is None:
        raise BadInput(f"storage.url is {label}, in memory: there is no file")
    return Path(path)
