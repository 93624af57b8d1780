"""Plans of opening balances on a real SQLite file and a real PostgreSQL."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.money import Money
from balance_gateway.domain.opening_balance_plans import (
    Plan,
    PlanApproval,
    PlanConnector,
    PlanRow,
    PlanState,
    PlanSummary,
    PlanTotal,
    PreviousState,
    RowOutcome,
)
from balance_gateway.domain.writes import SettledBy, Settlement, WriteOutcome
from balance_gateway.ports.audit_log import AuditFilter
from balance_gateway.ports.plan_store import LineTaken, PlanConflict, PlanPart
from balance_gateway.storage.audit import SqlAuditLog
from balance_gateway.storage.audit_pages import SqlAuditPages
from balance_gateway.storage.audit_verification import verify_chains
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_settlements import SqlWriteSettlements
from balance_gateway.storage.plans import SqlPlanStore
from tests.storage.test_audit_chain import LEASE_S, _drop_triggers, end, intent

SUMMARY = PlanSummary(
    totals=(PlanTotal("EUR", 2, 1, 10**30, None), PlanTotal("JPY", 1, 0, -5, 7)),
    connectors=(PlanConnector("books", 3, frozenset({Capability.WRITE_MEMO})),),
    unchanged=1,
    unknown=1,
)


@pytest.fixture
def store(database, clock):
    return SqlPlanStore(database, clock)


@pytest.fixture
def other_store(other_database, clock):
    """The store of another process."""
    return SqlPlanStore(other_database, clock)


def build_plan(clock, plan_id="p1", **more):
    facts = {
        "tenant": "acme",
        "state": PlanState.RECEIVING,
        "needs_approval": True,
        "made_by": "the key of Søren",
        "made_at": clock(),
        "expires_at": clock() + timedelta(days=7),
        **more,
    }
    return Plan(plan_id, **facts)


def row(line, account="cash", **more):
    facts = {
        "connector": "books",
        "remote_account": f"remote {account}",
        "amount": Money(10**25 + line, "EUR"),
        **more,
    }
    return PlanRow(line, f"acct_{account}", **facts)


def part(*rows, number=1, fingerprint="f", is_last=True):
    return PlanPart(number, fingerprint, rows, is_last)


async def make_ready(store, clock, *rows, **more):
    plan = await store.add_part(build_plan(clock, **more), part(*rows))
    await store.finish_reading(plan, "h" * 64, SUMMARY, clock())
    return await store.find(plan.tenant, plan.id)


async def read_audit(database):
    async with database.read_transaction() as connection:
        statement = text("SELECT event, principal, note FROM write_audit ORDER BY number")
        rows = await connection.execute(statement)
        return [(row.event, row.principal, json.loads(row.note)["content_hash"]) for row in rows]


async def test_a_plan_keeps_every_value_through_its_steps(store, clock, database):
    read = replace(
        row(1, effective_at=clock(), memo="Åbning ✓", reference_number="R1"),
        previous_state=PreviousState.VALUE,
        previous=OpeningBalance(Money(7, "EUR"), None, OpeningBalanceSource.PROVIDER),
        previous_at=clock(),
        is_unchanged=True,
    )
    plan = await store.add_part(build_plan(clock), part(row(1), row(2, "bank")))
    await store.record_previous("p1", [read])
    await store.finish_reading(plan, "h" * 64, SUMMARY, clock())
    approval = PlanApproval("bob", clock.advance(1), "h" * 64)
    ready = await store.find("acme", "p1")
    await store.approve(ready, approval)
    started = await store.start(await store.find("acme", "p1"), "carol", clock.advance(1))
    done = replace(read, outcome=RowOutcome.UNCERTAIN, write_id="w1", message="Lost.", code="X")
    await store.record_outcome("p1", done)
    await store.record_outcome("p1", replace(done, outcome=RowOutcome.APPLIED))
    await store.finish(started, clock())
    unfinished = await store.find("acme", "p1")
    rejected = replace(row(2, "bank"), outcome=RowOutcome.REJECTED, retryable=True, field="f")
    await store.record_outcome("p1", rejected)
    await store.finish(started, clock.advance(1))

    assert (ready.state, ready.summary) == (PlanState.READY, SUMMARY)
    assert unfinished.state is PlanState.APPLYING
    assert await store.find("acme", "p1") == replace(
        ready,
        state=PlanState.FINISHED,
        approval=approval,
        applied_by="carol",
        applied_at=started.applied_at,
        finished_at=clock(),
    )
    found = await store.page_rows("p1", 10)
    # Only what reading shows is recorded by it.
    assert found[0] == replace(done, effective_at=None, memo=None, reference_number=None)
    assert found[1] == rejected
    assert await store.count_rows("p1") == {RowOutcome.UNCERTAIN: 1, RowOutcome.REJECTED: 1}
    assert await read_audit(database) == [
        ("plan_made", "the key of Søren", "h" * 64),
        ("plan_approved", "bob", "h" * 64),
        ("plan_applied", "carol", "h" * 64),
        ("plan_finished", "carol", "h" * 64),
    ]


async def test_a_plan_is_received_in_parts_each_once(store, other_store, clock):
    first = part(row(1), row(2, "bank"), is_last=False)
    second = part(row(3, "card"), number=2, fingerprint="g")
    plan = build_plan(clock, idempotency_key="k")
    made = await asyncio.gather(
        store.add_part(plan, first), other_store.add_part(replace(plan, id="p2"), first)
    )
    plan = made[0]
    for number, fingerprint in ((1, "other"), (3, "g")):
        with pytest.raises(PlanConflict):
            await store.add_part(plan, part(row(9), number=number, fingerprint=fingerprint))
    with pytest.raises(LineTaken, match="2"):
        await store.add_part(plan, part(row(2, "card"), number=2))
    added = await asyncio.gather(store.add_part(plan, second), other_store.add_part(plan, second))
    with pytest.raises(PlanConflict):
        await store.add_part(plan, part(row(9), number=3, fingerprint="h"))

    assert made[0].id == made[1].id
    assert added[0] == added[1]
    assert (added[0].state, added[0].row_count) == (PlanState.READING, 3)
    assert [one.line for one in await store.page_rows(plan.id, 9)] == [1, 2, 3]


async def test_rows_that_reach_one_remote_account_refuse_the_plan(store, clock, database):
    plan = build_plan(clock)
    await store.add_part(plan, part(row(5), row(7, "bank"), is_last=False))
    again = row(9, "again", remote_account="remote cash")
    refused = await store.add_part(plan, part(again, row(11), number=2, fingerprint="g"))

    invalid = await store.page_rows("p1", 9, outcomes={RowOutcome.INVALID})
    assert refused.state is PlanState.REFUSED
    assert [(one.line, one.field) for one in invalid] == [(9, "accountId"), (11, "accountId")]
    assert all("Line 5" in one.message for one in invalid)
    assert await read_audit(database) == [("plan_made", "the key of Søren", None)]


async def test_pages_have_the_rows_of_their_outcomes_and_connector(store, clock):
    rows = [row(line, str(line), connector=("books", "bank")[line % 2]) for line in range(1, 8)]
    await store.add_part(build_plan(clock), part(*rows))
    await store.record_outcome("p1", replace(rows[2], outcome=RowOutcome.APPLIED))

    async def lines(limit, **more):
        return [one.line for one in await store.page_rows("p1", limit, **more)]

    assert await lines(2, after_line=2) == [3, 4]
    assert await lines(9, outcomes={RowOutcome.PENDING}, connector="bank") == [1, 5, 7]
    assert await lines(9, outcomes=set()) == []
    read = replace(rows[0], previous_state=PreviousState.NONE, previous_at=clock())
    await store.record_previous("p1", [read])
    assert await lines(2, outcomes={RowOutcome.PENDING}, is_unread=True) == [2, 4]


async def test_a_plan_has_one_owner_until_its_time_is_over(store, other_store, clock):
    plan = await store.add_part(build_plan(clock), part(row(1)))

    async def claim(of, owner):
        until = clock() + timedelta(seconds=30)
        return [one.id for one in await of.claim(owner, clock(), until, 5)]

    first = await asyncio.gather(claim(store, "a"), claim(other_store, "b"))
    owner, other = ("a", "b") if first[0] else ("b", "a")
    clock.advance(20)
    renewed = await store.renew("p1", owner, clock() + timedelta(seconds=30))
    clock.advance(20)
    too_early = await claim(other_store, other)
    clock.advance(11)
    later = await claim(other_store, other)
    lost = await store.renew("p1", owner, clock() + timedelta(seconds=30))
    await store.release("p1", other)
    released = await claim(store, owner)
    await store.finish_reading(plan, "h", SUMMARY, clock())
    done = await store.renew("p1", owner, clock() + timedelta(seconds=30))

    assert sorted(map(len, first)) == [0, 1]
    assert (renewed, too_early, later, lost, released) == (True, [], ["p1"], False, ["p1"])
    assert not done
    assert await claim(store, "c") == []


async def test_a_step_is_taken_once(store, other_store, clock):
    ready = await make_ready(store, clock, row(1))
    with pytest.raises(PlanConflict):
        await store.start(ready, "carol", clock())
    with pytest.raises(PlanConflict):
        await store.approve(ready, PlanApproval("bob", clock(), "other content"))
    approval = PlanApproval("bob", clock(), "h" * 64)
    approvals = await asyncio.gather(
        store.approve(ready, approval),
        other_store.approve(ready, approval),
        return_exceptions=True,
    )
    starts = await asyncio.gather(
        store.start(ready, "carol", clock()),
        other_store.start(ready, "dave", clock()),
        return_exceptions=True,
    )

    for results in (approvals, starts):
        assert [type(one) for one in results].count(Plan) == 1
        assert [type(one) for one in results].count(PlanConflict) == 1


async def test_a_plan_of_another_tenant_does_not_exist(store, clock):
    await make_ready(store, clock, row(1))

    assert await store.find("globex", "p1") is None
    assert await store.find("acme", "p2") is None


async def test_plans_and_writes_are_one_log_that_is_chained(store, clock, database):
    journal = SqlWriteJournal(database, clock)
    plan = await make_ready(store, clock, row(1))
    await make_ready(store, clock, row(1), plan_id="p2", tenant="globex")
    await journal.finish(end(await journal.begin(intent("w1"), lease_s=LEASE_S)))
    await store.approve(plan, PlanApproval("bob", clock(), "h" * 64))
    whole = await verify_chains(database)
    entries = await SqlAuditPages(database).page("acme", AuditFilter(), 9, None)
    of_plans = AuditFilter(events=frozenset({AuditEvent.PLAN_APPROVED}))
    [approved] = await SqlAuditPages(database).page("acme", of_plans, 9, None)
    async with database.write_transaction() as connection:
        await _drop_triggers(database, connection)
        forge = "UPDATE write_audit SET principal = 'eve' WHERE event = 'plan_approved'"
        await connection.execute(text(forge))
    forged = await verify_chains(database)

    assert [(one.tenant, one.rows, one.broken) for one in whole.chains] == [
        ("acme", 4, None),
        ("globex", 1, None),
    ]
    assert [(one.event.value, one.plan_id, one.write_id) for one in entries] == [
        ("plan_approved", "p1", None),
        ("finished", None, "w1"),
        ("begun", None, "w1"),
        ("plan_made", "p1", None),
    ]
    assert (approved.principal, approved.account_id, approved.outcome) == ("bob", None, None)
    assert json.loads(approved.note) == {"content_hash": "h" * 64}
    assert [row.write_id for row in await SqlAuditLog(database).rows("acme")] == ["w1", "w1"]
    assert forged.chains[0].broken.number == approved.number


@pytest.mark.parametrize(
    ("how", "outcome", "shown"),
    [
        (SettledBy.PROVED, WriteOutcome.APPLIED, RowOutcome.APPLIED),
        (SettledBy.DISPROVED, WriteOutcome.REJECTED, RowOutcome.REJECTED),
        (SettledBy.PERSON, WriteOutcome.REJECTED, RowOutcome.REJECTED),
        (SettledBy.SUPERSEDED, WriteOutcome.UNCERTAIN, RowOutcome.UNCERTAIN),
    ],
)
async def test_an_uncertain_row_shows_how_its_write_was_settled(
    store, clock, database, how, outcome, shown
):
    """A report showed the outcome of the first moment, and an operator settled it again."""
    journal, settlements = SqlWriteJournal(database, clock), SqlWriteSettlements(database)
    rows = [row(line, str(line)) for line in (1, 2, 3)]
    await make_ready(store, clock, *rows)
    for each in rows[:2]:
        write_id = f"w{each.line}"
        begun = await journal.begin(intent(write_id, account=str(each.line)), lease_s=LEASE_S)
        await journal.finish(end(begun))
        lost = {"outcome": RowOutcome.UNCERTAIN, "write_id": write_id, "code": "PROVIDER_TIMEOUT"}
        await store.record_outcome("p1", replace(each, **lost))
    [unsettled, _] = await settlements.unsettled()
    is_rejected = outcome is WriteOutcome.REJECTED
    settled = replace(
        unsettled,
        outcome=outcome,
        settlement=Settlement(how, clock(), note="n"),
        error_code="WRITE_NOT_APPLIED" if is_rejected else None,
        error_message="Not there." if is_rejected else None,
    )
    assert await settlements.settle(settled, last=None)
    counts = +Counter(await store.count_rows("p1"))
    by_outcome = {
        outcome: [one.line for one in await store.page_rows("p1", 9, outcomes={outcome})]
        for outcome in (RowOutcome.UNCERTAIN, shown, RowOutcome.PENDING)
    }
    [found, second, _] = await store.page_rows("p1", 9)

    assert counts == Counter([shown, RowOutcome.UNCERTAIN, RowOutcome.PENDING])
    assert by_outcome[RowOutcome.PENDING] == [3]
    assert by_outcome[RowOutcome.UNCERTAIN] == ([1, 2] if shown is RowOutcome.UNCERTAIN else [2])
    assert 1 in by_outcome[shown]
    assert (found.outcome, found.write_id, second.code) == (shown, "w1", "PROVIDER_TIMEOUT")
    if is_rejected:
        assert (found.code, found.message) == ("WRITE_NOT_APPLIED", "Not there.")
    if outcome is WriteOutcome.APPLIED:
        assert (found.code, found.message) == (None, None)
