"""Migrates a database to the newest version of the tables, with Alembic.

A new version is a module in ``versions`` named ``vNNNN_what_it_does.py``. A released version is
never edited. A new column is nullable or has a default in the database: rows of older releases have
no value for it, and processes of the older release insert rows until they are restarted. A test
compares the tables that the versions create with ``storage.tables``.
"""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

#: Alembic keeps the running migration in module globals, so a process runs one at a time.
upgrade_lock = threading.Lock()


class UnknownVersion(Exception):
    """The database was created by a newer release than this one."""


def is_current(connection: Connection) -> bool:
    """Return whether the database has the newest version; only reads."""
    context = MigrationContext.configure(connection)
    return context.get_current_heads() == tuple(_scripts().get_heads())


def upgrade(connection: Connection) -> None:
    """Run the missing versions in the connection's transaction; the caller commits.

    Raises:
        UnknownVersion: the database was created by a newer release.
    """
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise UnknownVersion from error


def _config() -> Config:
    config = Config()
    # The configuration parser treats a percent sign as the start of a variable.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
