"""Reads an SQLite file in the thread of the event loop, where no statement takes long."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


class SqliteReader:
    """One connection that reads: it waits for no lock, and for the disk as any read does.

    In WAL mode neither writers nor other readers lock it out. A statement that finds its pages in
    memory takes a tenth of what the turns of another connection's thread take.

    Args:
        path: the path of the file.
        on_error: is called with the error of a statement.

    Raises:
        sqlite3.Error: the file cannot be opened.
    """

    def __init__(self, path: str, on_error: Callable[[sqlite3.Error], object]) -> None:
        self._on_error = on_error
        uri = f"{Path(path).as_uri()}?mode=rw"
        self._connection = sqlite3.connect(
            uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA query_only = ON").close()

    def read_rows(self, statement: str, parameters: Mapping[str, Any]) -> Sequence[Any] | None:
        """Return the rows of one statement; None when the file is locked, unreadable or closed."""
        try:
            # Read to its end: a statement with rows left would keep its snapshot of the database.
            return self._connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            self._on_error(error)
            return None

    def close(self) -> None:
        """Close the connection; later reads return None."""
        self._connection.close()
