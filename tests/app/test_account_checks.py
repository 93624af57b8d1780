"""The checks of accounts say what serving says, within the budget and in as few calls."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from balance_gateway.app.account_checks import check_accounts
from balance_gateway.app.probes import open_checks
from balance_gateway.config.settings import Settings
from balance_gateway.domain.balances import BalanceFigures, BalanceQuery
from balance_gateway.domain.errors import GatewayError
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.sliding_window import WINDOW_S, MemorySlidingWindow
from tests.app.gateway_harness import SandboxClient, run_gateway
from tests.pipeline.fakes import FakeProvider, account
from tests.pipeline.virtual_time import virtual_time

UNKNOWN_ID = "7d9f2b7e-0a35-4c1c-9d0e-5a8d3a1c0b11"

#: What is wrong with an account of the demo.
WRONG: dict[str, dict[str, Any]] = {
    "light-operating-eur": {"remote": {"bank_account_id": UNKNOWN_ID}},
    "light-payroll-eur": {"currency": "JPY"},
    "asset-company-card": {"remote": {"ledger_id": UNKNOWN_ID}},
    # Only its bank feed has a use for this id.
    "asset-payroll-checking": {"remote": {"external_account_id": UNKNOWN_ID}},
    "layer-operating-checking": {"remote": {"external_account_id": UNKNOWN_ID}},
    "layer-company-card": {"remote": {"ledger_account_id": UNKNOWN_ID}},
}

FIELDS = """... on BankAccount {
  balance { asOf } bankFeed { state }
  openingBalance { source } derived: balance(asOf: "2026-01-01") { asOf } }"""


def break_accounts(settings: Settings) -> Settings:
    accounts = []
    for one in settings.accounts:
        changes = dict(WRONG.get(one.id, {}))
        if "remote" in changes:
            changes["remote"] = {**one.remote, **changes["remote"]}
        accounts.append(replace(one, **changes))
    assert set(WRONG) <= {one.id for one in accounts}
    return replace(settings, accounts=tuple(accounts))


async def test_the_checks_say_what_serving_says_in_one_call_per_business(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    settings = break_accounts(demo_settings)
    accounts = [one for one in settings.accounts if one.tenant == "acme"]
    asset = [one for one in accounts if one.connector == "asset-acme"]
    calls = []

    async with open_checks(settings) as checks:
        await checks.check_accounts(asset, lambda _: None)
        calls = [one["path"] for one in sandbox.control("GET", "requests")["requests"]]
        found = await checks.check_accounts(accounts, lambda _: None)
    async with run_gateway(settings) as gateway:
        ids = json.dumps(list(WRONG))
        served = await gateway.query(f"{{ nodes(ids: {ids}) {{ {FIELDS} }} }}")

    messages: dict[str, set[str]] = {}
    for error in served["errors"]:
        messages.setdefault(error["extensions"]["accountId"], set()).add(error["message"])
    assert {name: {one.message for one in errors} for name, errors in found.items() if errors} == (
        messages
    )
    assert set(messages) == set(WRONG)
    # One for the day, and one for the day before all entries, where opening balances come from.
    assert sum("trial-balance" in path for path in calls) == 2 < len(asset)
    assert sum("external-account" in path for path in calls) == 1


async def test_the_checks_wait_for_the_budget() -> None:
    with virtual_time() as time:
        window = MemorySlidingWindow(time.monotonic)
        limiter = RateLimiter(2, window, monotonic=time.monotonic, wall_s=time.wall_s)

        class BudgetedProvider(FakeProvider):
            async def balances(
                self, queries: Sequence[BalanceQuery]
            ) -> Sequence[BalanceFigures | GatewayError]:
                await limiter.acquire()
                return await super().balances(queries)

        provider, progress = BudgetedProvider(), []
        accounts = [account(f"acct_{number}") for number in range(20)]
        began_s = time.monotonic()

        found = await check_accounts({"main": provider}, accounts, time.clock, progress.append)

        assert [errors for errors in found.values() if errors] == []
        assert time.monotonic() - began_s == pytest.approx(9 * WINDOW_S)
    assert progress == list(range(1, 21))
