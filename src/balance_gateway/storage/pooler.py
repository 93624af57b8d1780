"""Finds out whether a pooler, such as pgbouncer, mixes the prepared statements of its clients.

In transaction mode the next transaction of a connection may run in another session of PostgreSQL,
which does not know the statements that the connection has prepared, or knows others by their names.

Source: pgbouncer, "max_prepared_statements": "When this is set to a non-zero value PgBouncer tracks
protocol-level named prepared statements"; such a pooler passes the check.
"""

import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

#: What to do about it.
ADVICE = (
    "a pooler such as pgbouncer in transaction mode does not keep prepared statements; set"
    " ?statement_cache_size=0 in storage.url"
)

_OWN_SESSION = "SELECT pg_backend_pid()"

#: How often two connections prepare a statement: both have to meet in one session of PostgreSQL.
_ATTEMPTS = 5

#: Arguments of SQLAlchemy's dialect, and not of asyncpg.
_OF_DIALECT = ("prepared_statement_cache_size", "prepared_statement_name_func")


async def loses_statements(arguments: Mapping[str, Any]) -> bool:
    """Return whether prepared statements fail between this process and PostgreSQL.

    Args:
        arguments: the arguments of a connection.

    Raises:
        Exception: asyncpg's own, when it cannot connect.
    """
    import asyncpg  # noqa: PLC0415  (an optional dependency)

    if arguments.get("statement_cache_size") == 0:
        return False
    options = {name: value for name, value in arguments.items() if name not in _OF_DIALECT}
    # Only the statements of this check have names.
    options["statement_cache_size"] = 0
    async with AsyncExitStack() as stack:
        one = await asyncpg.connect(**options)
        stack.push_async_callback(one.close)
        # A pooler invents the number by which its client may cancel.
        if await one.fetchval(_OWN_SESSION) == one.get_server_pid():
            return False
        two = await asyncpg.connect(**options)
        stack.push_async_callback(two.close)
        try:
            for _ in range(_ATTEMPTS):
                name = f"check_{secrets.token_hex(8)}"
                first = await one.prepare(_OWN_SESSION, name=name)
                second = await two.prepare(_OWN_SESSION, name=name)
                await first.fetchval()
                await second.fetchval()
        except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError):
            return True
    return False
