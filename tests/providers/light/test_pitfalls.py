"""One named test for each pitfall of Light's pages."""

from datetime import datetime
from typing import Any

import pytest

from balance_gateway.domain.errors import (
    BadInput,
)
from balance_gateway.domain.money import Money
from tests.providers.conftest import (
    ENTRIES_START,
    SandboxServer,
    make_query,
    make_write,
    sandbox_account,
)


async def test_light_amounts_above_int32_and_2_to_53_are_exact(connect: Any) -> None:
    light = connect("light")

    [treasury] = await light.balances(
        [make_query(sandbox_account("light", "Treasury USD"), "2025-06-01")]
    )
    yen = sandbox_account("light", "Long-term reserve JPY")
    [reserve] = await light.balances([make_query(yen, "2025-06-01")])

    assert treasury.bank == Money(42_949_672_96_01, "USD")
    assert reserve.bank == Money(9_007_199_254_740_993, "JPY")


async def test_light_null_bank_balance_keeps_ledger_balance(connect: Any) -> None:
    account = sandbox_account("light", "New account USD")

    [figures] = await connect("light").balances([make_query(account, "2026-05-07")])

    assert figures.bank is None
    assert figures.ledger is not None
    assert figures.difference is None


async def test_light_zero_is_a_value(connect: Any) -> None:
    account = sandbox_account("light", "Dormant GBP")

    [figures] = await connect("light").balances([make_query(account, "2025-06-01")])

    assert figures.bank == Money(0, "GBP")


async def test_light_amount_correction_keeps_the_date(connect: Any, sandbox: SandboxServer) -> None:
    """'Defaults to current timestamp if not provided.'"""
    account = sandbox_account("light", "Operating USD")
    light = connect("light")

    await light.set_opening_balance(make_write(account, 1))
    await light.set_opening_balance(make_write(account, 2))

    state = sandbox.state("light", account.remote["bank_account_id"])
    assert datetime.fromisoformat(state["opening"]["at"]) == ENTRIES_START
    with pytest.raises(BadInput):
        await light.set_opening_balance(make_write(account, 3, effective_at=None))


async def test_light_follows_redirect_from_old_prefix(sandbox: SandboxServer, make: Any) -> None:
    from balance_gateway.domain.secret import Secret
    from tests.providers.conftest import SANDBOX

    account = sandbox_account("light", "Operating USD")
    key = Secret(SANDBOX.get_credential("light-acme").api_key or "")
    light = make.light(f"{sandbox.url}/light/rest/ext", api_key=key)

    await light.set_opening_balance(make_write(account, 5))
    [figures] = await light.balances([make_query(account, "2025-06-01")])

    assert figures.bank == Money(5, "USD")
