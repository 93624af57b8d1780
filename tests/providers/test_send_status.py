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
from tests.providers import doubles
from tests.providers.conftest import make_account, make_write
from tests.providers.doubles import LayerDouble, LightDouble, Received, Reply

LIGHT = make_account(ProviderKind.LIGHT)
IDS = {
    "business_id": doubles.LAYER_BUSINESS,
    "external_account_id": doubles.EXTERNAL,
    "custom_account_id": doubles.EXTERNAL,
}
LAYER = make_account(ProviderKind.LAYER, remote=IDS)


class Places:
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


async def hang(_: Received, __: asyncio.StreamWriter) -> Reply | None:
    await asyncio.sleep(0.5)
    return None


async def left(writing: Awaitable[object], within_s: float = 0.3) -> bool | None:
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
    make: Any, light_double: LightDouble
) -> None:
    light = make.light(light_double.url, wiring={"gate": Places(0)})

    assert await left(light.set_opening_balance(make_write(LIGHT, 1))) is False
    assert light_double.received == []


async def test_a_write_that_waits_for_a_token_has_not_left(
    make: Any, layer_double: LayerDouble
) -> None:
    layer_double.token_delay_s = 5.0
    layer = make.layer(layer_double.url)

    assert await left(layer.set_opening_balance(make_write(LAYER, 1))) is False
    assert layer_double.calls() == []


async def test_a_write_that_reads_what_it_needs_has_not_left(
    make: Any, layer_double: LayerDouble
) -> None:
    layer_double.take_over = hang
    account = make_account(ProviderKind.LAYER, remote=IDS | {"ledger_account_id": "l-1"})
    layer = make.layer(layer_double.url, access_token=Secret(doubles.ACCESS_TOKEN))

    assert await left(layer.set_opening_balance(make_write(account, 1))) is False
    assert [one.method for one in layer_double.received] == ["GET"]


async def test_a_write_that_is_not_answered_has_left(make: Any, light_double: LightDouble) -> None:
    light_double.take_over = hang
    light = make.light(light_double.url)

    assert await left(light.set_opening_balance(make_write(LIGHT, 1))) is True


async def test_a_write_whose_second_call_waits_has_left(
    make: Any, layer_double: LayerDouble
) -> None:
    """Layer took the balance with the first."""
    layer_double.reply_with(Reply(body={"data": {}}))
    token = Secret(doubles.ACCESS_TOKEN)
    layer = make.layer(layer_double.url, wiring={"gate": Places(1)}, access_token=token)

    assert await left(layer.set_opening_balance(make_write(LAYER, 1))) is True
    assert [one.method for one in layer_double.received] == ["POST"]


@pytest.mark.parametrize("told", [None, True])
def test_once_a_write_has_left_it_stays_so(*, told: bool | None) -> None:
    write = SendStatus(sent=told)

    write.mark_waiting()

    assert write.sent is (told or False)
