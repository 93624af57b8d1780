"""An uncertain write in the whole gateway: it is visible, refuses comparisons, and is settled."""

from dataclasses import replace

from balance_gateway.config.settings import Settings
from balance_gateway.ports.reads import FreshnessState
from balance_gateway.service.opening_balances import (
    Applied,
    ExpectedPrevious,
    Rejected,
    Uncertain,
    UpsertRequest,
    UpsertResult,
)
from tests.app.gateway_harness import (
    ADMIN,
    LIGHT,
    AdvancingClock,
    GatewayHarness,
    SandboxClient,
    run_gateway,
)

SHOWN = f"""{{ bankAccount(id: "{LIGHT}") {{
  openingBalance {{ amount {{ amount }} source freshness {{ state }} }}
  unsettledWrite {{ writeId amount {{ amount }} }} }} }}"""


def without_derived_balances(settings: Settings) -> Settings:
    accounts = [replace(one, derive_opening_balance_as_of=None) for one in settings.accounts]
    return replace(settings, accounts=tuple(accounts))


async def compare_and_set(gateway: GatewayHarness, expected: int) -> UpsertResult:
    request = UpsertRequest(
        LIGHT, 900_000, None, "EUR", expected_previous=ExpectedPrevious(expected)
    )
    return await gateway.components.gateway.writes.upsert(ADMIN, request)


async def test_an_uncertain_write_is_shown_until_a_person_settles_it(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    """The older value was once shown as LIVE, and a comparison with it was applied."""
    async with run_gateway(without_derived_balances(demo_settings)) as gateway:
        assert isinstance(await gateway.write(70_000), Applied)
        sandbox.inject_fault("drop_after", provider="light", method="PUT", times=1)
        lost = await gateway.write(80_000)
        shown = (await gateway.query(SHOWN))["data"]["bankAccount"]
        refused = await compare_and_set(gateway, 70_000)
        reconciler = gateway.components.gateway.reconciler
        assert isinstance(lost, Uncertain)
        await reconciler.settle_by_hand(ADMIN, lost.write_id, applied=True, note="Seen there.")
        settled = (await gateway.query(SHOWN))["data"]["bankAccount"]
        compared = await compare_and_set(gateway, 80_000)
        count = await gateway.read_metric(
            "writes_settled_total", connector="light-acme", how="person"
        )

    recorded = {"source": "RECORDED_BY_GATEWAY", "freshness": {"state": "CACHED"}}
    assert shown == {
        "openingBalance": {"amount": {"amount": "700.00"}, **recorded},
        "unsettledWrite": {"writeId": lost.write_id, "amount": {"amount": "800.00"}},
    }
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.retryable) == ("WRITE_UNSETTLED", True)
    assert settled == {
        "openingBalance": {"amount": {"amount": "800.00"}, **recorded},
        "unsettledWrite": None,
    }
    assert isinstance(compared, Applied)
    assert compared.opening_balance.state is FreshnessState.CACHED
    assert count == 1


async def test_a_lost_write_is_read_back_through_the_derived_balance(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    async with run_gateway(demo_settings) as gateway:
        await gateway.write(70_000)
        sandbox.inject_fault("drop_after", provider="light", method="PUT", times=1)
        result = await gateway.write(80_000)

    assert isinstance(result, Applied)
    assert result.verified


async def test_a_restarted_gateway_settles_what_can_no_longer_take_effect(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    """The cached value is dropped as well: the recorded balance is cached for an hour."""
    clock = AdvancingClock()
    async with run_gateway(demo_settings, clock) as gateway:
        await gateway.write(70_000)
        sandbox.inject_fault("drop_before", provider="light", method="PUT", times=1)
        lost = await gateway.write(80_000)
        within = await compare_and_set(gateway, 70_000)
    clock.advance(120)
    async with run_gateway(demo_settings, clock) as gateway:
        await gateway.components.gateway.reconciler.settle_all()  # type: ignore[attr-defined]
        compared = await compare_and_set(gateway, 70_000)

    assert isinstance(lost, Uncertain)
    assert isinstance(within, Rejected)
    assert isinstance(compared, Applied)
