"""Making and approving plans: what is refused, by whom, and that nothing is sent meanwhile."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.errors import BadInput, Forbidden
from balance_gateway.domain.opening_balance_plans import (
    PLAN_ROWS_MAX,
    Plan,
    PlanState,
    RowOutcome,
)
from balance_gateway.service.opening_balance_plans.requests import SentPart, SentRow
from balance_gateway.service.opening_balances import UpsertRequest
from tests.pipeline.virtual_time import VirtualTime
from tests.service.fakes import READER
from tests.service.plan_world import MAKER, OTHER, PlanProcess, PlanWorld, send


@pytest.fixture
async def world(time: VirtualTime) -> PlanWorld:
    return PlanWorld(time)


@pytest.fixture
async def process(world: PlanWorld) -> PlanProcess:
    """A process whose background work is stopped: it reads and sends nothing."""
    process = world.start_process()
    await process.stop()
    return process


def build_part(*rows: SentRow, number: int = 1, plan: Plan | None = None, **more) -> SentPart:
    facts = {"is_last": False, **more}
    return SentPart(None if plan is None else plan.id, number, rows, **facts)


def amount(line: int, account_id: str, **more) -> SentRow:
    facts = {"minor_units": 1, "amount_text": None, "currency": "EUR", **more}
    return SentRow(line, account_id, UpsertRequest(account_id, **facts))


async def test_each_bad_row_is_named_by_its_line_and_nothing_is_sent(
    world: PlanWorld, process: PlanProcess
) -> None:
    unwritable = replace(world.accounts[2], id="acct_read_only", capabilities=frozenset())
    foreign = replace(world.accounts[2], id="acct_theirs", tenant="globex")
    world.directory = world.build_directory([*world.accounts, unwritable, foreign])
    world.remote_accounts["acct_1_again"] = "remote acct_1"
    again = replace(world.accounts[0], id="acct_1_again")
    world.directory = world.build_directory([*world.accounts, unwritable, foreign, again])
    process = world.start_process()
    rows = [
        send(2),
        amount(3, "acct_1_again"),
        amount(4, "acct_theirs"),
        amount(5, "acct_none\0"),
        amount(6, "acct_read_only"),
        amount(7, "acct_2", currency="USD"),
        amount(8, "acct_2", minor_units=None, amount_text="1.001"),
        amount(9, "acct_2", memo="x" * 1001),
        SentRow(10, "acct_2", BadInput("An amount must be a number.", field="amount.amount")),
        send(11, "acct_2"),
        send(12, "acct_2"),
    ]
    plan = await process.plans.add_part(MAKER, build_part(*rows, is_last=True))
    bad = await process.plans.page_rows(plan, 99, outcomes={RowOutcome.INVALID})
    counts = await process.plans.count_rows(plan)
    with pytest.raises(BadInput, match="invalid rows"):
        await process.plans.apply(MAKER, plan.id)
    await process.stop()

    assert plan.state is PlanState.REFUSED
    assert [(row.line, row.code, row.field) for row in bad] == [
        (3, "BAD_USER_INPUT", "accountId"),
        (4, "ACCOUNT_NOT_FOUND", None),
        (5, "ACCOUNT_NOT_FOUND", None),
        (6, "UNSUPPORTED_BY_PROVIDER", None),
        (7, "BAD_USER_INPUT", "amount.currency"),
        (8, "BAD_USER_INPUT", "amount.amount"),
        (9, "BAD_USER_INPUT", "memo"),
        (10, "BAD_USER_INPUT", "amount.amount"),
        (12, "BAD_USER_INPUT", "accountId"),
    ]
    assert (counts[RowOutcome.INVALID], counts[RowOutcome.PENDING]) == (9, 2)
    assert bad[2].account_id == ""
    assert not world.provider.sent
    assert not world.journal.records


async def test_a_plan_is_sent_in_parts_in_any_number_of_attempts(process: PlanProcess) -> None:
    first = build_part(send(1), idempotency_key="k")
    plans = [await process.plans.add_part(MAKER, first) for _ in range(2)]
    second = build_part(send(2, "acct_2"), number=2, plan=plans[0], is_last=True)
    done = [await process.plans.add_part(MAKER, second) for _ in range(2)]

    assert plans[0] == plans[1]
    assert (done[0], done[0].state, done[0].row_count) == (done[1], PlanState.READING, 2)


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"number": 3}, "input.part"),
        ({"number": 1, "rows": [send(9)]}, "input.planId"),
        ({"rows": [send(1)]}, "input.rows"),
        ({"rows": [send(2), send(2)]}, "input.rows[1].line"),
        ({"rows": [send(0)]}, "input.rows[0].line"),
        ({"needs_approval": True}, "input.needsApproval"),
        ({"plan_id": None}, "input.planId"),
        ({"plan_id": "none"}, "input.planId"),
        ({"plan_id": "no\0ne"}, "input.planId"),
        ({"number": 1, "plan_id": None, "idempotency_key": ""}, "input.idempotencyKey"),
        ({"number": 1, "plan_id": None, "idempotency_key": "\ud800"}, "input.idempotencyKey"),
    ],
)
async def test_a_part_that_does_not_fit_changes_nothing(
    world: PlanWorld, process: PlanProcess, part: dict, field: str
) -> None:
    plan = await process.plans.add_part(MAKER, build_part(send(1)))
    fitting = build_part(send(2, "acct_2"), number=2, plan=plan)

    with pytest.raises(BadInput) as refused:
        await process.plans.add_part(MAKER, replace(fitting, **part))

    assert refused.value.field == field
    assert world.store.plans == {plan.id: plan}
    assert await process.plans.page_rows(plan, 9) == world.list_rows(plan)
    assert len(world.list_rows(plan)) == 1


async def test_a_plan_of_too_many_rows_is_refused(world: PlanWorld, process: PlanProcess) -> None:
    plan = await process.plans.add_part(MAKER, build_part(send(1)))
    world.store.plans[plan.id] = replace(plan, row_count=PLAN_ROWS_MAX)

    with pytest.raises(BadInput, match="at most 100000 rows"):
        await process.plans.add_part(MAKER, build_part(send(2), number=2, plan=plan))


async def test_only_its_maker_adds_to_a_plan(process: PlanProcess) -> None:
    """Another one could add rows and then approve them."""
    plan = await process.plans.add_part(MAKER, build_part(send(1)))

    with pytest.raises(Forbidden):
        await process.plans.add_part(OTHER, build_part(send(2), number=2, plan=plan))


@pytest.mark.parametrize("name", ["alice", "Alice", "ａｌｉｃｅ", " alice"])
async def test_the_maker_cannot_approve_its_own_plan(world: PlanWorld, name: str) -> None:
    """Two keys may have one name, and a token's subject may be a key's name."""
    process = world.start_process()
    plan = await world.make_plan(process, needs_approval=True)
    same = Principal(name, "acme", frozenset(Scope))

    with pytest.raises(Forbidden, match="Another principal"):
        await process.plans.approve(same, plan.id)
    with pytest.raises(BadInput, match="approval of another principal"):
        await process.plans.apply(same, plan.id)
    await process.stop()

    assert world.store.steps == ["made"]
    assert not world.provider.sent


async def test_an_approved_plan_is_applied_with_exactly_that_content(world: PlanWorld) -> None:
    process = world.start_process()
    plan = await world.make_plan(process, needs_approval=True)
    with pytest.raises(BadInput, match="contentHash"):
        await process.plans.approve(OTHER, plan.id, "0" * 64)
    approved = [await process.plans.approve(OTHER, plan.id, plan.content_hash) for _ in range(2)]
    done = await world.apply_plan(process, plan)
    await process.stop()

    assert approved[0] == approved[1]
    assert approved[0].approval is not None
    assert approved[0].approval.principal == "bob"
    assert approved[0].approval.content_hash == plan.content_hash
    assert world.list_outcomes(done) == ["applied"] * 3
    assert world.store.steps == ["made", "approved", "applied", "finished"]


async def test_a_plan_is_approved_only_when_it_needs_it_and_is_ready(
    world: PlanWorld, process: PlanProcess
) -> None:
    waiting = await process.plans.add_part(MAKER, build_part(send(1), needs_approval=True))
    without = await process.plans.add_part(MAKER, build_part(send(1), is_last=True))

    for plan, reason in ((waiting, "not complete"), (without, "needs no approval")):
        with pytest.raises(BadInput, match=reason):
            await process.plans.approve(OTHER, plan.id)
    with pytest.raises(BadInput, match="still reads"):
        await process.plans.apply(MAKER, without.id)


async def test_every_use_of_a_plan_needs_the_scope(world: PlanWorld, process: PlanProcess) -> None:
    plan = await process.plans.add_part(MAKER, build_part(send(1)))
    for call in (
        process.plans.add_part(READER, build_part(send(2))),
        process.plans.approve(READER, plan.id),
        process.plans.apply(READER, plan.id),
        process.plans.find(READER, plan.id),
    ):
        with pytest.raises(Forbidden, match="balances:write"):
            await call

    assert world.store.plans == {plan.id: plan}


async def test_a_plan_of_another_tenant_is_one_that_does_not_exist(process: PlanProcess) -> None:
    plan = await process.plans.add_part(MAKER, build_part(send(1)))
    theirs = Principal("bob", "globex", frozenset(Scope))

    assert await process.plans.find(theirs, plan.id) is None
    messages: list[Sequence[object]] = []
    for plan_id in (plan.id, "none"):
        for use in (process.plans.approve, process.plans.apply):
            with pytest.raises(BadInput) as refused:
                await use(theirs, plan_id)
            messages.append(refused.value.args)
    assert len(set(messages)) == 1


async def test_what_a_connector_cannot_do_is_in_the_summary(world: PlanWorld) -> None:
    without_memo = frozenset(Capability) - {Capability.WRITE_MEMO, Capability.READ_BANK_FEED}
    world.accounts[1] = replace(world.accounts[1], capabilities=without_memo)
    world.directory = world.build_directory(world.accounts)
    process = world.start_process()
    plan = await world.make_plan(process)
    await process.stop()

    assert plan.summary is not None
    [connector] = plan.summary.connectors
    assert (connector.name, connector.rows) == ("main", 3)
    assert connector.missing == {Capability.WRITE_MEMO}
