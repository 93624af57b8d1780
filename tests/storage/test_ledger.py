"""Tests the embedded ledger's store, also against a simple reference implementation."""

import asyncio
import uuid
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from balance_gateway.domain.balances import (
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import ProviderUnavailable
from balance_gateway.domain.ledger import Book, Entry, ImportResult, Sums
from balance_gateway.domain.money import Money
from balance_gateway.ports.ledger_store import EntryConflict
from balance_gateway.storage.ledger import SqlLedgerStore
from tests.storage.statements import record_statements

DAY = date(2026, 1, 10)
HUGE = 10**40 - 1


def entry(entry_id, minor_units=1, day=DAY, book=Book.BANK, description=None):
    return Entry(entry_id, book, day, minor_units, description)


async def sums(store, account, day=date.max):
    (answer,) = await store.sums([BalanceQuery(account, day)])
    return answer


async def set_opening(store, account, minor_units, **more):
    fields = {"effective_at": datetime(2026, 1, 1, tzinfo=UTC), **more}
    write = OpeningBalanceWrite(account, Money(minor_units, account.currency), **fields)
    return await store.set_opening_balance(write)


async def test_an_account_without_data_has_zero_sums(store, account):
    assert await store.opening_balance(account) is None
    assert await sums(store, account) == Sums(None, 0, 0)
    assert await store.sums([]) == []


async def test_a_missing_opening_balance_is_not_zero(store, account, make_account):
    await set_opening(store, account, 0)

    assert (await sums(store, account)).opening == 0
    assert (await sums(store, make_account("other"))).opening is None


async def test_entries_count_from_their_day_on(store, account):
    await store.add_entries(
        account,
        [
            entry("a", 100),
            entry("b", -30, DAY + timedelta(days=2)),
            entry("a", 7, book=Book.LEDGER),
        ],
    )

    answers = await store.sums(
        [BalanceQuery(account, DAY + timedelta(days=offset)) for offset in (-1, 0, 1, 2, 3)]
    )

    assert [answer.bank for answer in answers] == [0, 100, 100, 70, 70]
    assert [answer.ledger for answer in answers] == [0, 7, 7, 7, 7]


async def test_an_import_updates_all_later_days(store, account):
    await store.add_entries(account, [entry("a", 1, date(2026, 1, 5)), entry("b", 10)])

    await store.add_entries(account, [entry("c", 100, date(2026, 1, 7))])
    await store.add_entries(account, [entry("d", 1_000, date(2026, 1, 3))])
    await store.add_entries(account, [entry("e", 10_000, date(2026, 1, 12))])

    answers = await store.sums([BalanceQuery(account, date(2026, 1, day)) for day in range(2, 13)])
    assert [answer.bank for answer in answers] == [
        *(0, 1_000, 1_000, 1_001, 1_001, 1_101, 1_101, 1_101),
        *(1_111, 1_111, 11_111),
    ]


async def test_the_minimum_and_maximum_dates_work(store, account):
    await store.add_entries(account, [entry("a", 1, date.min), entry("b", 2, date.max)])

    assert (await sums(store, account, date.min)).bank == 1
    assert (await sums(store, account, date.max)).bank == 3


async def test_amounts_of_forty_digits_are_exact(store, account):
    await set_opening(store, account, -HUGE)
    await store.add_entries(account, [entry("a", HUGE), entry("b", HUGE), entry("c", -1)])

    assert await sums(store, account) == Sums(
        -HUGE, 2 * HUGE - 1, 0, "EUR", "EUR", date(2026, 1, 1)
    )


async def test_transactions_before_the_opening_day_do_not_count(store, account):
    """Opening 1000 on 2026-01-01 and −200 on 2025-12-15 gave 800 on 2026-01-01."""
    await store.add_entries(
        account,
        [
            entry("early", -200, date(2025, 12, 15)),
            entry("on", 30, date(2026, 1, 1)),
            entry("early", 7, date(2025, 12, 15), Book.LEDGER),
        ],
    )
    await set_opening(store, account, 1_000)
    opened = date(2026, 1, 1)

    answers = await store.sums(
        [BalanceQuery(account, day) for day in (DAY, opened, date(2025, 12, 31), date.min)]
    )

    assert answers == [
        Sums(1_000, 30, 7, "EUR", "EUR", opened),
        Sums(1_000, 30, 7, "EUR", "EUR", opened),
        Sums(1_000, 0, 7, "EUR", "EUR", opened),
        Sums(1_000, 0, 0, "EUR", "EUR", opened),
    ]


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Pacific/Kiritimati", date(2026, 1, 2)), ("UTC", date(2026, 1, 1)),
     ("Pacific/Pago_Pago", date(2025, 12, 31))],
)  # fmt: skip
async def test_the_opening_day_is_in_the_time_zone_of_the_account(store, make_account, zone, day):
    account = make_account(time_zone=ZoneInfo(zone))
    days = [date(2025, 12, 30) + timedelta(days=number) for number in range(5)]
    await store.add_entries(account, [entry(str(one), 1, one) for one in days])
    at = datetime(2026, 1, 1, 10, 30, tzinfo=UTC)
    await set_opening(store, account, 0, effective_at=at)

    answer = await sums(store, account)

    assert answer == Sums(0, sum(one >= day for one in days), 0, "EUR", "EUR", day)


