"""Tests the write journal and the audit log, with concurrent and killed processes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource, Tag
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import UnsettledWrite, WriteIntent, WriteOutcome, WriteRecord
from balance_gateway.ports.write_journal import AccountBusy, JournalUnavailable
from balance_gateway.storage.audit import SqlAuditLog
from balance_gateway.storage.database import DatabaseError
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_format import IntendedValues

LEASE_S = 60
HUGE = 10**39 + 7

RICH = OpeningBalance(
    amount=Money(-HUGE, "KWD"),
    effective_at=datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=5))),
    source=OpeningBalanceSource.PROVIDER,
    created_at=datetime(2025, 1, 1, tzinfo=UTC),
    updated_at=None,
    memo="Åbning \x00 \ud800 ✓",
    reference_number="R-1",
    tags=(Tag("1", "k", "v", "d", "f", archived_at=datetime(2025, 5, 5, tzinfo=UTC)),),
    metadata=MappingProxyType({"rate": Decimal("1.10"), "n": [1, None, 2**70, {"x": 0.5}]}),
)


@pytest.fixture
def journal(database, clock):
    return SqlWriteJournal(database, clock)


@pytest.fixture
def other_journal(other_database, clock):
    return SqlWriteJournal(other_database, clock)


@pytest.fixture
def audit_log(database):
    return SqlAuditLog(database)


@pytest.fixture
def make_intent(clock):
    def make(write_id="w1", **more):
        fields = {
            "id": write_id,
            "tenant": "acme",
            "account_id": "acct_cash",
            "remote_account": f"remote {more.get('account_id', 'acct_cash')}",
            "connector": "books",
            "principal": "alice",
            "amount": Money(HUGE, "EUR"),
            "effective_at": datetime(2026, 1, 1, tzinfo=UTC),
            "memo": "a memo",
            "reference_number": None,
            "idempotency_key": None,
            "fingerprint": "f",
            "previous": RICH,
            "started_at": clock(),
        }
        return WriteIntent(**{**fields, **more})

    return make


def applied(record, clock, **more):
    fields = {"applied": RICH, "verified": True, "finished_at": clock(), **more}
    return replace(record, outcome=WriteOutcome.APPLIED, **fields)


def uncertain(record, clock, **more):
    fields = {"error_code": "PROVIDER_TIMEOUT", "error_message": "m", "finished_at": clock()}
    return replace(record, outcome=WriteOutcome.UNCERTAIN, **{**fields, **more})


def rejected(record, clock, **more):
    fields = {"error_code": "PROVIDER_REJECTED", "error_field": "amount", "finished_at": clock()}
    return replace(record, outcome=WriteOutcome.REJECTED, **{**fields, **more})


async def test_a_finished_write_is_read_back_exactly(journal, make_intent, clock):
    intent = make_intent(idempotency_key="k")

    begun = await journal.begin(intent, lease_s=LEASE_S)
    found = await journal.by_key("acme", "k")
    finished = applied(begun, clock)
    await journal.finish(finished)

    assert begun == found == WriteRecord(intent, WriteOutcome.STARTED)
    assert await journal.by_key("acme", "k") == finished
    assert await journal.last_applied("remote acct_cash") == finished


async def test_a_known_key_returns_its_unchanged_record(journal, make_intent, clock):
    first = await journal.begin(make_intent("w1", idempotency_key="k"), lease_s=LEASE_S)

    again = await journal.begin(make_intent("w2", idempotency_key="k"), lease_s=LEASE_S)
    await journal.finish(rejected(first, clock))
    finished = await journal.begin(make_intent("w3", idempotency_key="k"), lease_s=LEASE_S)

    assert again == first
    assert finished == rejected(first, clock)


async def test_keys_are_separate_per_tenant(journal, make_intent):
    ours = await journal.begin(make_intent("w1", idempotency_key="k"), lease_s=LEASE_S)
    of_others = make_intent("w2", idempotency_key="k", tenant="other", account_id="theirs")

    theirs = await journal.begin(of_others, lease_s=LEASE_S)

    assert (ours.intent.id, theirs.intent.id) == ("w1", "w2")
    assert await journal.by_key("third", "k") is None


async def test_twenty_concurrent_begins_with_one_key_are_one_write(
    journal, other_journal, make_intent, audit_log
):
    """The accounts differ, so only the key prevents a second write."""
    begins = [
        (journal, other_journal)[number % 2].begin(
            make_intent(f"w{number}", idempotency_key="k", account_id=f"a{number}"),
            lease_s=LEASE_S,
        )
        for number in range(20)
    ]

    records = await asyncio.gather(*begins)

    assert len({record.intent.id for record in records}) == 1
    assert len(await journal.unfinished()) == 1
    assert len(await audit_log.rows("acme")) == 1


async def test_twenty_concurrent_begins_of_one_account_are_one_write(
    journal, other_journal, make_intent
):
    begins = [
        (journal, other_journal)[number % 2].begin(make_intent(f"w{number}"), lease_s=LEASE_S)
        for number in range(20)
    ]

    results = await asyncio.gather(*begins, return_exceptions=True)

    begun = [result for result in results if isinstance(result, WriteRecord)]
    assert len(begun) == 1
    assert sum(isinstance(result, AccountBusy) for result in results) == 19
    assert [record.intent.id for record in await journal.unfinished()] == [begun[0].intent.id]


async def test_twenty_concurrent_takeovers_of_a_lease_are_one_write(
    journal, other_journal, make_intent, clock, audit_log
):
    await journal.begin(make_intent("dead"), lease_s=LEASE_S)
    clock.advance(LEASE_S)
    begins = [
        (journal, other_journal)[number % 2].begin(make_intent(f"w{number}"), lease_s=LEASE_S)
        for number in range(20)
    ]

    results = await asyncio.gather(*begins, return_exceptions=True)

    assert sum(isinstance(result, WriteRecord) for result in results) == 1
    events = [row.event for row in await audit_log.rows("acme")]
    assert events == [AuditEvent.BEGUN, AuditEvent.LEASE_EXPIRED, AuditEvent.BEGUN]


async def test_an_account_is_busy_until_the_lease_expires(journal, make_intent, clock):
    await journal.begin(make_intent("w1", idempotency_key="k"), lease_s=LEASE_S)

    clock.advance(LEASE_S - 0.001)
    with pytest.raises(AccountBusy):
        await journal.begin(make_intent("w2"), lease_s=LEASE_S)
    clock.advance(0.001)
    taken_over = await journal.begin(make_intent("w3"), lease_s=LEASE_S)

    expired = await journal.by_key("acme", "k")
    assert taken_over.outcome is WriteOutcome.STARTED
    assert (expired.outcome, expired.error_code) == (WriteOutcome.UNCERTAIN, "INTERNAL")
    assert expired.finished_at == clock()
    assert [record.intent.id for record in await journal.unfinished()] == ["w3"]


async def test_other_accounts_are_not_busy(journal, make_intent):
    await journal.begin(make_intent("w1"), lease_s=LEASE_S)

    other = await journal.begin(make_intent("w2", account_id="other"), lease_s=LEASE_S)

    assert other.intent.id == "w2"


async def test_two_ids_of_one_remote_account_share_lease_and_last_write(
    journal, other_journal, make_intent, clock
):
    """The ids belong to two tenants; their idempotency keys stay separate."""
    ours = make_intent("w1", remote_account="shared", idempotency_key="k")
    theirs = make_intent(
        "w2", remote_account="shared", idempotency_key="k", tenant="other", account_id="theirs"
    )
    first = await journal.begin(ours, lease_s=LEASE_S)
    with pytest.raises(AccountBusy):
        await other_journal.begin(theirs, lease_s=LEASE_S)
    await journal.finish(applied(first, clock))

    second = await other_journal.begin(theirs, lease_s=LEASE_S)
    before = await journal.last_applied("shared")
    await other_journal.finish(applied(second, clock))

    assert before.intent.id == "w1"
    assert (await journal.last_applied("shared")).intent.id == "w2"


async def test_an_uncertain_write_releases_its_account(journal, make_intent, clock):
    first = await journal.begin(make_intent("w1"), lease_s=LEASE_S)
    await journal.finish(uncertain(first, clock))

    second = await journal.begin(make_intent("w2"), lease_s=LEASE_S)

    assert second.intent.id == "w2"


async def test_a_write_id_cannot_be_reused(journal, make_intent, clock):
    record = await journal.begin(make_intent("w1"), lease_s=LEASE_S)
    await journal.finish(applied(record, clock))

    with pytest.raises(Exception, match=r"(?i)unique"):
        await journal.begin(make_intent("w1"), lease_s=LEASE_S)


async def test_repeating_the_same_outcome_changes_nothing(journal, make_intent, clock, audit_log):
    record = await journal.begin(make_intent(idempotency_key="k"), lease_s=LEASE_S)
    finished = applied(record, clock)
    await journal.finish(finished)
    clock.advance(5)

    await journal.finish(finished)
    await journal.finish(applied(record, clock))

    assert await journal.by_key("acme", "k") == finished
    assert len(await audit_log.rows("acme")) == 2


@pytest.mark.parametrize("final", [applied, rejected])
async def test_a_final_outcome_is_never_changed(journal, make_intent, clock, audit_log, final):
    record = await journal.begin(make_intent(idempotency_key="k"), lease_s=LEASE_S)
    finished = final(record, clock)
    await journal.finish(finished)

    other = rejected if final is applied else applied
    await journal.finish(other(record, clock))
    await journal.finish(uncertain(record, clock))

    assert await journal.by_key("acme", "k") == finished
    events = [row.event for row in await audit_log.rows("acme")]
    assert events[:2] == [AuditEvent.DISREGARDED, AuditEvent.DISREGARDED]


async def test_a_retryable_rejection_releases_its_key(journal, make_intent, clock):
    first = make_intent(idempotency_key="again")
    record = await journal.begin(first, lease_s=30)
    rejected = replace(
        record, outcome=WriteOutcome.REJECTED, finished_at=clock(), error_retryable=True
    )
    await journal.finish(rejected)
    await journal.finish(rejected)

    found = await journal.by_key(first.tenant, "again")
    second = await journal.begin(make_intent(id="second", idempotency_key="again"), lease_s=30)

    assert found is None
    assert second.outcome is WriteOutcome.STARTED


async def test_an_uncertain_write_can_become_applied(journal, make_intent, clock):
    record = await journal.begin(make_intent(idempotency_key="k"), lease_s=LEASE_S)
    await journal.finish(uncertain(record, clock))
    clock.advance(1)

    await journal.finish(applied(record, clock))

    assert await journal.by_key("acme", "k") == applied(record, clock)


async def test_concurrent_outcomes_of_one_write_leave_one(
    journal, other_journal, make_intent, clock, audit_log
):
    record = await journal.begin(make_intent(idempotency_key="k"), lease_s=LEASE_S)

    await asyncio.gather(
        *(journal.finish(applied(record, clock)) for _ in range(5)),
        *(other_journal.finish(rejected(record, clock)) for _ in range(5)),
    )

    stored = await journal.by_key("acme", "k")
    events = [row.event for row in await audit_log.rows("acme")]
    assert stored in (applied(record, clock), rejected(record, clock))
    assert events.count(AuditEvent.FINISHED) == 1


async def test_started_is_not_an_outcome(journal, make_intent):
    record = await journal.begin(make_intent(), lease_s=LEASE_S)

    with pytest.raises(ValueError, match="STARTED"):
        await journal.finish(record)


async def test_an_unknown_write_cannot_be_finished(journal, make_intent, clock):
    with pytest.raises(LookupError):
        await journal.finish(applied(WriteRecord(make_intent(), WriteOutcome.STARTED), clock))


async def test_last_applied_is_the_write_that_finished_last(journal, make_intent, clock):
    """It is neither the write that started last nor the one with the latest timestamp."""
    first = await journal.begin(make_intent("w1"), lease_s=LEASE_S)
    await journal.finish(applied(first, clock, finished_at=clock() + timedelta(days=1)))
    second = await journal.begin(make_intent("w2"), lease_s=LEASE_S)
    await journal.finish(applied(second, clock))
    third = await journal.begin(make_intent("w3"), lease_s=LEASE_S)
    await journal.finish(rejected(third, clock))

    last = await journal.last_applied("remote acct_cash")

    assert last.intent.id == "w2"
    assert await journal.last_applied("unknown") is None


async def test_unfinished_and_unsettled_writes_are_sorted_oldest_first(journal, make_intent, clock):
    ids = ["old", "gone", "unsure", "new"]
    outcome = {"gone": rejected, "unsure": uncertain}
    begun = {}
    for write_id in ids:
        clock.advance(10)
        intent = make_intent(write_id, account_id=write_id)
        begun[write_id] = await journal.begin(intent, lease_s=LEASE_S)
        if write_id in outcome:
            await journal.finish(outcome[write_id](begun[write_id], clock))

    unfinished = await journal.unfinished()
    unsettled = await journal.unsettled_since(begun["unsure"].intent.started_at)
    all_unsettled = await journal.unsettled_since(begun["old"].intent.started_at)

    assert [record.intent.id for record in unfinished] == ["old", "new"]
    assert [write.id for write in unsettled] == ["unsure", "new"]
    assert [write.id for write in all_unsettled] == ["old", "unsure", "new"]
    assert all_unsettled[0] == UnsettledWrite("old", "acme", "old", begun["old"].intent.started_at)


@pytest.mark.parametrize(
    "damage", ["minor_units = 'x'", "previous = '{'", "previous = '7'", "started_at = 'then'"]
)
async def test_a_damaged_row_does_not_hide_others(journal, make_intent, clock, database, damage):
    """A damaged row once prevented the gateway from starting."""
    await journal.begin(make_intent("bad"), lease_s=LEASE_S)
    clock.advance(1)
    await journal.begin(make_intent("good", account_id="other"), lease_s=LEASE_S)
    async with database.write_transaction() as connection:
        await connection.execute(text(f"UPDATE writes SET {damage} WHERE id = 'bad'"))

    unsettled = await journal.unsettled_since(clock() - timedelta(seconds=9))
    unfinished = await journal.unfinished()

    readable = "started_at" not in damage
    assert [record.intent.id for record in unfinished] == ["good"]
    assert {write.id: write.started_at is not None for write in unsettled} == {
        "bad": readable,
        "good": True,
    }
    assert {write.account_id for write in unsettled} == {"acct_cash", "other"}


async def test_the_audit_log_contains_caller_values_and_times(
    journal, make_intent, clock, audit_log
):
    intent = make_intent()
    begun_at = clock()
    record = await journal.begin(intent, lease_s=LEASE_S)
    clock.advance(3)
    await journal.finish(uncertain(record, clock))
    clock.advance(3)
    await journal.finish(applied(record, clock))

    last, middle, first = await audit_log.rows("acme", account_id="acct_cash")

    assert (first.event, first.outcome, first.at) == (
        AuditEvent.BEGUN,
        WriteOutcome.STARTED,
        begun_at,
    )
    assert (first.principal, first.write_id, first.previous) == ("alice", "w1", RICH)
    assert first.intended == IntendedValues(
        Money(HUGE, "EUR"), datetime(2026, 1, 1, tzinfo=UTC), "a memo", None
    )
    assert (middle.error_code, middle.error_message) == ("PROVIDER_TIMEOUT", "m")
    assert (last.outcome, last.applied, last.verified) == (WriteOutcome.APPLIED, RICH, True)
    assert last.at == clock()


async def test_the_audit_log_is_paged_within_one_tenant(journal, make_intent, audit_log):
    for number in range(5):
        intent = make_intent(f"w{number}", account_id=f"a{number}")
        await journal.begin(intent, lease_s=LEASE_S)

    newest = await audit_log.rows("acme", limit=2)
    next_page = await audit_log.rows("acme", before=newest[-1].number, limit=2)

    assert [row.write_id for row in (*newest, *next_page)] == ["w4", "w3", "w2", "w1"]
    assert await audit_log.rows("other") == []
    assert [row.write_id for row in await audit_log.rows("acme", account_id="a2")] == ["w2"]


@pytest.mark.parametrize("change", ["UPDATE write_audit SET at = ''", "DELETE FROM write_audit"])
async def test_audit_rows_cannot_be_changed_or_deleted(journal, make_intent, database, change):
    await journal.begin(make_intent(), lease_s=LEASE_S)

    with pytest.raises((DatabaseError, IntegrityError)) as caught:
        async with database.write_transaction() as connection:
            await connection.execute(text(change))

    assert "append-only" in f"{caught.value} {caught.value.__cause__}"


async def test_the_database_rejects_a_second_started_write(journal, make_intent, database):
    await journal.begin(make_intent(), lease_s=LEASE_S)
    columns = (
        "tenant, account_id, remote_account, connector, principal, minor_units, currency,"
        " fingerprint, previous, started_at, outcome, verified, error_retryable"
    )

    with pytest.raises(Exception, match=r"(?i)unique"):
        async with database.write_transaction() as connection:
            await connection.execute(
                text(f"INSERT INTO writes (id, {columns}) SELECT 'x', {columns} FROM writes")
            )


async def test_an_unavailable_database_is_an_unavailable_journal(journal, make_intent, database):
    async with database.write_transaction() as connection:
        await connection.execute(text("ALTER TABLE writes RENAME TO elsewhere"))

    with pytest.raises(JournalUnavailable):
        await journal.begin(make_intent(), lease_s=LEASE_S)
    with pytest.raises(JournalUnavailable):
        await journal.unfinished()


# PostgreSQL plans by statistics, and an empty table has none.
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_frequent_queries_use_the_partial_indexes(journal, make_intent, database):
    """SQLite's planner uses the partial indexes, so old writes do not slow these queries down."""
    queries_by_index = {
        "remote_account = ? AND outcome = 'started'": "writes_one_started",
        "remote_account = ? AND outcome = 'applied' ORDER BY finished_in DESC": "writes_applied",
        "outcome IN ('started', 'uncertain') AND started_at >= ?": "writes_unsettled",
    }

    async with database.read_transaction() as connection:
        for where, index in queries_by_index.items():
            plan = await connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN SELECT * FROM writes WHERE {where}", ("x",)
            )
            assert index in str(plan.all())


