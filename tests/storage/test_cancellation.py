"""A transaction that is cancelled at any point leaves no lock, on every kind of database."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceQuery, OpeningBalanceWrite
from balance_gateway.domain.ledger import Book, Entry
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteIntent, WriteOutcome, WriteRecord
from balance_gateway.storage.database import Database, open_database
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.ledger import SqlLedgerStore

DAY = date(2026, 1, 1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

TABLES = ("ledger_opening_balances", "ledger_entries", "ledger_days", "write_audit", "writes")

Call = Callable[[], Coroutine[Any, Any, object]]


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "postgresql":
        postgresql: str = request.getfixturevalue("postgresql_url")
        return postgresql
    return "sqlite://" if kind == "memory" else f"sqlite:///{tmp_path}/gateway.db"


@pytest.fixture
def kind_url(kind: str, request: pytest.FixtureRequest) -> str:
    # No copy of a database can be in memory.
    url: str = request.getfixturevalue("url" if kind == "memory" else "migrated_url")
    return url


@pytest.fixture
async def kind_database(kind_url: str) -> AsyncIterator[Database]:
    database = await open_database(kind_url)
    yield database
    await database.aclose()


def build_intent() -> WriteIntent:
    return WriteIntent(
        id="write-1",
        tenant="acme",
        account_id="acct_cash",
        remote_account="books/1",
        connector="books",
        principal="p",
        amount=Money(1, "EUR"),
        effective_at=None,
        memo=None,
        reference_number=None,
        idempotency_key="key",
        fingerprint="f",
        previous=None,
        started_at=NOW,
    )


class CancelAtSuspension:
    """Awaits a call and cancels the task when it suspends for the given number of times.

    Attributes:
        is_cancelled: whether the call suspended that often.
    """

    def __init__(self, call: Call, number: int) -> None:
        self._call = call
        self._number = number
        self.is_cancelled = False

    async def run(self) -> None:
        await self

    def __await__(self) -> Generator[Any, None, None]:
        inner = self._call().__await__()
        proceed: Callable[[], Any] = inner.__next__
        for count in itertools.count(1):
            try:
                awaited = proceed()
            except StopIteration:
                return
            if count == self._number:
                self.is_cancelled = True
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield awaited
                proceed = inner.__next__
            except BaseException as error:
                proceed = partial(inner.throw, error)


async def make_call(name: str, database: Database, account: Account) -> Call:
    """Return a call that opens a transaction and finds stored rows in it."""
    store = SqlLedgerStore(database)
    journal = SqlWriteJournal(database, lambda: NOW)
    write = OpeningBalanceWrite(account, Money(1, "EUR"), NOW)
    entries = [Entry(f"e{number}", Book.BANK, DAY, 1) for number in range(3)]
    begun = build_intent()
    await store.set_opening_balance(write)
    await store.add_entries(account, entries)
    await journal.begin(begun, lease_s=60)
    uncertain = WriteRecord(begun, WriteOutcome.UNCERTAIN, finished_at=NOW)
    added = (Entry(f"added-{number}", Book.BANK, DAY, 1) for number in itertools.count())
    calls: dict[str, Call] = {
        "read": lambda: store.opening_balance(account),
        "sums": lambda: store.sums([BalanceQuery(account, DAY)]),
        "write": lambda: store.set_opening_balance(write),
        "import": lambda: store.add_entries(account, [next(added), *entries]),
        "journal read": journal.unfinished,
        "journal begin": lambda: journal.begin(begun, lease_s=60),
        "journal finish": lambda: journal.finish(uncertain),
    }
    return calls[name]


async def assert_nothing_is_locked(database: Database, url: str) -> None:
    """Fail if a transaction is open, even one that has only read."""
    if url.startswith("sqlite:///"):
        other = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=5)
        with closing(other):
            other.executescript("BEGIN IMMEDIATE; PRAGMA user_version = 1; COMMIT")
            # The whole log can be copied only when no transaction reads from it.
            busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert not busy
        return
    async with asyncio.timeout(10), database.write_transaction() as connection:
        for table in TABLES:
            if database.is_sqlite:
                await connection.execute(text(f"DELETE FROM {table} WHERE 1 = 0"))
            else:
                await connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))


@pytest.mark.parametrize(
    "name",
    ["read", "sums", "write", "import", "journal read", "journal begin", "journal finish"],
)
async def test_a_call_cancelled_at_any_point_leaves_nothing_locked(
    name: str, kind_database: Database, kind_url: str, account: Account
) -> None:
    """A cancelled write blocked the next one for 30 seconds.

    SQLite kept the transaction of a closed connection, because the traceback of the cancelled
    task still held a cursor with rows left.
    """
    call = await make_call(name, kind_database, account)
    # A read in the thread of the event loop cannot be cancelled.
    kind_database._reader = None
    tasks = []
    for number in itertools.count(1):
        await call()  # the pool has a connection
        cancelling = CancelAtSuspension(call, number)
        task = asyncio.create_task(cancelling.run())
        await asyncio.wait([task])
        # Kept with its traceback, so that the garbage collector cannot hide a lock.
        tasks.append(task)
        if not cancelling.is_cancelled:
            break

        await assert_nothing_is_locked(kind_database, kind_url)

    # A transaction has more points than this in each of its statements; a read needs none.
    assert len(tasks) > (2 if name in ("read", "sums") else 5)
