"""Records the statements that a database executes."""

from collections.abc import Mapping
from typing import Any

import aiosqlite
from sqlalchemy import event

from balance_gateway.storage.database import Database


def record_statements(database: Database) -> list[str]:
    """Return a list that receives all statements from now on, but for BEGIN."""
    statements: list[str] = []
    watched: set[Any] = set()

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "BEGIN" not in statement:
            statements.append(statement)

    event.listen(database._engine.sync_engine, "before_cursor_execute", record)
    # Statements in the thread of the event loop.
    if database._reader is not None:
        database._reader._connection.set_trace_callback(statements.append)

    def watch(connection: Any, *_: Any) -> None:
        driver = connection.driver_connection
        if isinstance(driver, aiosqlite.Connection) and driver not in watched:
            watched.add(driver)
            # Statements that are executed past SQLAlchemy.
            fetch = driver.execute_fetchall

            async def fetch_and_record(statement: str, parameters: Mapping[str, Any]) -> Any:
                statements.append(statement)
                return await fetch(statement, parameters)

            driver.execute_fetchall = fetch_and_record  # type: ignore[method-assign, assignment]

    event.listen(database._engine.sync_engine, "checkout", watch)
    return statements
