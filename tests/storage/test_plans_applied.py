"""Plans are carried out over a real SQLite file and a real PostgreSQL, by two processes."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.opening_balance_plans import Plan, PlanState, RowOutcome
from balance_gateway.service.opening_balance_plans.requests import SentPart
from balance_gateway.storage.audit_verification import verify_chains
from balance_gateway.storage.database import Database
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_settlements import SqlWriteSettlements
from balance_gateway.storage.plans import SqlPlanStore
from tests.service.plan_world import MAKER, OTHER, PlanWorld, send

ROWS = 2_000


class PassingTime:
    """The system's time plus an offset that a test can advance."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def clock(self) -> Any:
        return system_clock() + self.offset


def build_world(database: Database, **more: Any) -> PlanWorld:
    passing: Any = PassingTime()
    world = PlanWorld(passing, **more)
    world.poll_s = 0.02
    use_database(world, database)
    return world


def use_database(world: PlanWorld, database: Database) -> None:
    """Let the processes that are started from now on use a database."""
    world.store = SqlPlanStore(database, world.time.clock)
    world.journal = SqlWriteJournal(database, world.time.clock)
    world.settlements = SqlWriteSettlements(database)


async def read_outcomes(world: PlanWorld, plan: Plan) -> Counter[str]:
    counts = await world.store.count_rows(plan.id)
    return Counter({outcome.value: number for outcome, number in counts.items()})


async def test_another_process_continues_what_a_killed_one_left(
    database: Database, other_database: Database
) -> None:
    world = build_world(database, accounts=12)
    # The second row is written and the process dies; it owns the plan, and the write its account.
    killed = world.start_process()
    plan = await world.make_plan(killed, needs_approval=True)
    await killed.plans.approve(OTHER, plan.id, plan.content_hash)
    original = world.provider.set_opening_balance

    async def die_at_the_second(write: Any) -> Any:
        result = await original(write)
        if len(world.provider.sent) == 2:
            killed.dead.set()
        return result

    world.provider.set_opening_balance = die_at_the_second  # type: ignore[method-assign]
    await killed.plans.apply(MAKER, plan.id)
    await killed.dead.wait()
    killed.end()
    use_database(world, other_database)
    world.time.offset += timedelta(minutes=2)  # type: ignore[attr-defined]
    survivor = world.start_process()
    done = await world.wait_while(plan, PlanState.APPLYING)
    await survivor.stop()
    verified = await verify_chains(database)

    assert done.state is PlanState.FINISHED
    assert set(world.count_sent().values()) == {1}
    assert len(world.count_sent()) == 12
    # Without zeros.
    outcomes = +await read_outcomes(world, plan)
    assert outcomes in ({"applied": 12}, {"applied": 11, "uncertain": 1})
    [chain] = verified.chains
    assert (chain.rows >= 4 + 2 * 12, chain.broken, verified.differing_writes) == (True, None, [])


async def test_a_plan_applied_twice_at_once_by_two_processes_is_sent_once(
    database: Database, other_database: Database
) -> None:
    world = build_world(database, accounts=10)
    one = world.start_process()
    plan = await world.make_plan(one)
    use_database(world, other_database)
    other = world.start_process()
    results = await asyncio.gather(
        one.plans.apply(MAKER, plan.id),
        other.plans.apply(OTHER, plan.id),
        other.plans.apply(MAKER, plan.id),
    )
    await world.wait_while(plan, PlanState.APPLYING)
    for process in (one, other):
        await process.stop()

    assert {result.id for result in results} == {plan.id}
    assert await read_outcomes(world, plan) == {"applied": 10}
    assert set(world.count_sent().values()) == {1}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_many_rows_with_ten_bad_ones_are_named_and_sent_nowhere(database: Database) -> None:
    world = build_world(database, accounts=ROWS)
    process = world.start_process()
    rows = [send(line, f"acct_{line}") for line in range(1, ROWS + 1)]
    bad = range(5, ROWS, ROWS // 10)
    for line in bad:
        rows[line - 1] = send(line, "acct_none")
    plan = None
    for number, start in enumerate(range(0, ROWS, 500), 1):
        is_last = start + 500 >= ROWS
        plan_id = None if plan is None else plan.id
        part = SentPart(plan_id, number, rows[start : start + 500], is_last)
        plan = await process.plans.add_part(MAKER, part)
    assert plan is not None
    found = await process.plans.page_rows(plan, 20, outcomes={RowOutcome.INVALID})
    await process.stop()

    assert plan.state is PlanState.REFUSED
    assert [row.line for row in found] == list(bad)
    assert not world.provider.sent
    assert await read_outcomes(world, plan) == {"pending": ROWS - 10, "invalid": 10}
