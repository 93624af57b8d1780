"""Finds out whether an SQLite file is damaged, before anything may write to it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

#: Time in seconds to wait for a process that creates or migrates the database.
_LOCK_WAIT_S = 30

#: Offset and length in the file's header of the versions for writing and reading; both are 1 for
#: a file without a log, and 2 in WAL mode. Source: "Database File Format", 1.3.3.
_VERSIONS = slice(18, 20)
_WITHOUT_LOG = b"\x01\x01"

_RESTORE = "restore a backup with 'balance-gateway restore FILE'"

#: What an operator reads and does about a file that SQLite finds damaged.
DAMAGED = f"is damaged; stop every gateway and {_RESTORE}"

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NEEDS_WRITING = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def is_damage(error: BaseException | None) -> bool:
    """Return whether an error of the driver means that the file is damaged."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE


def find_obstacle(path: str) -> str | None:
    """Return why a file must not be opened, with what to do; None if it may be.

    Args:
        path: the path of the file, without links.
    """
    foreign = find_foreign_log(path)
    if foreign is not None:
        return f"cannot be opened: {foreign}; put back the two that belong together, or {_RESTORE}"
    damage = find_damage(path)
    if damage is not None:
        return f"is damaged ({damage}); stop every gateway and {_RESTORE}"
    return None


def find_foreign_log(path: str) -> str | None:
    """Return why the log (``-wal``) beside a file belongs to another file; None if it may be its.

    SQLite would replay the log into the file: it does not notice that the file was replaced. It
    would delete the log of a file that is missing or empty. A backup of ``sqlite_backup`` is not in
    WAL mode, so that a log beside it is another file's.
    """
    log = f"{path}-wal"
    # Before the file: another process may be creating the file, and its log after it.
    if not os.path.exists(log) or os.path.getsize(log) == 0:
        return None
    try:
        with open(path, "rb") as file:
            header = file.read(_VERSIONS.stop)
    except FileNotFoundError:
        header = b""
    except OSError:
        return None
    if not header:
        return f"it is missing or empty, but its log is there, {log}"
    if header[_VERSIONS] == _WITHOUT_LOG:
        return f"the log {log} belongs to another file that was in its place"
    return None


def find_damage(path: str) -> str | None:
    """Run SQLite's ``quick_check``, which reads the whole file and its log, and writes nothing.

    Returns:
        The first damage in one line; None if there is none, or if the file cannot be opened for
        another reason.
    """
    if not os.path.exists(path):
        return None
    # Read-only, since SQLite would write the log into the file when it closes it. Rarely it must
    # write first: after a crash while the file was created.
    for mode in ("ro", "rw"):
        uri = f"{Path(path).as_uri()}?mode={mode}"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=_LOCK_WAIT_S)) as connection:
                return describe_damage(connection, "quick_check")
        except sqlite3.Error as error:
            if is_damage(error):
                return str(error)
            if error.sqlite_errorcode & 0xFF not in _NEEDS_WRITING:
                return None
    return None


def describe_damage(connection: sqlite3.Connection, check: str) -> str | None:
    """Run ``quick_check`` or ``integrity_check``; return the first damage, or None."""
    [(result,)] = connection.execute(f"PRAGMA {check}(1)").fetchall()
    return None if result == "ok" else " ".join(str(result).split())
