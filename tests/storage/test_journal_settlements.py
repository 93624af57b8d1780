"""Tests the settlement of uncertain writes, and the list of a tenant's writes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import (
    SettledBy,
    Settlement,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.ports.write_journal import WriteFilter, WritePosition
from balance_gateway.storage.audit import SqlAuditLog
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_format import UnreadableRow
from balance_gateway.storage.journal_history import SqlWriteHistory
from balance_gateway.storage.journal_settlements import SqlWriteSettlements

FOUND = OpeningBalance(Money(700, "EUR"), None, OpeningBalanceSource.DERIVED)
SENT = OpeningBalance(
    Money(800, "EUR"),
    None,
    OpeningBalanceSource.RECORDED_BY_GATEWAY,
    recorded_at=datetime(2026, 3, 1, tzinfo=UTC),
)


@pytest.fixture
def journal(database, clock):
    return SqlWriteJournal(database, clock)


@pytest.fixture
def settlements(database):
    return SqlWriteSettlements(database)


@pytest.fixture
def history(database):
    return SqlWriteHistory(database)


@pytest.fixture
def add(journal, clock):
    """Record a write that is UNCERTAIN, or has another outcome; each begins a second later."""

    async def add(write_id, outcome=WriteOutcome.UNCERTAIN, **more):
        clock.advance(1)
        fields = {
            "id": write_id,
            "tenant": "acme",
            "account_id": "acct_cash",
            "remote_account": "remote cash",
            "connector": "books",
            "principal": "alice",
            "amount": Money(800, "EUR"),
            "effective_at": None,
            "memo": None,
            "reference_number": None,
            "idempotency_key": None,
            "fingerprint": "f",
            "previous": FOUND,
            "started_at": clock(),
            **more,
        }
        started = await journal.begin(WriteIntent(**fields), lease_s=60)
        if outcome is WriteOutcome.STARTED:
            return started
        facts = {"applied": SENT} if outcome is WriteOutcome.APPLIED else {"error_code": "INTERNAL"}
        if outcome is WriteOutcome.UNCERTAIN:
            facts |= {"found": FOUND, "provider_code": "RECALCULATED"}
        record = replace(started, outcome=outcome, finished_at=clock(), **facts)
        await journal.finish(record)
        return record

    return add


def settled(record: WriteRecord, how: SettledBy, at: datetime, **more) -> WriteRecord:
    by = "bob" if how is SettledBy.PERSON else None
    return replace(record, settlement=Settlement(how, at, by, "a note"), **more)


async def test_an_uncertain_write_is_unsettled_with_what_was_found(settlements, add):
    first = await add("w1")
    second = await add("w2", remote_account="remote other", tenant="globex")
    await add("w3", WriteOutcome.APPLIED)
    await add("w4", WriteOutcome.STARTED)

    assert await settlements.unsettled() == [first, second]
    assert await settlements.unsettled_of(["remote cash"]) == [first]
    assert await settlements.unsettled_of(["remote other", "remote cash"]) == [first, second]
    assert first.found == FOUND
    assert first.provider_code == "RECALCULATED"


@pytest.mark.parametrize(
    ("how", "outcome", "event"),
    [
        (SettledBy.PROVED, WriteOutcome.APPLIED, AuditEvent.PROVED),
        (SettledBy.DISPROVED, WriteOutcome.REJECTED, AuditEvent.DISPROVED),
        (SettledBy.SUPERSEDED, WriteOutcome.UNCERTAIN, AuditEvent.SUPERSEDED),
        (SettledBy.PERSON, WriteOutcome.REJECTED, AuditEvent.SETTLED),
    ],
)
async def test_a_settlement_is_recorded_and_audited(
    settlements, history, add, clock, database, how, outcome, event
):
    record = await add("w1")
    applied = SENT if outcome is WriteOutcome.APPLIED else None
    final = settled(record, how, clock.advance(60), outcome=outcome, applied=applied)

    assert await settlements.settle(final, last=None)

    assert await settlements.unsettled() == []
    assert await settlements.unsettled_of(["remote cash"]) == []
    assert await history.by_id("acme", "w1") == final
    newest, *_ = await SqlAuditLog(database).rows("acme")
    assert (newest.event, newest.outcome, newest.at) == (event, outcome, clock())
    assert newest.principal == ("bob" if how is SettledBy.PERSON else "alice")
    assert (newest.note, newest.found, newest.provider_code) == ("a note", FOUND, "RECALCULATED")


async def test_only_an_unsettled_write_can_be_settled(settlements, history, add, clock):
    record = await add("w1")
    final = settled(record, SettledBy.SUPERSEDED, clock())
    await settlements.settle(final, last=None)
    applied = await add("w2", WriteOutcome.APPLIED)
    started = await add("w3", WriteOutcome.STARTED)
    unknown = replace(record, intent=replace(record.intent, id="unknown"))

    results = [
        await settlements.settle(settled(one, SettledBy.PERSON, clock()), last=applied)
        for one in (record, applied, started, unknown)
    ]

    assert results == [False] * 4
    assert await history.by_id("acme", "w1") == final
    assert await history.by_id("acme", "w2") == applied


async def test_two_processes_settle_a_write_once(settlements, add, clock, other_database, database):
    record = await add("w1")
    other = SqlWriteSettlements(other_database)
    final = settled(record, SettledBy.PROVED, clock(), outcome=WriteOutcome.APPLIED, applied=SENT)

    results = await asyncio.gather(
        settlements.settle(final, last=None), other.settle(final, last=None)
    )

    assert sorted(results) == [False, True]
    events = [row.event for row in await SqlAuditLog(database).rows("acme")]
    assert events.count(AuditEvent.PROVED) == 1


async def test_a_proved_write_is_the_last_one_applied(journal, settlements, add, clock):
    """Only if the read that proved it began after the other write was applied."""
    record = await add("w1")
    other = await add("w2", WriteOutcome.APPLIED)
    before = await journal.last_applied("remote cash")
    final = settled(record, SettledBy.PROVED, clock(), outcome=WriteOutcome.APPLIED, applied=SENT)

    outdated = await settlements.settle(final, last=None)
    recorded = await settlements.settle(final, last=other)

    assert before == other
    assert (outdated, recorded) == (False, True)
    assert await journal.last_applied("remote cash") == final


async def test_a_late_outcome_of_a_settled_write_is_disregarded(
    journal, settlements, history, add, clock, database
):
    record = await add("w1")
    final = settled(record, SettledBy.SUPERSEDED, clock())
    await settlements.settle(final, last=None)

    await journal.finish(replace(record, outcome=WriteOutcome.APPLIED, applied=SENT))

    assert await history.by_id("acme", "w1") == final
    newest, *_ = await SqlAuditLog(database).rows("acme")
    assert newest.event is AuditEvent.DISREGARDED


async def test_the_key_of_a_settled_write_stays_in_use(journal, settlements, add, clock):
    record = await add("w1", idempotency_key="k")
    final = settled(record, SettledBy.DISPROVED, clock(), outcome=WriteOutcome.REJECTED)

    await settlements.settle(final, last=None)

    assert await journal.by_key("acme", "k") == final


async def test_an_unreadable_unsettled_write_is_not_overlooked(settlements, add, database):
    """Compare-and-set must not pass because the row of an uncertain write is damaged."""
    await add("w1")
    other = await add("w2", remote_account="remote other")
    async with database.write_transaction() as connection:
        await connection.execute(text("UPDATE writes SET found = '{}' WHERE id = 'w1'"))

    with pytest.raises(UnreadableRow):
        await settlements.unsettled_of(["remote cash"])
    assert await settlements.unsettled() == [other]


async def test_a_write_is_found_by_its_own_tenant_only(history, add):
    record = await add("w1")

    assert await history.by_id("acme", "w1") == record
    assert await history.by_id("globex", "w1") is None
    assert await history.by_id("acme", "unknown") is None


async def test_pages_have_every_write_of_the_tenant_once_newest_first(history, add, clock):
    at = clock() + timedelta(seconds=100)
    for number in range(7):
        # Several with one start: the id decides then.
        started_at = at if number < 4 else at + timedelta(seconds=number)
        tenant = "globex" if number == 5 else "acme"
        await add(f"w{number}", started_at=started_at, tenant=tenant)

    found, position = [], None
    while page := await history.page("acme", WriteFilter(), 2, position):
        found += [record.intent.id for record in page]
        position = WritePosition(page[-1].intent.started_at, page[-1].intent.id)

    assert found == ["w6", "w4", "w3", "w2", "w1", "w0"]


async def test_a_filter_selects_by_outcome_account_and_start(history, add, clock):
    await add("w1", account_id="a", remote_account="a")
    await add("w2", WriteOutcome.APPLIED, account_id="b", remote_account="b")
    since = clock()
    await add("w3", WriteOutcome.REJECTED, account_id="a", remote_account="a")

    async def select(**criteria):
        page = await history.page("acme", WriteFilter(**criteria), 10, None)
        return [record.intent.id for record in page]

    uncertain = frozenset({WriteOutcome.UNCERTAIN, WriteOutcome.APPLIED})
    assert await select(outcomes=uncertain) == ["w2", "w1"]
    assert await select(account_ids=frozenset({"a"})) == ["w3", "w1"]
    assert await select(since=since) == ["w3", "w2"]
    assert await select(account_ids=frozenset()) == []


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("index", "query"),
    [
        (
            "writes_doubtful",
            "SELECT * FROM writes WHERE remote_account IN ('a', 'b')"
            " AND outcome = 'uncertain' AND settled_at IS NULL",
        ),
        (
            "writes_tenant",
            "SELECT id FROM writes WHERE tenant = 'a' AND started_at <= '2'"
            " ORDER BY started_at DESC, id DESC LIMIT 2",
        ),
        (
            "writes_account",
            "SELECT id FROM writes WHERE tenant = 'a' AND account_id IN ('a')"
            " ORDER BY started_at DESC, id DESC LIMIT 2",
        ),
    ],
)
async def test_queries_use_their_index(database, index, query):
    async with database.read_transaction() as connection:
        plan = (await connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))).all()

    assert index in str(plan)
