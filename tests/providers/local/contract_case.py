"""The embedded ledger for the contract suite: an SQLite database in memory."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

import pytest

from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    MissingReason,
    OpeningBalanceWrite,
)
from balance_gateway.domain.ledger import Book, Entry, Sums
from balance_gateway.domain.money import Money
from balance_gateway.providers.local.provider import LocalProvider
from balance_gateway.storage.database import open_database
from balance_gateway.storage.ledger import SqlLedgerStore
from tests.providers.contract import OpenProvider, ProviderCase

OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def build_account(name: str) -> Account:
    zone = ZoneInfo("Europe/Copenhagen")
    return Account(f"acct_{name}", "acme", "books", ProviderKind.LOCAL, name, "EUR", zone)


class CountingStore(SqlLedgerStore):
    """Counts its reads of balances."""

    reads = 0

    async def sums(self, queries: Sequence[BalanceQuery]) -> Sequence[Sums]:
        self.reads += 1
        return await super().sums(queries)


class LocalCase(ProviderCase):
    """Every configured account exists in the embedded ledger, so none is unknown."""

    kind = ProviderKind.LOCAL
    capabilities = frozenset(Capability) - {Capability.READ_BANK_FEED}
    operating = build_account("operating")
    owed = build_account("owed")
    unset = build_account("unset")
    group = (owed, operating, unset)
    days = (date(2025, 12, 31), date(2026, 1, 2), date(2026, 1, 9))
    owed_day = days[1]
    opening = Money(1_000_00, "EUR")

    #: Bank and ledger balance at the end of each of ``days``.
    figures: ClassVar[dict[str, list[tuple[int | None, int]]]] = {
        operating.id: [(None, 0), (1_250_00, 240_00), (1_210_00, 240_00)],
        owed.id: [(None, -7_00), (-500_00, -7_00), (-593_00, -7_00)],
        unset.id: [(None, 0), (None, 12_34), (None, 12_34)],
    }
    entries: ClassVar[dict[str, list[Entry]]] = {
        operating.id: [
            Entry("sale", Book.BANK, date(2026, 1, 1), 250_00),
            Entry("fee", Book.BANK, date(2026, 1, 3), -40_00),
            Entry("sale", Book.LEDGER, date(2026, 1, 2), 240_00),
        ],
        owed.id: [
            Entry("early", Book.BANK, date(2025, 12, 30), -7_00),
            Entry("card", Book.BANK, date(2026, 1, 3), -93_00),
            Entry("early", Book.LEDGER, date(2025, 12, 31), -7_00),
        ],
        unset.id: [
            Entry("sale", Book.BANK, date(2026, 1, 1), 12_34),
            Entry("sale", Book.LEDGER, date(2026, 1, 2), 12_34),
        ],
    }

    def expect(self, account: Account, day: date) -> BalanceFigures:
        bank, ledger = self.figures[account.id][self.days.index(day)]
        if bank is not None:
            return BalanceFigures(day, Money(bank, "EUR"), Money(ledger, "EUR"))
        is_unset = account is self.unset
        reason = MissingReason.NO_OPENING_BALANCE if is_unset else MissingReason.BEFORE_OPENING
        return BalanceFigures(day, None, Money(ledger, "EUR"), reason)

    @asynccontextmanager
    async def open(self, request: pytest.FixtureRequest) -> AsyncIterator[OpenProvider]:
        database = await open_database("sqlite://")
        try:
            store = CountingStore(database)
            for account, opening in ((self.operating, 1_000_00), (self.owed, -500_00)):
                write = OpeningBalanceWrite(account, Money(opening, "EUR"), OPENED_AT)
                await store.set_opening_balance(write)
            for account in self.accounts:
                await store.add_entries(account, self.entries[account.id])

            async def stop_backend() -> None:
                async with database.write_transaction() as connection:
                    for table in ("ledger_days", "ledger_opening_balances"):
                        await connection.exec_driver_sql(f"DROP TABLE {table}")

            yield OpenProvider(
                provider=LocalProvider("books", store),
                expect=self.expect,
                read_stored=store.opening_balance,
                stop_backend=stop_backend,
                private_texts=("sqlite", "SELECT", "ledger_days", "no such table"),
                count_calls=lambda: store.reads,
            )
        finally:
            await database.aclose()


CASE = LocalCase()
