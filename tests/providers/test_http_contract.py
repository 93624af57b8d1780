"""What every provider over HTTP does beyond the contract: calls, credentials, ends of days.

Its cases are those of the contract suite that the sandbox imitates.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from balance_gateway.domain.accounts import Side
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.domain.errors import (
    BadInput,
    GatewayError,
    ProviderCredentialsRejected,
    ProviderError,
)
from balance_gateway.domain.money import Money
from balance_gateway.domain.secret import Secret
from tests.providers.conftest import (
    SandboxServer,
    assert_contains_no_secret,
    make_query,
    make_write,
)
from tests.providers.contract import find_cases
from tests.providers.sandbox_case import SandboxCase, list_calls

Connect = Callable[..., Any]
CASES = [case for case in find_cases() if isinstance(case, SandboxCase)]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> SandboxCase:
    found: SandboxCase = request.param
    return found


@pytest.fixture(params=["pooled", "httpx"])
def connect(connect: Connect, request: pytest.FixtureRequest) -> Connect:
    """Return a function that connects an adapter to the sandbox over the transport."""
    return functools.partial(connect, transport=request.param)


async def test_probe_is_one_successful_read(
    connect: Connect, case: SandboxCase, sandbox: SandboxServer
) -> None:
    await connect(case.name).probe()

    assert [one["method"] for one in list_calls(sandbox)] == ["GET"]


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])
async def test_day_ends_in_the_accounts_zone(
    connect: Connect, case: SandboxCase, sandbox: SandboxServer, zone: str
) -> None:
    """A provider that receives a date without a zone is tested in UTC only."""
    zone = zone if case.day_has_time_zone else "UTC"
    account = replace(case.operating, time_zone=ZoneInfo(zone))
    provider = connect(case.name)
    [before] = await provider.balances([make_query(account, "2026-05-06")])
    [next_before] = await provider.balances([make_query(account, "2026-05-07")])
    end = day_end_exclusive(date(2026, 5, 6), account.time_zone)
    last, first = end.timestamp() - 0.000001, end.timestamp()
    for amount, at in ((100, last), (10_000, first)):
        moment = datetime.fromtimestamp(at, UTC).isoformat()
        entry = {
            "provider": case.name,
            "account": account.remote[case.remote_key],
            "amount": case.format_entry_amount(amount),
        }
        sandbox.control("POST", "transactions", entry | {"at": moment, "book": "ledger"})

    [after] = await provider.balances([make_query(account, "2026-05-06")])
    [next_after] = await provider.balances([make_query(account, "2026-05-07")])

    assert after.ledger.minor_units - before.ledger.minor_units == 100
    assert next_after.ledger.minor_units - next_before.ledger.minor_units == 10_100


async def test_each_group_uses_one_call_in_order(
    connect: Connect, case: SandboxCase, sandbox: SandboxServer
) -> None:
    provider = connect(case.name)
    accounts = (case.owed, case.operating, case.third)
    queries = [make_query(account, "2026-05-06") for account in accounts]
    await provider.balances(queries[:1])
    sandbox.control("DELETE", "requests")

    together = await provider.balances(queries)

    groups = {provider.balance_group(query) for query in queries}
    assert len(groups) == (1 if len(case.group) > 1 else 3)
    assert len(sandbox.requests()) == len(groups)
    alone = [(await provider.balances([query]))[0] for query in queries]
    assert list(together) == alone


async def test_group_depends_on_day_and_zone(connect: Connect, case: SandboxCase) -> None:
    provider = connect(case.name)
    account = case.operating
    today, tomorrow = make_query(account, "2026-05-07"), make_query(account, "2026-05-08")

    assert provider.balance_group(today) != provider.balance_group(tomorrow)
    elsewhere = make_query(replace(account, time_zone=ZoneInfo("Asia/Tokyo")), "2026-05-07")
    differs = provider.balance_group(elsewhere) != provider.balance_group(today)
    assert differs is case.day_has_time_zone


async def test_unknown_account_does_not_fail_others_of_its_call(
    connect: Connect, case: SandboxCase
) -> None:
    result = await connect(case.name).balances(
        [make_query(case.unknown, "2026-05-06"), make_query(case.operating, "2026-05-06")]
    )

    assert isinstance(result[0], GatewayError)
    assert result[0].account_id == "acct_unknown"
    assert isinstance(result[1], BalanceFigures)


async def test_normal_side_is_read_once_and_only_if_not_configured(
    connect: Connect, case: SandboxCase, sandbox: SandboxServer
) -> None:
    provider = connect(case.name)
    if case.owed_side is not None:
        assert await provider.normal_balance(case.owed) is case.owed_side
        sandbox.control("DELETE", "requests")
        assert await provider.normal_balance(case.owed) is case.owed_side

    configured = replace(case.owed, normal_balance=Side.DEBIT)
    assert await provider.normal_balance(configured) is Side.DEBIT
    assert sandbox.requests() == []


async def test_amount_in_another_currency_requests_no_token(
    connect: Connect, case: SandboxCase, sandbox: SandboxServer
) -> None:
    write = replace(case.write(case.operating, 1), amount=Money(1, "CHF"))

    with pytest.raises(BadInput) as caught:
        await connect(case.name).set_opening_balance(write)

    assert caught.value.field == "amount.currency"
    assert sandbox.requests() == []


async def test_instant_without_an_offset_is_never_sent(
    connect: Connect, case: SandboxCase, sandbox: SandboxServer
) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
    write = make_write(case.operating, 1, effective_at=naive)

    with pytest.raises(BadInput) as caught:
        await connect(case.name).set_opening_balance(write)

    assert caught.value.field == "effectiveAt"
    assert not [one for one in sandbox.requests() if one["method"] in {"PUT", "POST"}]


async def test_wrong_credentials_are_reported(connect: Connect, case: SandboxCase) -> None:
    provider = connect(case.name, **{case.secret_option: Secret("wrong-client-secret-8c")})
    account = case.operating_with_side

    with pytest.raises(ProviderCredentialsRejected) as read:
        await provider.balances([make_query(account, "2026-05-07")])
    with pytest.raises(ProviderCredentialsRejected) as write:
        await provider.set_opening_balance(case.write(account, 1))

    assert not write.value.maybe_applied
    for caught in (read, write):
        assert_contains_no_secret(caught.value)


async def test_account_of_another_tenant_is_refused(connect: Connect, case: SandboxCase) -> None:
    provider = connect(case.name, credential=f"{case.name}-globex")
    account = case.operating_with_side

    with pytest.raises(ProviderError):
        await provider.balances([make_query(account, "2026-05-07")])
    with pytest.raises(ProviderError) as caught:
        await provider.set_opening_balance(case.write(account, 1))

    assert not caught.value.maybe_applied


async def test_ends_of_the_calendar_in_a_far_zone_never_crash(
    connect: Connect, case: SandboxCase
) -> None:
    account = replace(case.operating, time_zone=ZoneInfo("Pacific/Kiritimati"))

    for day in (date.max, date.min):
        try:
            [result] = await connect(case.name).balances([make_query(account, day.isoformat())])
        except (BadInput, ProviderError) as error:
            assert_contains_no_secret(error)
        else:
            assert isinstance(result, BalanceFigures)
