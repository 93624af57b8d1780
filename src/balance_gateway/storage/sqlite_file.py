"""Watches the file of an SQLite database: whether it is still there and takes writes."""

import os
import sqlite3
from collections import Counter
from pathlib import Path

#: Least free space of the disk in bytes: some writes with their audit rows.
_FREE_SPACE_MIN = 256 * 1024


#: How often this process has each file open, by device and inode.
_open_files: Counter[tuple[int, int] | None] = Counter()


def is_open_here(path: str) -> bool:
    """Return whether this process has an SQLite file open.

    Then it must not be opened without SQLite: closing it would end all of the process's locks of it
    (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        status = os.stat(path)
    except OSError:
        return False
    return _open_files[status.st_dev, status.st_ino] > 0


class SqliteFile:
    """The file of an open SQLite database, and the log (``-wal``) that belongs to it.

    After either was deleted or replaced, the database's connections still use the former one, and
    what they write is gone with the process. The log changes only when the last connection closes,
    so that one connection is kept open here.

    Args:
        path: the path of the file.

    Raises:
        OSError: the file does not exist.
        sqlite3.Error: the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        # Without creating a file, and without waiting for locks. Used by one thread at a time.
        uri = f"{Path(path).as_uri()}?mode=rw"
        self._connection = sqlite3.connect(
            uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        # Reading opens the log.
        self._connection.execute("PRAGMA data_version").fetchall()
        self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        self._identity = self._identify()
        _open_files[self._identity[0]] += 1

    def is_same(self) -> bool:
        """Return whether the file and its log are those that the database has open."""
        try:
            return self._identify() == self._identity
        except OSError:
            return False

    def find_write_problem(self) -> str | None:
        """Commit a change that changes no table; blocks for as long as the disk takes.

        Returns:
            Why the file takes no writes; None when it does, or when another writer is at work.
        """
        if not self.is_same():
            return "the file or its -wal file was deleted or replaced; restart the gateway"
        disk = os.statvfs(os.path.dirname(self._path))
        if disk.f_bavail * disk.f_frsize < _FREE_SPACE_MIN:
            return "the disk is full"
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                [(version,)] = self._connection.execute("PRAGMA user_version").fetchall()
                self._connection.execute(f"PRAGMA user_version = {int(version)}")
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return None
            return str(error)
        except sqlite3.Error as error:
            return str(error)
        return None

    def close(self) -> None:
        """Close the connection that is kept open."""
        self._connection.close()
        _open_files[self._identity[0]] -= 1

    def _identify(self) -> list[tuple[int, int] | None]:
        file = os.stat(self._path)
        identity: list[tuple[int, int] | None] = [(file.st_dev, file.st_ino)]
        try:
            log = os.stat(f"{os.path.realpath(self._path)}-wal")
        except FileNotFoundError:
            # A file system without shared memory has no log.
            return [*identity, None]
        return [*identity, (log.st_dev, log.st_ino)]
