"""Remembers the normal sides of remote accounts in the database."""

import logging
from collections.abc import Callable, Mapping

from sqlalchemy import bindparam, select, text
from sqlalchemy.exc import IntegrityError

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.storage.database import Database, DatabaseError
from balance_gateway.storage.tables import Instant, normal_sides

logger = logging.getLogger(__name__)

_SIDES: Mapping[str | None, Side] = {side.value: side for side in Side}

_REMEMBER = text(
    """
    INSERT INTO normal_sides (remote_account, side, learned_at)
    VALUES (:remote_account, :side, :learned_at)
    ON CONFLICT (remote_account)
    DO UPDATE SET side = excluded.side, learned_at = excluded.learned_at
    """
).bindparams(bindparam("learned_at", type_=Instant))


class SqlSideStore:
    """Implements ``ports.side_store.SideStore``.

    Args:
        database: the database.
        name_remote_account: returns the remote account of an account.
        clock: returns the instant at which a side is learned.
    """

    def __init__(
        self,
        database: Database,
        name_remote_account: Callable[[Account], str],
        clock: Clock = system_clock,
    ) -> None:
        self._database = database
        self._name_remote_account = name_remote_account
        self._clock = clock

    async def find_side(self, account: Account) -> Side | None:
        """Return the remembered side; None without one, or when the database is unavailable."""
        try:
            return await self._read_side(account)
        except DatabaseError:
            logger.warning("side.not_found", extra={"account_id": account.id})
            return None

    async def remember_side(self, account: Account, side: Side) -> None:
        """Store the side; without a database it is only logged that it was not stored."""
        row = {
            "remote_account": self._name_remote_account(account),
            "side": side.value,
            "learned_at": self._clock(),
        }
        try:
            # A restart learns every side again, and a read is cheaper than a commit.
            if await self._read_side(account) is side:
                return
            async with self._database.write_transaction() as connection:
                await connection.execute(_REMEMBER, row)
        except (DatabaseError, IntegrityError):
            # The value that was just read is still right: only a later outage needs the memory.
            logger.warning("side.not_remembered", extra={"account_id": account.id})

    async def _read_side(self, account: Account) -> Side | None:
        remote_account = self._name_remote_account(account)
        statement = select(normal_sides.c.side).where(
            normal_sides.c.remote_account == remote_account
        )
        async with self._database.read_transaction() as connection:
            side = await connection.scalar(statement)
        return _SIDES.get(side)
