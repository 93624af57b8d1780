"""The field ``BankAccount.balance``: days, ages, batches, partial failure."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from balance_gateway.domain.errors import ProviderBadResponse, ProviderRateLimited, TooStale
from balance_gateway.ports.reads import OnStale
from tests.api.fakes import GatewayHarness, open_client

ALL = "{ bankAccounts { nodes { id balance { asOf bank { amount } } } } }"


async def test_aliased_balances_are_read_in_one_call(harness: GatewayHarness):
    fields = "\n".join(
        f'a{index}: bankAccount(id: "acct_operating") '
        f'{{ balance(asOf: "2026-01-{index + 1:02}") {{ asOf }} }}'
        for index in range(28)
    )

    async with open_client(harness) as client:
        data = await client.data("{" + fields + "}")

    assert len(harness.reads.calls) == 1
    assert len(harness.reads.calls[0]) == 28
    assert data["a27"]["balance"]["asOf"] == "2026-01-28"


async def test_repeated_balance_is_requested_once(harness: GatewayHarness):
    async with open_client(harness) as client:
        await client.data(
            '{ a: bankAccount(id: "acct_yen") { balance { asOf } } balanceTotals { currency }'
            ' b: bankAccount(id: "acct_yen") { x: balance { asOf } y: balance { asOf } } }'
        )

    assert len(harness.reads.calls) == 1
    assert len(harness.reads.calls[0]) == 5


async def test_today_is_resolved_once_per_time_zone(harness: GatewayHarness):
    """At 15:10 UTC it is already the next day in Tokyo, but not in Lima."""
    harness.now = datetime(2026, 11, 21, 15, 10, tzinfo=UTC)

    async with open_client(harness) as client:
        data = await client.data(ALL)

    days = {node["id"]: node["balance"]["asOf"] for node in data["bankAccounts"]["nodes"]}
    assert days["acct_yen"] == "2026-11-22"
    assert days["acct_dinar"] == "2026-11-21"
    assert harness.clock_calls == 1
    assert all(request.is_today for request in harness.reads.calls[0])


async def test_request_at_midnight_has_one_today(harness: GatewayHarness):
    """The clock can be read only once: a second read would be after midnight."""
    instants = iter([datetime(2026, 11, 21, 23, 59, 59, 999999, tzinfo=UTC)])
    harness._clock = lambda: next(instants)  # type: ignore[method-assign]
    harness.gateway = replace(harness.gateway, clock=harness._clock)

    async with open_client(harness) as client:
        data = await client.data(
            '{ bankAccount(id: "acct_operating") { balance { asOf freshness { ageSeconds } } }'
            " balanceTotals { currency } }"
        )

    assert data["bankAccount"]["balance"]["asOf"] == "2026-11-21"


async def test_explicit_current_day_counts_as_today(harness: GatewayHarness):
    async with open_client(harness) as client:
        await client.data(
            '{ bankAccount(id: "acct_operating") { t: balance(asOf: "2026-11-21") { asOf }'
            ' p: balance(asOf: "2026-11-20") { asOf } f: balance(asOf: "2027-01-01") { asOf } } }'
        )

    [requests] = harness.reads.calls
    assert [(request.as_of, request.is_today) for request in requests] == [
        (date(2026, 11, 21), True),
        (date(2026, 11, 20), False),
        (date(2027, 1, 1), False),
    ]


async def test_max_age_and_on_stale_are_passed_on(harness: GatewayHarness):
    query = """query ($age: Int, $stale: OnStale) { bankAccount(id: "acct_yen") {
      balance(maxAgeSeconds: $age, onStale: $stale) { asOf } } }"""

    async with open_client(harness) as client:
        await client.data(query, {"age": 0, "stale": "ERROR"})
        await client.data(query, {"age": None, "stale": None})
        await client.data(query, {})

    asked = [(calls[0].max_age_s, calls[0].on_stale) for calls in harness.reads.calls]
    assert asked == [(0, OnStale.ERROR), (None, OnStale.SERVE), (None, OnStale.SERVE)]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ("maxAgeSeconds: -1", "maxAgeSeconds"),
        ('asOf: "0001-01-01"', "asOf"),
        ('asOf: "9999-12-31"', "asOf"),
    ],
)
async def test_invalid_argument_error_names_the_field(harness: GatewayHarness, arguments, field):
    async with open_client(harness) as client:
        answer = await client.ask(
            f'{{ bankAccount(id: "acct_yen") {{ id balance({arguments}) {{ asOf }} }} }}'
        )

    assert answer["data"] == {"bankAccount": {"id": "acct_yen", "balance": None}}
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["field"] == field
    assert field in error["message"]


async def test_each_failed_balance_has_its_own_error(harness: GatewayHarness):
    harness.reads.balance_answers = {
        "acct_card": ProviderRateLimited("Budget spent.", account_id="acct_card", provider="ASSET"),
        "acct_yen": TooStale("Too old.", account_id="acct_yen"),
        "acct_dinar": ProviderBadResponse("Nonsense.", account_id="acct_dinar"),
    }

    async with open_client(harness) as client:
        answer = await client.ask(ALL)

    nodes = answer["data"]["bankAccounts"]["nodes"]
    assert [node["balance"] is None for node in nodes] == [True, True, False, False, True]
    found = {error["path"][2]: error["extensions"]["code"] for error in answer["errors"]}
    assert found == {0: "PROVIDER_RATE_LIMITED", 1: "PROVIDER_BAD_RESPONSE", 4: "TOO_STALE"}


async def test_defect_is_masked_and_logged_without_its_text(harness: GatewayHarness, caplog):
    harness.reads.whole_call = RuntimeError("secret 12345.67")

    async with open_client(harness) as client:
        response = await client.post(ALL)

    answer = response.json()
    assert answer["data"]["bankAccounts"]["nodes"][0] == {"id": "acct_card", "balance": None}
    assert len(answer["errors"]) == 5
    for error in answer["errors"]:
        assert error["extensions"] == {"code": "INTERNAL", "retryable": False}
        assert response.headers["x-request-id"] in error["message"]
    logged = " ".join(str(vars(record)) for record in caplog.records)
    assert "secret" not in response.text + logged
    assert "RuntimeError" in logged
    assert response.headers["x-request-id"] in logged


async def test_slow_read_times_out_and_other_fields_are_returned(harness: GatewayHarness):
    import asyncio

    harness.reads.gate = asyncio.Event()

    async with open_client(harness, request_timeout_s=0.05) as client:
        answer = await client.ask('{ bankAccount(id: "acct_yen") { name balance { asOf } } }')

    assert answer["data"] == {"bankAccount": {"name": "Yen", "balance": None}}
    assert answer["errors"][0]["extensions"]["code"] == "PROVIDER_TIMEOUT"
    assert answer["errors"][0]["extensions"]["retryable"] is True
    assert harness.reads.cancelled == 1
