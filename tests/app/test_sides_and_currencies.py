"""A side or a currency that is not known is refused by the whole gateway, never guessed."""

import json
import sqlite3
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from msgspec import structs

from balance_gateway.config.settings import Settings
from balance_gateway.domain.accounts import Account
from balance_gateway.service.opening_balances import (
    Applied,
    ExpectedPrevious,
    Rejected,
    UpsertRequest,
)
from tests.app.gateway_harness import ADMIN, LIGHT, GatewayHarness, SandboxClient, run_gateway

CARD = "layer-company-card"


def with_account(settings: Settings, account_id: str, **changes: Any) -> Settings:
    """Return the settings with changes to one account."""
    assert account_id in [one.id for one in settings.accounts]
    accounts = [
        replace(one, **changes) if one.id == account_id else one for one in settings.accounts
    ]
    return replace(settings, accounts=tuple(accounts))


def find_account(settings: Settings, account_id: str) -> Account:
    (found,) = [one for one in settings.accounts if one.id == account_id]
    return found


def with_compiled(settings: Settings, *, compiled: bool) -> Settings:
    return replace(settings, server=structs.replace(settings.server, compiled=compiled))


async def set_opening(gateway: GatewayHarness, account_id: str, **fields: Any) -> Any:
    request = UpsertRequest(account_id=account_id, amount_text=None, **fields)
    return await gateway.components.gateway.writes.upsert(ADMIN, request)


def describe_errors(response: Any) -> list[Any]:
    return [
        (error["path"], error["extensions"]["code"], error["message"])
        for error in response.get("errors", [])
    ]


def ask_nodes(fields: str, *account_ids: str) -> str:
    return f"{{ nodes(ids: {json.dumps(account_ids)}) {{ id ... on BankAccount {{ {fields} }} }} }}"


@pytest.fixture
def local_id(demo_settings: Settings) -> str:
    local = [one for one in demo_settings.accounts if one.provider.value == "local"]
    return next(one.id for one in local if one.currency == "EUR")


async def test_a_layer_card_is_read_on_the_side_that_its_tree_has(
    demo_settings: Settings,
) -> None:
    """Without ``ledger_account_id`` the opening balance of a card was +4512.90."""
    card = find_account(demo_settings, CARD)
    remote = {key: each for key, each in card.remote.items() if key != "ledger_account_id"}
    settings = with_account(demo_settings, CARD, remote=MappingProxyType(remote))

    async with run_gateway(settings) as gateway:
        fields = "normalBalance openingBalance { amount { amount } }"
        response = await gateway.query(ask_nodes(fields, CARD))

    assert response == {
        "data": {
            "nodes": [
                {
                    "id": CARD,
                    "normalBalance": "CREDIT",
                    "openingBalance": {"amount": {"amount": "-4512.90"}},
                }
            ]
        }
    }


@pytest.mark.parametrize("compiled", [True, False])
async def test_an_outage_costs_the_side_and_no_other_field(
    demo_settings: Settings, sandbox: SandboxClient, *, compiled: bool
) -> None:
    """With Asset and Layer at 503 ``nodes { id name normalBalance }`` was null throughout."""
    sandbox.inject_fault("503")
    ids = [one.id for one in demo_settings.accounts if one.provider.value in ("asset", "layer")][:9]

    accounts = tuple(
        replace(one, normal_balance=None) if one.id == LIGHT else one
        for one in demo_settings.accounts
    )
    settings = with_compiled(replace(demo_settings, accounts=accounts), compiled=compiled)

    async with run_gateway(settings) as gateway:
        response = await gateway.query(ask_nodes("name normalBalance", *[LIGHT, *ids[:4], CARD]))

    nodes = response["data"]["nodes"]
    assert [node["id"] for node in nodes] == [LIGHT, *ids[:4], CARD]
    assert all(node["name"] and node["normalBalance"] is None for node in nodes)
    codes = {error["extensions"]["accountId"]: error for error in response["errors"]}
    assert codes[CARD]["extensions"]["code"] == "PROVIDER_UNAVAILABLE"
    assert codes[LIGHT]["extensions"]["code"] == "UNSUPPORTED_BY_PROVIDER"
    assert "normal_balance" in codes[LIGHT]["message"]


