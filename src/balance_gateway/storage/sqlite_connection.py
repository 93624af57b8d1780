"""The driver's connections to SQLite; those to an in-memory database count their commits."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakSet


class SqliteConnection(sqlite3.Connection):
    """A connection that closes its cursors before it closes."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, *arguments: Any, **named: Any) -> Any:
        """Open a cursor."""
        cursor = super().cursor(*arguments, **named)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        """Close the connection."""
        # SQLite keeps a transaction and its locks while a statement of the connection has rows
        # left, even after the close. The traceback of a cancelled task keeps such a statement's
        # cursor until the garbage collector runs.
        for cursor in list(self._cursors):
            cursor.close()
        self._cursors.clear()
        super().close()


class CommitCount:
    """The version of an in-memory database: it changes with every commit that changed rows."""

    def __init__(self) -> None:
        # Held for an addition only, never during a commit.
        self._lock = Lock()
        self._under_way = 0
        self._version = 0

    def read_version(self) -> int:
        """Return the present version; a new one at each call while a commit is under way."""
        with self._lock:
            # It is not known whether that commit has taken effect.
            if self._under_way:
                self._version += 1
            return self._version

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count the commit that runs inside, whether it fails or not."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                self._version += 1


class CountedConnection(SqliteConnection):
    """A connection that counts its commits where they happen, in the driver's thread.

    The task that commits may be cancelled and know nothing of the commit.
    """

    def __init__(self, commits: CommitCount, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._commits = commits
        #: The changed rows of all transactions that have ended.
        self._ended_changes = 0

    def commit(self) -> None:
        """Commit the transaction, if there is one."""
        # Reads are transactions too.
        if self.total_changes == self._ended_changes:
            super().commit()
            return
        with self._commits.count():
            super().commit()
        self._ended_changes = self.total_changes

    def rollback(self) -> None:
        """Roll the transaction back, if there is one."""
        super().rollback()
        self._ended_changes = self.total_changes