async def test_an_opening_at_the_ends_of_the_calendar_has_a_day(store, make_account):
    west = make_account(time_zone=ZoneInfo("Pacific/Pago_Pago"))
    east = make_account("east", time_zone=ZoneInfo("Pacific/Kiritimati"))
    await set_opening(store, west, 1, effective_at=datetime(1, 1, 1, tzinfo=UTC))
    await set_opening(store, east, 1, effective_at=datetime(9999, 12, 31, 23, tzinfo=UTC))

    assert (await sums(store, west)).opening_day == date.min
    assert (await sums(store, east)).opening_day == date.max


async def test_an_opening_that_moves_while_it_is_read_is_read_again(
    store, account, other_database, clock
):
    """The sums are of the opening balance that is returned with them, in one state."""
    await store.add_entries(account, [entry(str(n), 1, date(2026, 1, n)) for n in range(1, 10)])
    await set_opening(store, account, 0, effective_at=datetime(2026, 1, 3, 12, tzinfo=UTC))
    other = SqlLedgerStore(other_database, clock)
    read = store._reads._read_rows
    seen = []

    async def read_then_move(statement, parameters, accounts):
        rows = await read(statement, parameters, accounts)
        seen.append(parameters)
        if len(seen) == 1:
            moved = datetime(2026, 1, 8, 12, tzinfo=UTC)
            await set_opening(other, account, 500, effective_at=moved)
        return rows

    store._reads._read_rows = read_then_move

    answer = await sums(store, account)

    assert answer == Sums(500, 2, 0, "EUR", "EUR", date(2026, 1, 8))
    assert len(seen) == 3


