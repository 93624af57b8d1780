"""Plans are applied in the background: each row once, whatever ends or starts meanwhile."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.domain.balances import OpeningBalanceSource
from balance_gateway.domain.errors import (
    BudgetSpent,
    ErrorCode,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    Unsupported,
)
from balance_gateway.domain.opening_balance_plans import (
    Plan,
    PlanState,
    PreviousState,
    RowOutcome,
)
from balance_gateway.domain.writes import WriteOutcome
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.service.opening_balance_plans.applying import build_row_request
from balance_gateway.service.opening_balance_plans.patience import FAILURES_MAX, Patience
from balance_gateway.service.opening_balances import Rejected
from tests.pipeline.virtual_time import VirtualTime, virtual_time
from tests.service.fakes import EPOCH, opening
from tests.service.plan_world import MAKER, OTHER, PlanProcess, PlanWorld, send


@pytest.fixture
async def time() -> AsyncIterator[VirtualTime]:
    with virtual_time() as passing:
        yield passing


@pytest.fixture
async def build(time: VirtualTime) -> AsyncIterator[Callable[..., PlanWorld]]:
    """Builds worlds, and stops their processes afterwards."""
    worlds: list[PlanWorld] = []

    def build(**more: Any) -> PlanWorld:
        worlds.append(PlanWorld(time, **more))
        return worlds[-1]

    yield build
    for process in itertools.chain.from_iterable(world.processes for world in worlds):
        process.end()
    await asyncio.sleep(0)


async def test_a_plan_is_read_and_applied_row_by_row(build: Callable[..., PlanWorld]) -> None:
    world = build()
    world.provider.values = {"acct_2": None, "acct_3": opening(203)}
    process = world.start_process()
    ready = await world.make_plan(process)
    done = await world.apply_plan(process, ready)

    assert ready.state is PlanState.READY
    assert ready.summary is not None
    [total] = ready.summary.totals
    assert (total.previous, total.planned, ready.summary.unchanged) == (303, 606, 1)
    rows = world.list_rows(done)
    states = [PreviousState.VALUE, PreviousState.NONE, PreviousState.VALUE]
    assert [row.previous_state for row in rows] == states
    assert world.list_outcomes(done) == ["applied", "applied", "unchanged"]
    assert all((row.write_id is not None) != row.is_unchanged for row in rows)
    assert world.count_sent() == {"acct_1": 1, "acct_2": 1}
    assert world.store.steps == ["made", "applied", "finished"]


async def test_a_kill_at_any_point_sends_no_row_twice_and_reports_all(
    build: Callable[..., PlanWorld],
) -> None:
    """The process is killed after each call of a port in turn, and another one continues."""
    for point in itertools.count(1):
        world = build(accounts=2)
        first = world.start_process()
        plan = await first.plans.add_part(MAKER, world.build_part())
        await first.stop()
        killed = world.start_process(kill_after=point)

        async def finish(process: PlanProcess, world: PlanWorld = world, plan: Plan = plan) -> Plan:
            await world.wait_while(plan, PlanState.READING)
            return await world.apply_plan(process, plan)

        work = [asyncio.ensure_future(finish(killed)), asyncio.ensure_future(killed.dead.wait())]
        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in work:
            task.cancel()
        if not killed.dead.is_set():
            break
        done = await finish(world.start_process())
        killed.end()

        assert done.state is PlanState.FINISHED, point
        sent = world.count_sent()
        assert max(sent.values()) == 1, point
        for row in world.list_rows(done):
            # What was begun and not sent is uncertain too: the dead process may have sent it.
            allowed = {RowOutcome.APPLIED} if sent[row.account_id] else set()
            assert row.outcome in allowed | {RowOutcome.UNCERTAIN}, (point, row)
            assert row.write_id in world.journal.records, point
        assert world.list_outcomes(done).count("uncertain") <= 1, point
    assert point > 40


async def test_a_plan_applied_twice_at_once_is_sent_once(build: Callable[..., PlanWorld]) -> None:
    world = build(accounts=5)
    one, other = world.start_process(), world.start_process()
    plan = await world.make_plan(one)
    results = await asyncio.gather(
        *(process.plans.apply(who, plan.id) for process in (one, other) for who in (MAKER, OTHER))
    )
    done = await world.wait_while(plan, PlanState.APPLYING)
    again = await other.plans.apply(OTHER, plan.id)

    assert {result.id for result in results} == {plan.id}
    assert world.list_outcomes(done) == ["applied"] * 5
    assert set(world.count_sent().values()) == {1}
    assert again == done
    assert world.store.steps.count("applied") == 1


async def test_two_processes_that_both_own_a_plan_send_each_row_once(
    build: Callable[..., PlanWorld],
) -> None:
    """A process that was paused longer than its ownership does not know that it lost it."""
    world = build(accounts=5)
    one, other = world.start_process(), world.start_process()
    plan = await world.make_plan(one)
    await one.stop()
    await other.stop()
    applying = await one.plans.apply(MAKER, plan.id)
    await asyncio.gather(*(process.runner._work(applying) for process in (one, other)))

    assert world.list_outcomes(plan) == ["applied"] * 5
    assert set(world.count_sent().values()) == {1}


async def test_of_two_plans_over_one_account_the_second_is_refused(
    build: Callable[..., PlanWorld],
) -> None:
    world = build()
    process = world.start_process()
    first = await world.make_plan(process)
    second = await world.make_plan(process, [send(1, "acct_2", 900), send(2, "acct_3", 203)])
    unchanged = await world.make_plan(process, [send(1, "acct_1", 100)])
    await world.apply_plan(process, first)
    await world.apply_plan(process, second)
    await world.apply_plan(process, unchanged)

    for plan, count in ((second, 2), (unchanged, 1)):
        assert world.list_outcomes(plan) == ["rejected"] * count
        assert {row.field for row in world.list_rows(plan)} == {"expectedPrevious"}
    assert world.count_sent() == {"acct_1": 1, "acct_2": 1, "acct_3": 1}


async def test_what_cannot_be_read_is_said_and_compared_as_such(
    build: Callable[..., PlanWorld],
) -> None:
    """At providers without a read the first plan sets, and a second one from before is refused."""
    world = build(accounts=1)
    world.provider.unreadable = Unsupported("No read.")
    process = world.start_process()
    first, second = [
        await world.make_plan(process, [send(1, minor_units=amount)]) for amount in (500, 600)
    ]
    await world.apply_plan(process, first)
    await world.apply_plan(process, second)

    assert first.summary is not None
    assert (first.summary.unknown, first.summary.totals[0].previous) == (1, None)
    assert world.list_rows(first)[0].previous_state is PreviousState.UNREADABLE
    assert world.list_outcomes(first) == ["applied"]
    assert world.list_outcomes(second) == ["rejected"]
    assert [write.amount.minor_units for write in world.provider.sent] == [500]


async def test_an_uncertain_row_stops_no_other(build: Callable[..., PlanWorld]) -> None:
    world = build(accounts=12)
    lost = ProviderTimeout("Lost.", maybe_applied=True)
    world.provider.failing["acct_7"] = [lost]
    world.provider.failing["acct_9"] = [ProviderRejected("No.")]
    process = world.start_process()
    done = await world.apply_plan(process, await world.make_plan(process))

    rows = world.list_rows(done)
    assert (rows[6].outcome, rows[8].outcome) == (RowOutcome.UNCERTAIN, RowOutcome.REJECTED)
    assert (rows[6].code, rows[8].code) == ("PROVIDER_TIMEOUT", "PROVIDER_REJECTED")
    assert world.list_outcomes(done).count("applied") == 10
    assert rows[6].write_id is not None
    assert world.journal.records[rows[6].write_id].outcome is WriteOutcome.UNCERTAIN
    assert world.provider.failing["acct_7"] == []


async def test_a_spent_budget_is_waited_for(build: Callable[..., PlanWorld]) -> None:
    world = build()
    spent = BudgetSpent("Spent.", retry_after_s=30.0)
    world.provider.reading = [spent] * 9
    process = world.start_process()
    plan = await world.make_plan(process)
    world.provider.failing["acct_2"] = [spent] * 40
    done = await world.apply_plan(process, plan)

    assert plan.state is PlanState.READY
    assert plan.summary is not None
    assert plan.summary.unknown == 0
    assert world.list_outcomes(done) == ["applied"] * 3
    assert set(world.count_sent().values()) == {1}
    assert world.provider.failing["acct_2"] == []


def test_a_budget_is_waited_for_while_a_row_gets_through_each_day() -> None:
    """A plan of many rows may take longer than a day altogether."""
    spent = Rejected(ErrorCode.PROVIDER_RATE_LIMITED, "Spent.", True, None, retry_after_s=30.0)
    patience, now, day = Patience(), EPOCH, timedelta(days=1)
    first = patience.find_wait_s(spent, now)
    patience.reset()
    waits = [patience.find_wait_s(spent, now + day * days) for days in (2, 2.9, 3)]

    assert (first, waits) == (30.0, [30.0, 30.0, None])


async def test_an_outage_that_lasts_ends_the_plan_and_other_connectors_go_on(
    build: Callable[..., PlanWorld],
) -> None:
    world = build(accounts=60, connectors=2)
    down = [one.id for one in world.accounts if one.connector == "main"]
    world.provider.failing = {name: [ProviderUnavailable("Down.")] * 50 for name in down}
    process = world.start_process()
    plan = await world.make_plan(process)
    done = await world.apply_plan(process, plan)

    assert world.list_outcomes(done).count("applied") == 30
    rejected = [row for row in world.list_rows(done) if row.outcome is RowOutcome.REJECTED]
    assert {(row.code, row.retryable) for row in rejected} == {("PROVIDER_UNAVAILABLE", True)}
    attempts = 50 * 30 - sum(map(len, world.provider.failing.values()))
    assert attempts == 30 + FAILURES_MAX


async def test_an_account_that_cannot_be_read_is_not_sent(build: Callable[..., PlanWorld]) -> None:
    world = build(accounts=2)
    world.provider.reading = [None] + [ProviderUnavailable("Down.")] * 100
    process = world.start_process()
    plan = await world.make_plan(process)
    world.provider.reading = []
    done = await world.apply_plan(process, plan)

    assert plan.summary is not None
    assert (plan.summary.unknown, plan.summary.totals[0].previous) == (1, None)
    assert world.list_outcomes(done) == ["applied", "rejected"]
    row = world.list_rows(done)[1]
    assert (row.previous_state, row.code) == (PreviousState.FAILED, "PROVIDER_UNAVAILABLE")
    assert world.count_sent() == {"acct_1": 1}


async def test_a_stale_value_is_not_planned_with(build: Callable[..., PlanWorld]) -> None:
    world = build(accounts=1)
    world.reads.state = FreshnessState.STALE
    process = world.start_process()
    plan = await world.make_plan(process)

    [row] = world.list_rows(plan)
    assert (row.previous_state, row.code) == (PreviousState.FAILED, "TOO_STALE")


async def test_rows_that_differ_from_the_approved_ones_are_not_sent(
    build: Callable[..., PlanWorld],
) -> None:
    world = build()
    process = world.start_process()
    plan = await world.make_plan(process, needs_approval=True)
    await process.plans.approve(OTHER, plan.id, plan.content_hash)
    rows = world.store.rows[plan.id]
    rows[2] = replace(rows[2], amount=opening(99_999).amount)
    done = await world.apply_plan(process, plan)

    assert world.list_outcomes(done) == ["rejected"] * 3
    assert not world.provider.sent


async def test_a_removed_account_does_not_hide_that_it_was_sent(
    build: Callable[..., PlanWorld],
) -> None:
    world = build(accounts=2)
    first = world.start_process()
    plan = await world.make_plan(first)
    # Killed after the first row was sent and before its outcome is in the plan.
    await first.stop()
    applying = await first.plans.apply(MAKER, plan.id)
    await first.runner._applier._attempt(
        applying,
        world.store.rows[plan.id][1],
        build_row_request(applying, world.store.rows[plan.id][1]),
    )
    world.directory = world.build_directory([])
    second = world.start_process()
    done = await world.apply_plan(second, plan)

    assert world.list_outcomes(done) == ["applied", "rejected"]
    assert world.list_rows(done)[1].code == "ACCOUNT_NOT_FOUND"


async def test_an_account_that_became_another_one_is_not_sent(
    build: Callable[..., PlanWorld],
) -> None:
    world = build(accounts=1)
    process = world.start_process()
    plan = await world.make_plan(process)
    world.remote_accounts["acct_1"] = "remote other"
    done = await world.apply_plan(process, plan)

    assert world.list_outcomes(done) == ["rejected"]
    assert not world.provider.sent


async def test_an_expired_plan_is_neither_approved_nor_applied(
    build: Callable[..., PlanWorld], time: VirtualTime
) -> None:
    world = build()
    process = world.start_process()
    plan = await world.make_plan(process)
    await process.stop()
    time.advance(timedelta(days=7).total_seconds())

    with pytest.raises(Exception, match="expired"):
        await process.plans.apply(MAKER, plan.id)
    assert plan.find_state(time.clock()) is PlanState.EXPIRED


async def test_a_paused_plan_goes_on_and_sends_only_what_can_be_compared(
    build: Callable[..., PlanWorld],
) -> None:
    """After a restore it is not known what was sent since the backup."""
    world = build(accounts=4)
    world.provider.unreadable = Unsupported("No read.")
    recorded = opening(100, source=OpeningBalanceSource.RECORDED_BY_GATEWAY)
    world.provider.values = {"acct_1": opening(100), "acct_2": recorded, "acct_4": opening(100)}
    process = world.start_process()
    plan = await world.make_plan(process)
    paused = replace(plan, state=PlanState.PAUSED, applied_by="alice")
    world.store.plans[plan.id] = paused
    world.provider.values["acct_4"] = opening(204)
    await asyncio.sleep(120)
    sent_before = world.count_sent()
    done = await world.apply_plan(process, paused)

    rows = world.list_rows(done)
    assert sent_before == {}
    assert world.list_outcomes(done) == ["applied", "rejected", "rejected", "rejected"]
    assert [row.field for row in rows] == [None, *["expectedPrevious"] * 3]
    assert [row.message is not None and "restored" in row.message for row in rows[1:]] == [
        True,
        True,
        False,
    ]
    assert world.count_sent() == {"acct_1": 1}


async def test_each_further_round_of_reading_looks_at_unread_rows_only(
    build: Callable[..., PlanWorld],
) -> None:
    """While a budget was spent, every round went through all rows of a large plan once more."""
    world = build(accounts=450)
    looked_at: list[int] = []
    page_rows = world.store.page_rows

    async def note_rows(*arguments: Any, **named: Any) -> Any:
        rows = await page_rows(*arguments, **named)
        looked_at.append(len(rows))
        return rows

    world.provider.reading = [None] * 440 + [BudgetSpent("Spent.", retry_after_s=30.0)] * 30
    world.store.page_rows = note_rows
    plan = await world.make_plan(world.start_process())

    assert plan.state is PlanState.READY
    # All once, ten more in three rounds each, and all once more for the sums.
    assert sum(looked_at) == 450 + 3 * 10 + 450
    assert max(looked_at) <= 200
