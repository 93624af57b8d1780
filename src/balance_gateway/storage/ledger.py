"""The embedded ledger on SQL: opening balances, entries, and the closing figure of every day.

Per account and book, ``ledger_days`` holds for each day that changes it the sum of all entries on
or before that day. A balance as of any day is one look-up, however many entries there are; an
import moves the closing figures from its first day on, in its own transaction.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.balances import (
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.domain.errors import ProviderUnavailable
from balance_gateway.domain.ledger import Book, Entry, ImportResult, Sums
from balance_gateway.domain.money import Money
from balance_gateway.storage.database import Database, DatabaseError
from balance_gateway.storage.staging import Staging, Totals
from balance_gateway.storage.tables import BigIntText, ledger_days, ledger_opening_balances

#: One row per query ``[account_id, day]`` of the JSON list ``:asked``, in its order. As the queries
#: are one parameter, the statement is always the same and is compiled once.
_SUMS = """
    SELECT
        (SELECT minor_units FROM ledger_opening_balances
          WHERE account_id = asked.account_id) AS opening,
        (SELECT closing FROM ledger_days
          WHERE account_id = asked.account_id AND book = 'bank' AND day <= asked.day
          ORDER BY day DESC LIMIT 1) AS bank,
        (SELECT closing FROM ledger_days
          WHERE account_id = asked.account_id AND book = 'ledger' AND day <= asked.day
          ORDER BY day DESC LIMIT 1) AS ledger
    FROM ({asked}) AS asked
    ORDER BY asked.position
"""
_ASKED_SQLITE = """
    SELECT key AS position, json_extract(value, '$[0]') AS account_id,
           json_extract(value, '$[1]') AS day
    FROM json_each(:asked)
"""
_ASKED_POSTGRESQL = """
    SELECT position, value ->> 0 AS account_id, value ->> 1 AS day
    FROM json_array_elements(CAST(:asked AS json)) WITH ORDINALITY AS query(value, position)
"""

#: Rows of closing figures written per statement.
_DAYS_PER_STATEMENT = 5_000


class SqlLedgerStore:
    """Implements ``domain.ledger.LedgerStore``.

    Every method raises ``ProviderUnavailable`` when the database is out of reach.

    Args:
        database: where the ledger is kept.
        clock: tells when an opening balance is set.
    """

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock
        asked = _ASKED_SQLITE if database.is_sqlite else _ASKED_POSTGRESQL
        self._sums = text(_SUMS.format(asked=asked)).columns(
            opening=BigIntText, bank=BigIntText, ledger=BigIntText
        )

    async def sums(self, queries: Sequence[BalanceQuery]) -> Sequence[Sums]:
        """The sums per query, in order, in one statement.

        An account of which nothing is stored has no opening balance, and sums of 0.
        """
        asked = json.dumps([(query.account.id, query.as_of.isoformat()) for query in queries])
        with _failing_as_provider():
            async with self._database.reading() as connection:
                rows = await connection.execute(self._sums, {"asked": asked})
                return [Sums(opening, bank or 0, ledger or 0) for opening, bank, ledger in rows]

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """The opening balance; None when none is set."""
        with _failing_as_provider():
            async with self._database.reading() as connection:
                return await _opening_balance(connection, account.id)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Sets it, replacing the one that is there; created_at stays, updated_at moves.

        Without ``effective_at`` it is effective from now. A memo or reference number that is
        left out is not kept from the one replaced.
        """
        now = self._clock()
        with _failing_as_provider(maybe_applied=True):
            async with self._database.writing() as connection:
                await self._database.lock(connection, f"opening-balance:{write.account.id}")
                known = await _opening_balance(connection, write.account.id)
                opening = OpeningBalance(
                    amount=write.amount,
                    effective_at=write.effective_at or now,
                    source=OpeningBalanceSource.PROVIDER,
                    created_at=now if known is None else known.created_at,
                    updated_at=now,
                    memo=write.memo,
                    reference_number=write.reference_number,
                )
                await _store_opening_balance(connection, write.account.id, opening)
        return opening

    async def add_entries(
        self, account: Account, entries: Iterable[Entry] | AsyncIterator[Entry]
    ) -> ImportResult:
        """Adds entries in one transaction: all of them or none; known ids are passed over.

        An id is known when the account's book has it, in the store or earlier in ``entries``;
        the description does not count. The entries are first staged in a temporary table, so
        that memory stays small and other writers wait only for the last step.

        Raises:
            EntryConflict: an id is known with another day or amount; the attribute ``entries``
                names up to 20 of them.
        """
        with _failing_as_provider(maybe_applied=True):
            async with self._database.connected() as connection:
                staging = Staging(connection, account.id, is_sqlite=self._database.is_sqlite)
                try:
                    async with connection.begin():
                        await staging.fill(entries)
                    async with self._database.begin_writing(connection):
                        await self._database.lock(connection, f"entries:{account.id}")
                        added, totals = await staging.move()
                        await _move_closings(connection, account.id, totals)
                finally:
                    await staging.drop()
        return ImportResult(added=added, already_there=staging.received - added)


@contextmanager
def _failing_as_provider(*, maybe_applied: bool = False) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise ProviderUnavailable(
            "The embedded ledger's database is out of reach.",
            maybe_applied=maybe_applied,
            provider=ProviderKind.LOCAL.name,
        ) from error


async def _opening_balance(connection: AsyncConnection, account_id: str) -> OpeningBalance | None:
    openings = ledger_opening_balances
    statement = select(openings).where(openings.c.account_id == account_id)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    return OpeningBalance(
        amount=Money(row.minor_units, row.currency),
        effective_at=row.effective_at,
        source=OpeningBalanceSource.PROVIDER,
        created_at=row.created_at,
        updated_at=row.updated_at,
        memo=row.memo,
        reference_number=row.reference_number,
    )


async def _store_opening_balance(
    connection: AsyncConnection, account_id: str, opening: OpeningBalance
) -> None:
    openings = ledger_opening_balances
    await connection.execute(delete(openings).where(openings.c.account_id == account_id))
    row = {
        "account_id": account_id,
        "minor_units": opening.amount.minor_units,
        "currency": opening.amount.currency,
        "effective_at": opening.effective_at,
        "memo": opening.memo,
        "reference_number": opening.reference_number,
        "created_at": opening.created_at,
        "updated_at": opening.updated_at,
    }
    await connection.execute(insert(openings).values(row))


async def _move_closings(connection: AsyncConnection, account_id: str, totals: Totals) -> None:
    """Adds the totals of the new entries to the closing figures of their days and all later."""
    days = ledger_days
    for book in Book:
        added = {day: total for day, total in totals[book].items() if total}
        if not added:
            continue
        first = min(added)
        of_book = (days.c.account_id == account_id) & (days.c.book == book.value)
        later = of_book & (days.c.day >= first)
        before = select(days.c.closing).where(of_book, days.c.day < first)
        closing = await connection.scalar(before.order_by(days.c.day.desc()).limit(1)) or 0
        result = await connection.execute(select(days.c.day, days.c.closing).where(later))
        known = {row.day: row.closing for row in result}
        await connection.execute(delete(days).where(later))
        shift = 0
        rows = []
        for day in sorted(known.keys() | added.keys()):
            shift += added.get(day, 0)
            closing = known.get(day, closing)
            row = {"account_id": account_id, "book": book.value, "day": day}
            rows.append({**row, "closing": closing + shift})
        for start in range(0, len(rows), _DAYS_PER_STATEMENT):
            await connection.execute(insert(days), rows[start : start + _DAYS_PER_STATEMENT])
