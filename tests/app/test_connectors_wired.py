"""What lies around every call to a provider is wired: gates, budgets, retries, metrics."""

from balance_gateway.config.settings import Settings
from balance_gateway.service.opening_balances import Uncertain
from tests.app.worlds import Sandbox, changed, running


async def test_writes_that_are_not_answered_count_as_failures_and_open_the_breaker(
    demo_settings: Settings, sandbox: Sandbox
) -> None:
    """They were once cut off by the writer, counted as cancelled, and said nothing of Light."""
    sandbox.fault("delay", provider="light", method="PUT", delay_s=3.0)
    call = {"connector": "light-acme", "operation": "opening-balance write"}

    async with running(changed(demo_settings, timeout_s=0.1)) as house:
        results = [await house.write(minor) for minor in range(10)]
        timed_out = await house.metric("upstream_calls_total", outcome="PROVIDER_TIMEOUT", **call)
        is_open = await house.metric("breaker_open", connector="light-acme")

    assert {type(result) for result in results} == {Uncertain}
    assert (timed_out, is_open) == (10.0, 1.0)
