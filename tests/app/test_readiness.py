"""Whether a gateway that lost its storage, or its clock, is ready."""

from pathlib import Path

from balance_gateway.config.settings import Settings
from balance_gateway.service.opening_balances import Rejected
from tests.app.gateway_harness import GatewayHarness, SandboxClient, run_gateway


def find_storage(settings: Settings) -> Path:
    return Path(settings.storage.url.reveal().removeprefix("sqlite:///"))


async def read_status(gateway: GatewayHarness) -> int:
    return (await gateway.client.get("/readyz")).status_code


async def test_a_gateway_that_lost_its_storage_is_not_ready(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    """It was ready, took writes into a deleted file, and sent them again after its restart."""
    async with run_gateway(demo_settings) as gateway:
        before = await read_status(gateway)
        find_storage(demo_settings).unlink()
        after = await gateway.read_readiness()
        refused = await gateway.write(70_000)

    assert before == 200
    assert after == {"status": "not ready", "checks": {"storage": "failed", "cache": "ok"}}
    assert isinstance(refused, Rejected)
    assert sandbox.count_calls("light", "PUT") == 0