entries = st.builds(
    Entry,
    id=st.integers(0, 300).map(str),
    book=st.sampled_from(Book),
    day=st.dates(date(2020, 1, 1), date(2020, 2, 15)),
    minor_units=st.one_of(st.integers(-5, 5), st.integers(-HUGE, HUGE)),
    description=st.none(),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(imports=st.lists(st.lists(entries, max_size=8), max_size=5), probes=st.data())
def test_sums_equal_a_simple_reference_implementation(runner, imports, probes):
    """Any entries in any order, in several imports, with conflicts, as of any day."""
    days = probes.draw(st.lists(st.dates(date(2019, 12, 30), date(2020, 2, 20)), max_size=5))

    runner(lambda store, account: _compare_with_reference(store, account, imports, days))


async def _compare_with_reference(store, account, imports, days):
    stored: dict[tuple[Book, str], Entry] = {}
    for batch in imports:
        merged = dict(stored)
        conflict = False
        for one in batch:
            known = merged.setdefault((one.book, one.id), one)
            conflict |= known != one
        if conflict:
            with pytest.raises(EntryConflict):
                await store.add_entries(account, batch)
            continue
        result = await store.add_entries(account, batch)
        added = len(merged) - len(stored)
        assert result == ImportResult(added, len(batch) - added)
        stored = merged

    answers = await store.sums([BalanceQuery(account, day) for day in days])

    for day, answer in zip(days, answers, strict=True):
        until = [one for one in stored.values() if one.day <= day]
        assert answer.bank == sum(one.minor_units for one in until if one.book is Book.BANK)
        assert answer.ledger == sum(one.minor_units for one in until if one.book is Book.LEDGER)


@pytest.fixture
def runner(migrated_url, open_test_database, make_account):
    """Run coroutines against one database, each with a new account."""
    with asyncio.Runner() as loop:
        context = open_test_database(migrated_url)
        database = loop.run(context.__aenter__())
        store = SqlLedgerStore(database)

        def run(body):
            loop.run(body(store, make_account(f"a{uuid.uuid4().hex}")))

        yield run

        loop.run(context.__aexit__(None, None, None))


async def test_stored_entries_are_skipped(store, account):
    await store.add_entries(account, [entry("a", 5), entry("b", 6)])

    result = await store.add_entries(account, [entry("b", 6), entry("c", 7), entry("c", 7)])

    assert result == ImportResult(added=1, already_there=2)
    assert (await sums(store, account)).bank == 18


async def test_a_changed_description_is_ignored(store, account, database):
    await store.add_entries(account, [entry("a", description="first")])

    result = await store.add_entries(account, [entry("a", description="second")])

    async with database.read_transaction() as connection:
        stored = await connection.scalar(text("SELECT description FROM ledger_entries"))
    assert (result, stored) == (ImportResult(0, 1), "first")


@pytest.mark.parametrize("other", [entry("b", 99), entry("b", 6, DAY + timedelta(days=1))])
async def test_a_conflict_with_a_stored_entry_stores_nothing(store, account, other):
    await store.add_entries(account, [entry("b", 6)])

    with pytest.raises(EntryConflict, match=r"bank entry 'b' is already stored") as caught:
        await store.add_entries(account, [entry("a", 5), other, entry("c", 7)])

    assert caught.value.entries == ((Book.BANK, "b"),)
    assert (await sums(store, account)).bank == 6


async def test_one_import_with_two_contents_for_an_id_keeps_nothing(store, account):
    with pytest.raises(EntryConflict, match=r"bank entry 'a' occurs twice"):
        await store.add_entries(account, [entry("a", 5), entry("a", 6)])

    assert (await sums(store, account)).bank == 0


async def test_an_id_that_is_repeated_in_a_later_batch_is_noticed(store, account):
    """Ids in ascending order are not compared again, and each batch of these is in order."""
    entries = [entry(f"{number:04}") for number in range(2_000)]

    with pytest.raises(EntryConflict, match=r"bank entry '1999' occurs twice"):
        await store.add_entries(account, [*entries, entry("1999", 6)])
    result = await store.add_entries(account, [*entries, entries[-1], entry("2000")])

    assert result == ImportResult(added=2_001, already_there=1)


async def test_ids_are_separate_per_account_and_book(store, account, make_account):
    other = make_account("other")

    await store.add_entries(account, [entry("a", 5), entry("a", 6, book=Book.LEDGER)])
    await store.add_entries(other, [entry("a", 7)])

    assert await sums(store, account) == Sums(None, 5, 6, None, "EUR")
    assert await sums(store, other) == Sums(None, 7, 0, None, "EUR")


async def test_entries_can_come_from_an_async_iterator(store, account):
    async def generate():
        for number in range(5_001):
            if number % 1_000 == 0:
                await asyncio.sleep(0)
            yield entry(str(number))

    assert await store.add_entries(account, generate()) == ImportResult(5_001, 0)
    assert (await sums(store, account)).bank == 5_001


async def test_an_aborted_import_stores_nothing(store, account):
    def generate():
        for number in range(7_000):
            yield entry(str(number))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.add_entries(account, generate())

    assert (await sums(store, account)).bank == 0
    assert await store.add_entries(account, [entry("0")]) == ImportResult(1, 0)


async def test_writers_do_not_wait_while_an_import_reads(store, account, other_database, clock):
    other_store = SqlLedgerStore(other_database, clock)

    async def slow():
        yield entry("a", 1)
        async with asyncio.timeout(5):
            await set_opening(other_store, account, 100)
            await other_store.add_entries(account, [entry("b", 2)])
        yield entry("b", 2)

    result = await store.add_entries(account, slow())

    assert result == ImportResult(added=1, already_there=1)
    assert await sums(store, account) == Sums(100, 3, 0, "EUR", "EUR", date(2026, 1, 1))


async def test_a_conflict_that_arises_during_an_import_is_detected(store, account, other_database):
    async def slow():
        yield entry("a", 1)
        await SqlLedgerStore(other_database).add_entries(account, [entry("a", 2)])

    with pytest.raises(EntryConflict):
        await store.add_entries(account, slow())

    assert (await sums(store, account)).bank == 2


async def test_concurrent_imports_add_up(store, make_account, other_database):
    """Imports overlap, and each entry counts once whichever import stores it."""
    stores = (store, SqlLedgerStore(other_database))
    batches = [[entry(str(number + offset)) for number in range(20)] for offset in range(0, 80, 8)]
    distinct = len({one.id for batch in batches for one in batch})
    for attempt in range(4):
        account = make_account(f"a{attempt}")

        results = await asyncio.gather(
            *(
                stores[number % 2].add_entries(account, batch)
                for number, batch in enumerate(batches)
            )
        )

        assert sum(result.added for result in results) == distinct
        assert (await sums(store, account)).bank == distinct


async def test_an_opening_balance_is_read_back(store, account, clock):
    effective_at = datetime(2026, 1, 1, tzinfo=UTC)
    write = {"effective_at": effective_at, "memo": "Åbning", "reference_number": "R-1"}

    answered = await set_opening(store, account, HUGE, **write)

    assert answered == OpeningBalance(
        Money(HUGE, "EUR"),
        source=OpeningBalanceSource.PROVIDER,
        created_at=clock(),
        updated_at=clock(),
        **write,
    )
    assert await store.opening_balance(account) == answered


async def test_replacing_changes_updated_at_but_not_created_at(store, account, clock):
    created_at = clock()
    await set_opening(store, account, 1, memo="first")
    updated_at = clock.advance(60)

    replaced = await set_opening(store, account, 2)

    assert (replaced.created_at, replaced.updated_at) == (created_at, updated_at)
    assert (replaced.amount.minor_units, replaced.memo) == (2, None)
    assert await store.opening_balance(account) == replaced


async def test_a_missing_effective_at_becomes_now(store, account, clock):
    opening = await set_opening(store, account, 1, effective_at=None)

    assert opening.effective_at == clock()


async def test_concurrent_opening_balances_leave_one(store, account, other_database, clock):
    stores = (store, SqlLedgerStore(other_database, clock))

    answers = await asyncio.gather(
        *(set_opening(stores[number % 2], account, number) for number in range(20))
    )

    assert await store.opening_balance(account) in answers


async def test_fifty_accounts_need_one_statement(store, database, make_account):
    accounts = [make_account(f"a{number}") for number in range(50)]
    for number, one in enumerate(accounts):
        await store.add_entries(one, [entry("a", number)])
    statements = record_statements(database)

    answers = await store.sums([BalanceQuery(one, DAY) for one in accounts])

    assert [answer.bank for answer in answers] == list(range(50))
    assert len(statements) == 1


async def test_early_transactions_need_a_second_statement_only(store, database, make_account):
    accounts = [make_account(f"a{number}") for number in range(5)]
    for number, one in enumerate(accounts):
        await store.add_entries(one, [entry("a", number), entry("b", 7, date(2025, 1, 1))])
        await set_opening(store, one, 0)
    statements = record_statements(database)

    answers = await store.sums([BalanceQuery(one, DAY) for one in accounts])

    assert [answer.bank for answer in answers] == list(range(5))
    assert len(statements) == 2


async def test_an_opening_day_that_was_read_needs_no_second_statement_again(
    store, account, database
):
    early, late = entry("b", 7, date(2025, 1, 1)), entry("a", 5)
    await store.add_entries(account, [early, late])
    await set_opening(store, account, 100)
    before = await store.sums([BalanceQuery(account, DAY)])
    statements = record_statements(database)

    again = await store.sums([BalanceQuery(account, DAY)])
    needed = len(statements)
    await set_opening(store, account, 100, effective_at=datetime(2024, 6, 1, tzinfo=UTC))
    moved = await store.sums([BalanceQuery(account, DAY)])
    await set_opening(store, account, 100)
    back = await store.sums([BalanceQuery(account, DAY)])

    assert needed == 1
    assert again == before == back
    assert [each.bank for each in (before[0], moved[0])] == [5, 12]


async def test_a_ledger_out_of_reach_is_an_unavailable_provider(store, account, database):
    async with database.write_transaction() as connection:
        await connection.execute(text("DROP TABLE ledger_days"))
        await connection.execute(text("DROP TABLE ledger_opening_balances"))

    with pytest.raises(ProviderUnavailable) as reading:
        await sums(store, account)
    with pytest.raises(ProviderUnavailable) as writing:
        await set_opening(store, account, 1)

    assert (reading.value.provider, reading.value.maybe_applied) == ("LOCAL", False)
    assert writing.value.maybe_applied


async def test_one_statement_reads_the_opening_balances_of_many_accounts(
    store, database, make_account
):
    """A page of 1,000 accounts took 4.5 s: a connection and a transaction for each of them."""
    accounts = [make_account(f"x{number}") for number in range(20)]
    for number, one in enumerate(accounts[1:]):
        await set_opening(store, one, number, memo="m")
    statements = record_statements(database)

    answers = await store.opening_balances([*reversed(accounts), accounts[1]])

    assert len(statements) == 1
    assert answers[19] is None
    assert [one.amount.minor_units for one in answers[:19]] == list(reversed(range(19)))
    assert answers == [
        await store.opening_balance(one) for one in [*reversed(accounts), accounts[1]]
    ]
    assert await store.opening_balances([]) == []
