"""A plan in the whole gateway: every provider is read and written, over GraphQL and in storage."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from balance_gateway.app.audit_verification import verify_audit
from balance_gateway.config.settings import Settings
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Capability, ProviderKind
from balance_gateway.domain.opening_balance_plans import PlanState, RowOutcome
from balance_gateway.service.opening_balance_plans.requests import SentPart, SentRow
from balance_gateway.service.opening_balances import UpsertRequest
from tests.app.gateway_harness import ADMIN, GatewayHarness, SandboxClient, run_gateway
from tests.app.test_uncertain_writes import without_derived_balances

OTHER = Principal("bob", "acme", frozenset(Scope))
FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
STATE = """{ openingBalancePlan(id: "%s") { state unknown
  connectors { name rows missing } counts { applied uncertain pending rejected } } }"""


async def wait_while(gateway: GatewayHarness, plan_id: str, state: PlanState) -> Any:
    async with asyncio.timeout(60):
        while True:
            plan = await gateway.components.gateway.plans.find(ADMIN, plan_id)
            assert plan is not None
            if plan.state is not state:
                return plan
            await asyncio.sleep(0.02)


async def test_a_plan_for_every_account_is_applied_with_one_uncertain_row(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    """The gateway is replaced in the middle, and the next one goes on."""
    settings = without_derived_balances(demo_settings)
    settable = [
        one
        for one in settings.accounts
        if one.tenant == "acme" and Capability.WRITE_OPENING_BALANCE in one.capabilities
    ]
    kinds = {one.provider for one in settable}
    accounts = [
        one for kind in kinds for one in [one for one in settable if one.provider is kind][:4]
    ]
    # Before the first transactions: Layer answers with the balance of the instant otherwise.
    starts = {
        one.id: FIRST_DAY if Capability.CHOOSE_EFFECTIVE_AT in one.capabilities else None
        for one in accounts
    }
    rows = [
        SentRow(
            line, one.id, UpsertRequest(one.id, 70_000 + line, None, one.currency, starts[one.id])
        )
        for line, one in enumerate(accounts, 1)
    ]
    async with run_gateway(settings) as gateway:
        plans = gateway.components.gateway.plans
        part = SentPart(None, 1, rows, is_last=True, needs_approval=True)
        plan_id = (await plans.add_part(ADMIN, part)).id
    sandbox.inject_fault("drop_after", provider="light", method="PUT", times=1)
    async with run_gateway(settings) as gateway:
        plans = gateway.components.gateway.plans
        ready = await wait_while(gateway, plan_id, PlanState.READING)
        await plans.approve(OTHER, plan_id, ready.content_hash)
        await plans.apply(ADMIN, plan_id)
    async with run_gateway(settings) as gateway:
        plans = gateway.components.gateway.plans
        done = await wait_while(gateway, plan_id, PlanState.APPLYING)
        shown = (await gateway.query(STATE % plan_id))["errors"][0]["extensions"]["code"]
        counts = await plans.count_rows(done)
        found = await plans.page_rows(done, 99, outcomes={RowOutcome.UNCERTAIN})
        rest = await plans.page_rows(done, 99, outcomes={RowOutcome.REJECTED})
        write = await gateway.components.gateway.history.by_id("acme", found[0].write_id or "")
    verified = await verify_audit(settings)

    assert rest == []
    assert (counts[RowOutcome.APPLIED], counts[RowOutcome.UNCERTAIN]) == (len(rows) - 1, 1)
    assert write is not None
    assert write.is_unsettled
    puts = sandbox.control("GET", "requests")["requests"]
    assert [one["method"] for one in puts if one["provider"] == "light"].count("PUT") == len(
        [one for one in accounts if one.provider is ProviderKind.LIGHT]
    )
    assert len(kinds) == 4
    assert shown == "FORBIDDEN"
    [chain] = verified.chains
    assert (chain.rows >= 4 + 2 * len(rows), chain.broken) == (True, None)