async def test_a_side_is_remembered_over_a_restart(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    async with run_gateway(demo_settings) as gateway:
        await gateway.query(ask_nodes("balance { ledger { amount } }", CARD))
    sandbox.inject_fault("503")

    async with run_gateway(demo_settings) as gateway:
        response = await gateway.query(ask_nodes("normalBalance", CARD))

    assert response == {"data": {"nodes": [{"id": CARD, "normalBalance": "CREDIT"}]}}


@pytest.mark.parametrize("compiled", [True, False])
async def test_amounts_of_the_books_keep_their_currency(
    demo_settings: Settings, local_id: str, *, compiled: bool
) -> None:
    """EUR 1000.00 was shown as JPY 100000, in a total that was complete."""
    settings = with_compiled(demo_settings, compiled=compiled)
    async with run_gateway(settings) as gateway:
        result = await set_opening(gateway, local_id, minor_units=1_000_00, currency="EUR")
        assert isinstance(result, Applied)
    yen = with_account(settings, local_id, currency="JPY")

    async with run_gateway(yen) as gateway:
        fields = "name balance { bank { amount } } openingBalance { amount { amount } }"
        response = await gateway.query(ask_nodes(fields, local_id, LIGHT))
        totals = await gateway.query(
            f'{{ balanceTotals(filter: {{ ids: ["{local_id}"] }}) {{ currency complete bank'
            " { amount } missing { bankAccount { id } code } } }"
        )

    nodes = response["data"]["nodes"]
    assert (nodes[0]["balance"], nodes[0]["openingBalance"]) == (None, None)
    assert nodes[0]["name"]
    assert nodes[1]["balance"] is not None
    message = (
        "The opening balance was set in EUR, but the account is configured in JPY: set the opening"
        " balance again, or configure EUR."
    )
    assert sorted(describe_errors(response)) == [
        (["nodes", 0, "balance"], "PROVIDER_BAD_RESPONSE", message),
        (["nodes", 0, "openingBalance"], "PROVIDER_BAD_RESPONSE", message),
    ]
    assert totals["data"]["balanceTotals"] == [
        {
            "currency": "JPY",
            "complete": False,
            "bank": None,
            "missing": [{"bankAccount": {"id": local_id}, "code": "PROVIDER_BAD_RESPONSE"}],
        }
    ]


async def write_light(settings: Settings) -> None:
    async with run_gateway(settings) as gateway:
        fields = {"minor_units": 2_000_00, "currency": "EUR"}
        assert isinstance(await set_opening(gateway, LIGHT, **fields), Applied)


async def test_an_expectation_in_a_changed_currency_is_rejected(
    demo_settings: Settings, sandbox: SandboxClient
) -> None:
    await write_light(demo_settings)
    calls = sandbox.count_calls("light", "PUT")

    async with run_gateway(with_account(demo_settings, LIGHT, currency="GBP")) as gateway:
        result = await set_opening(
            gateway,
            LIGHT,
            minor_units=1,
            currency="GBP",
            expected_previous=ExpectedPrevious(2_000_00),
        )

    assert isinstance(result, Rejected)
    assert "EUR" in result.message
    assert sandbox.count_calls("light", "PUT") == calls


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("currency", ["BGN", "QQQ"])
async def test_a_recorded_row_in_another_currency_is_a_field_error(
    demo_settings: Settings, currency: str, *, compiled: bool
) -> None:
    """A row in BGN once was INTERNAL, and cost the other account of the request its data."""
    await write_light(demo_settings)
    other = next(
        one.id
        for one in demo_settings.accounts
        if one.connector == find_account(demo_settings, LIGHT).connector and one.id != LIGHT
    )
    database = demo_settings.storage.url.reveal().removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE writes SET currency = ?, applied = replace(applied, '\"EUR\"', ?)",
            (currency, f'"{currency}"'),
        )

    async with run_gateway(with_compiled(demo_settings, compiled=compiled)) as gateway:
        response = await gateway.query(ask_nodes("name openingBalance { source }", LIGHT, other))

    nodes = response["data"]["nodes"]
    assert [node["id"] for node in nodes] == [LIGHT, other]
    assert nodes[0]["openingBalance"] is None
    assert nodes[1]["openingBalance"] is not None
    ((path, code, message),) = describe_errors(response)
    assert (path, code) == (["nodes", 0, "openingBalance"], "PROVIDER_BAD_RESPONSE")
    assert f"was set in {currency}" in message


async def test_an_account_in_a_withdrawn_currency_works_and_is_marked(
    demo_settings: Settings, local_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_account(demo_settings, local_id, currency="BGN")

    async with run_gateway(settings) as gateway:
        result = await set_opening(gateway, local_id, minor_units=1_000_00, currency="BGN")
        fields = "currency openingBalance { amount { amount currency exponent } }"
        response = await gateway.query(ask_nodes(fields, local_id))

    assert isinstance(result, Applied)
    amount = {"amount": "1000.00", "currency": "BGN", "exponent": 2}
    assert response["data"]["nodes"] == [
        {"id": local_id, "currency": "BGN", "openingBalance": {"amount": amount}}
    ]
    marked = [one for one in caplog.records if one.message == "account.currency_withdrawn"]
    assert [(one.account_id, one.currency) for one in marked] == [(local_id, "BGN")]  # type: ignore[attr-defined]
