"""Migrates a database to the newest version of the tables, with Alembic.

A new version is a module in ``versions`` named ``vNNNN_what_it_does.py``. A released version is
never edited. A new column is nullable or has a default in the database: rows of older releases have
no value for it, and processes of the older release insert rows until they are restarted. A test
compares the tables that the versions create with ``storage.tables`` and ``plan_tables``.

Alembic is imported by what runs it: most starts find the newest version and need none of it.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from alembic.config import Config

#: Alembic keeps the running migration in module globals, so a process runs one at a time.
upgrade_lock = threading.Lock()


#: PostgreSQL's code for a statement that the role may not execute.
_INSUFFICIENT_PRIVILEGE = "42501"


#: Alembic's table, with one row: the version.
_VERSIONS = table("alembic_version", column("version_num"))


class UpgradeError(Exception):
    """The tables cannot be upgraded; the message continues after the database's name."""


def is_current(connection: Connection) -> bool:
    """Return whether the database has the newest version; only reads."""
    return read_version(connection) == max(_list_versions())


def read_version(connection: Connection) -> str | None:
    """Return the version of the database; None for an empty one."""
    if not inspect(connection).has_table(_VERSIONS.name):
        return None
    found: str | None = connection.scalar(select(_VERSIONS.c.version_num))
    return found


def is_known(version: str) -> bool:
    """Return whether this release has the version; it has none of a newer release."""
    return version in _list_versions()


def upgrade(connection: Connection) -> None:
    """Run the missing versions in the connection's transaction; the caller commits.

    Raises:
        UpgradeError: a newer release created the database, or its user may not change tables.
    """
    from alembic import command  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        message = "was created by a newer release of balance-gateway; upgrade this one"
        raise UpgradeError(message) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        message = "does not have the tables of this release, and the user of storage.url may not"
        hint = "run 'balance-gateway migrate' as their owner"
        raise UpgradeError(f"{message} make them: {hint}") from error


def _list_versions() -> set[str]:
    # The names of the modules begin with the numbers of their versions, which follow each other.
    return {path.name[1:5] for path in (Path(__file__).parent / "versions").glob("v*.py")}


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # The configuration parser treats a percent sign as the start of a variable.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