BEGIN_AND_HANG = """
import asyncio, sys
from datetime import UTC, datetime
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteIntent
from balance_gateway.storage.database import open_database
from balance_gateway.storage.journal import SqlWriteJournal

async def main():
    journal = SqlWriteJournal(await open_database(sys.argv[1]))
    await journal.begin(
        WriteIntent("w1", "acme", "acct_cash", "local:acct_cash", "books", "alice",
                    Money(1, "EUR"), None, None, None, "k", "f", None, datetime.now(UTC)),
        lease_s=60,
    )
    print("begun", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_started_write_survives_the_kill_of_its_process(url, child, open_test_database):
    writer = child(BEGIN_AND_HANG, url)
    assert writer.read_line() == "begun"
    writer.kill()

    async with open_test_database(url) as database:
        unfinished = await SqlWriteJournal(database).unfinished()
        audited = await SqlAuditLog(database).rows("acme")

    assert [record.intent.idempotency_key for record in unfinished] == ["k"]
    assert [row.event for row in audited] == [AuditEvent.BEGUN]


async def test_an_outcome_recorded_late_does_not_replace_a_later_write(journal, make_intent, clock):
    """An outcome kept while the journal was down became the recorded opening balance."""
    first = await journal.begin(make_intent("w1"), lease_s=LEASE_S)
    clock.advance(LEASE_S)
    second = await journal.begin(make_intent("w2"), lease_s=LEASE_S)
    await journal.finish(applied(second, clock))

    await journal.finish(applied(first, clock))

    kept = await journal.last_applied(first.intent.remote_account)
    assert kept.intent.id == "w2"
    assert await journal.unfinished() == []
