"""Whether a write has left, as its connector tells whoever stops waiting for it."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.call_context import (
    SendStatus,
    set_call_context,
)
from tests.providers import fake_servers
from tests.providers.conftest import make_account, make_write
from tests.providers.fake_servers import FakeLayerServer, FakeLightServer, ReceivedRequest, Reply

LIGHT = make_account(ProviderKind.LIGHT)
IDS = {
    "business_id": fake_servers.LAYER_BUSINESS,
    "external_account_id": fake_servers.EXTERNAL,
    "custom_account_id": fake_servers.EXTERNAL,
}
LAYER = make_account(ProviderKind.LAYER, remote=IDS)


class LimitedGate:
    """A gate with so many places, none of which comes free."""

    def __init__(self, count: int) -> None:
        self.left = count

    def slot(self, *, write: bool) -> Any:
        return self

    async def count_resend(self) -> None:
        raise AssertionError("nothing is sent twice here")

    async def __aenter__(self) -> None:
        if self.left == 0:
            await asyncio.Event().wait()
        self.left -= 1

    async def __aexit__(self, *_: object) -> None:
        pass


async def hang(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
    await asyncio.sleep(0.5)
    return None


async def get_sent_state(writing: Awaitable[object], within_s: float = 0.3) -> bool | None:
    """What is told of a write that is given up, or that ends."""
    told = SendStatus()
    set_call_context(send_status=told)
    try:
        async with asyncio.timeout(within_s):
            await writing
    except TimeoutError:
        pass
    return told.sent


async def test_a_write_that_waits_for_a_place_has_not_left(
    make: Any, fake_light: FakeLightServer
) -> None:
    light = make.light(fake_light.url, dependencies={"gate": LimitedGate(0)})

    assert await get_sent_state(light.set_opening_balance(make_write(LIGHT, 1))) is False
    assert fake_light.received == []


async def test_a_write_that_waits_for_a_token_has_not_left(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.token_delay_s = 5.0
    layer = make.layer(fake_layer.url)

    assert await get_sent_state(layer.set_opening_balance(make_write(LAYER, 1))) is False
    assert fake_layer.calls() == []


async def test_a_write_that_reads_what_it_needs_has_not_left(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.handler = hang
    account = make_account(ProviderKind.LAYER, remote=IDS | {"ledger_account_id": "l-1"})
    layer = make.layer(fake_layer.url, access_token=Secret(fake_servers.ACCESS_TOKEN))

    assert await get_sent_state(layer.set_opening_balance(make_write(account, 1))) is False
    assert [one.method for one in fake_layer.received] == ["GET"]


async def test_a_write_that_is_not_answered_has_left(
    make: Any, fake_light: FakeLightServer
) -> None:
    fake_light.handler = hang
    light = make.light(fake_light.url)

    assert await get_sent_state(light.set_opening_balance(make_write(LIGHT, 1))) is True


async def test_a_write_whose_second_call_waits_has_left(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    """Layer took the balance with the first."""
    fake_layer.reply_with(Reply(body={"data": {}}))
    token = Secret(fake_servers.ACCESS_TOKEN)
    layer = make.layer(fake_layer.url, dependencies={"gate": LimitedGate(1)}, access_token=token)

    assert await get_sent_state(layer.set_opening_balance(make_write(LAYER, 1))) is True
    assert [one.method for one in fake_layer.received] == ["POST"]


@pytest.mark.parametrize("told", [None, True])
def test_once_a_write_has_left_it_stays_so(*, told: bool | None) -> None:
    write = SendStatus(sent=told)

    write.mark_waiting()

    assert write.sent is (told or False)
