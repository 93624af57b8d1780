"""Implements the embedded ledger's store on SQL: opening balances, entries, closing balances.

For each account and book, ``ledger_days`` has a row for each day with entries: the sum of all
entries on or before that day. A balance as of any day is a single look-up, however many entries
exist. An import updates the closing balances from its first day on, in its own transaction.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import delete, insert, select
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
from balance_gateway.domain.ledger import Book, Entry, EntryColumns, ImportResult, Sums
from balance_gateway.storage import ledger_currency
from balance_gateway.storage.database import Database, DatabaseError
from balance_gateway.storage.ledger_reads import LedgerReads
from balance_gateway.storage.staging import Staging, Totals, split_entries
from balance_gateway.storage.tables import ledger_days, ledger_opening_balances

#: Number of closing balances written per statement.
_DAYS_PER_STATEMENT = 5_000


class SqlLedgerStore:
    """Implements ``ports.ledger_store.LedgerStore``.

    Every method raises ``ProviderUnavailable`` when the database is unavailable.

    Args:
        database: the database of the ledger.
        clock: returns the instant at which an opening balance is set.
    """

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock
        self._reads = LedgerReads(database)

    async def sums(self, queries: Sequence[BalanceQuery]) -> Sequence[Sums]:
        """Return the sums for each query, in the order of the queries.

        An account without stored data has no opening balance and sums of 0. One statement reads
        all; a second one only if there are bank transactions before an opening balance's day, and
        it is another day than at the last read.
        """
        with _raise_as_provider_error():
            found = await self._reads.read_sums(queries)
        if found is None:
            message = "The opening balances change too often to be read."
            raise ProviderUnavailable(message, provider=ProviderKind.LOCAL.name)
        return found

    def sums_now(self, queries: Sequence[BalanceQuery]) -> Sequence[Sums] | None:
        """Return what ``sums`` does, without waiting; None where ``sums`` has to read them."""
        return self._reads.read_sums_now(queries)

    async def record_currencies(self, accounts: Sequence[Account]) -> None:
        """Record the currency of entries that an earlier release imported without one.

        Args:
            accounts: the configured accounts of the embedded ledger. The currency is that of the
                opening balance, or the configured one, in which the entries were read until now.

        Raises:
            DatabaseError: the database is unavailable.
        """
        async with self._database.read_transaction() as connection:
            unrecorded = await ledger_currency.list_unrecorded(connection, accounts)
        if unrecorded:
            async with self._database.write_transaction() as connection:
                for account in unrecorded:
                    await ledger_currency.record_former(connection, account)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Return the opening balance, or None when none is set."""
        [found] = await self.opening_balances([account])
        return found

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[OpeningBalance | None]:
        """Return the opening balance of each account, or None, in order; by one statement."""
        with _raise_as_provider_error():
            return await self._reads.read_opening_balances(accounts)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Set the opening balance and return it.

        A replaced opening balance keeps its ``created_at``, but not its memo or reference number.
        Without ``effective_at`` the new one is effective from now.

        Raises:
            OtherCurrency: the account's entries are in another currency.
        """
        now = self._clock()
        with _raise_as_provider_error(maybe_applied=True):
            async with self._database.write_transaction() as connection:
                await self._database.lock(connection, f"opening-balance:{write.account.id}")
                await ledger_currency.check_entries(connection, write.account)
                created_at = await _read_created_at(connection, write.account.id)
                opening = OpeningBalance(
                    amount=write.amount,
                    effective_at=write.effective_at or now,
                    source=OpeningBalanceSource.PROVIDER,
                    created_at=created_at or now,
                    updated_at=now,
                    memo=write.memo,
                    reference_number=write.reference_number,
                )
                await _store_opening_balance(connection, write.account.id, opening)
        return opening

    async def add_entries(
        self, account: Account, entries: Iterable[Entry] | AsyncIterator[Entry]
    ) -> ImportResult:
        """Add entries in one transaction, all or none; entries that are stored are skipped.

        An entry is skipped when its id is stored in the account's book or occurs earlier in
        ``entries``. Descriptions are not compared.

        Raises:
            EntryConflict: an id exists with a different day or amount; the attribute ``entries``
                lists up to 20 of them.
            OtherCurrency: the account's entries or its opening balance are in another currency.
        """
        return await self.add_entry_columns(account, split_entries(entries))

    async def add_entry_columns(
        self, account: Account, batches: Iterable[EntryColumns] | AsyncIterator[EntryColumns]
    ) -> ImportResult:
        """Add entries as ``add_entries`` does, given in batches of some thousands."""
        # Staged in a temporary table first: memory stays bounded, and other writers wait only for
        # the last step.
        with _raise_as_provider_error(maybe_applied=True):
            async with self._database.connect() as connection:
                staging = Staging(connection, account.id, is_sqlite=self._database.is_sqlite)
                added = 0
                try:
                    async with connection.begin():
                        await ledger_currency.check_account(connection, account)
                        await staging.fill(batches)
                        # Within the transaction, since behind a pooler the next one may run in a
                        # session without the temporary table, or with that of another import.
                        if not self._database.is_sqlite:
                            added = await self._move_staged(connection, account, staging)
                    # The lock of SQLite is that of the whole database, taken at the beginning.
                    if self._database.is_sqlite:
                        async with self._database.begin_write(connection):
                            added = await self._move_staged(connection, account, staging)
                finally:
                    await staging.drop()
        return ImportResult(added=added, already_there=staging.received - added)

    async def _move_staged(
        self, connection: AsyncConnection, account: Account, staging: Staging
    ) -> int:
        """Insert the staged entries that are new under the lock; return their number."""
        await self._database.lock(connection, f"entries:{account.id}")
        if staging.received:
            await ledger_currency.record(connection, account)
        added, totals = await staging.move_to_ledger()
        await _update_closing_balances(connection, account.id, totals)
        return added


@contextmanager
def _raise_as_provider_error(*, maybe_applied: bool = False) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise ProviderUnavailable(
            "The embedded ledger's database is unavailable.",
            maybe_applied=maybe_applied,
            provider=ProviderKind.LOCAL.name,
        ) from error


async def _read_created_at(connection: AsyncConnection, account_id: str) -> datetime | None:
    openings = ledger_opening_balances
    statement = select(openings.c.created_at).where(openings.c.account_id == account_id)
    created_at: datetime | None = await connection.scalar(statement)
    return created_at


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


async def _update_closing_balances(
    connection: AsyncConnection, account_id: str, totals: Totals
) -> None:
    """Add the totals of new entries to the closing balances of their days and of all later days."""
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
        stored = {row.day: row.closing for row in result}
        await connection.execute(delete(days).where(later))
        shift = 0
        rows = []
        for day in sorted(stored.keys() | added.keys()):
            shift += added.get(day, 0)
            closing = stored.get(day, closing)
            row = {"account_id": account_id, "book": book.value, "day": day}
            rows.append({**row, "closing": closing + shift})
        for start in range(0, len(rows), _DAYS_PER_STATEMENT):
            await connection.execute(insert(days), rows[start : start + _DAYS_PER_STATEMENT])
