"""Whether a write was sent, as reported to a caller that stops waiting for it."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.call_context import SendStatus, set_call_context
from tests.providers import fake_servers
from tests.providers.conftest import make_account, make_write
from tests.providers.fake_servers import FakeLayerServer, FakeLightServer, ReceivedRequest, Reply

LIGHT = make_account(ProviderKind.LIGHT)
IDS = {
    "business_id": fake_servers.LAYER_BUSINESS,
    "external_account_id": fake_servers.EXTERNAL,
    "custom_account_id": fake_servers.EXTERNAL,
}
LAYER = make_account(ProviderKind.LAYER, remote=IDS, normal_balance=Side.DEBIT)


class LimitedGate:
    """A call gate with a number of slots, none of which is ever released."""

    def __init__(self, count: int) -> None:
        self.free = count

    def slot(self, *, write: bool) -> Any:
        return self

    async def count_resend(self) -> None:
        raise AssertionError("no resend is expected")

    async def __aenter__(self) -> None:
        if self.free == 0:
            await asyncio.Event().wait()
        self.free -= 1

    async def __aexit__(self, *_: object) -> None:
        pass


async def hang(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
    await asyncio.sleep(0.5)
    return None


async def get_sent_state(writing: Awaitable[object], within_s: float = 0.3) -> bool | None:
    """Run a write with a time limit and return its send status."""
    status = SendStatus()
    set_call_context(send_status=status)
    try:
        async with asyncio.timeout(within_s):
            await writing
    except TimeoutError:
        pass
    return status.sent


async def test_write_waiting_for_slot_was_not_sent(make: Any, fake_light: FakeLightServer) -> None:
    light = make.light(fake_light.url, dependencies={"gate": LimitedGate(0)})

    assert await get_sent_state(light.set_opening_balance(make_write(LIGHT, 1))) is False
    assert fake_light.received == []


async def test_write_waiting_for_token_was_not_sent(make: Any, fake_layer: FakeLayerServer) -> None:
    fake_layer.token_delay_s = 5.0
    layer = make.layer(fake_layer.url)

    assert await get_sent_state(layer.set_opening_balance(make_write(LAYER, 1))) is False
    assert fake_layer.calls() == []


async def test_write_that_is_still_reading_was_not_sent(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.handler = hang
    account = make_account(ProviderKind.LAYER, remote=IDS | {"ledger_account_id": "l-1"})
    layer = make.layer(fake_layer.url, access_token=Secret(fake_servers.ACCESS_TOKEN))

    assert await get_sent_state(layer.set_opening_balance(make_write(account, 1))) is False
    assert [one.method for one in fake_layer.received] == ["GET"]


async def test_write_without_response_was_sent(make: Any, fake_light: FakeLightServer) -> None:
    fake_light.handler = hang
    light = make.light(fake_light.url)

    assert await get_sent_state(light.set_opening_balance(make_write(LIGHT, 1))) is True


async def test_write_waiting_for_second_call_was_sent(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    """Layer has set the balance with the first call."""
    fake_layer.reply_with(Reply(body={"data": {}}))
    token = Secret(fake_servers.ACCESS_TOKEN)
    layer = make.layer(fake_layer.url, dependencies={"gate": LimitedGate(1)}, access_token=token)

    assert await get_sent_state(layer.set_opening_balance(make_write(LAYER, 1))) is True
    assert [one.method for one in fake_layer.received] == ["POST"]


@pytest.mark.parametrize("sent", [None, True])
def test_sent_write_stays_sent(*, sent: bool | None) -> None:
    write = SendStatus(sent=sent)

    write.mark_waiting()

    assert write.sent is (sent or False)
