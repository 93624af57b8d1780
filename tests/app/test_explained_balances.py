"""The explanation of a balance in the whole gateway, at every provider."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from balance_gateway.config.settings import Settings
from balance_gateway.domain.access import Scope
from balance_gateway.service.opening_balances import Applied
from tests.app.gateway_harness import LIGHT, GatewayHarness, SandboxClient, run_gateway

CARD, TWIN, PARENT = "layer-company-card", "light-twin", "layer-all-banks"
DAY = "2026-05-07"
FIELDS = """evidence { difference derivedFromDay recordedWriteId
  kept { observedAt freshUntil staleUntil }
  calls { operation method endpoint parameters { name value } }
  bound { parameter sent inclusive instant }
  figures { figure fields { name text } unit rule side } }"""


async def explain(gateway: GatewayHarness, account_id: str) -> Any:
    answer = await gateway.query(
        f"""{{ explainBalance(accountId: "{account_id}", asOf: "{DAY}") {{ dayEndsAt
          balance {{ answer {{ bank {{ amount }} ledger {{ amount }} bankMissing
              freshness {{ state staleReason }} }}
            read {{ bank {{ amount }} }} readProblem {{ code }} {FIELDS} }}
          openingBalance {{ answer {{ amount {{ amount }} source }} {FIELDS} }}
          unsettledWrite {{ writeId }} overlaps {{ accountId kind }} }} }}"""
    )
    assert "errors" not in answer, answer
    return answer["data"]["explainBalance"]


@pytest.fixture
async def gateway(demo_settings: Settings) -> AsyncIterator[GatewayHarness]:
    """The demo's gateway with an account twice, and asked by a caller who may read the audit."""
    known = {account.id: account for account in demo_settings.accounts}
    twin = replace(known[LIGHT], id=TWIN)
    auditors = [key for key in demo_settings.api_keys if Scope.AUDIT_READ in key.scopes]
    settings = replace(demo_settings, accounts=(*demo_settings.accounts, twin))
    async with run_gateway(settings) as gateway:
        gateway.key = auditors[0].key.reveal()
        yield gateway


async def test_each_providers_figure_is_explained_by_what_it_reported(
    gateway: GatewayHarness,
) -> None:
    light = await explain(gateway, LIGHT)
    asset = await explain(gateway, "asset-operating-checking")
    layer = await explain(gateway, CARD)
    local = await explain(gateway, "local-petty-cash")

    evidence = light["balance"]["evidence"]
    [call] = evidence["calls"]
    assert (call["method"], call["parameters"]) == ("GET", [{"name": "asOf", "value": DAY}])
    assert call["endpoint"].startswith("/v1/bank-accounts/")
    assert evidence["bound"] == {
        "parameter": "asOf", "sent": DAY, "inclusive": True, "instant": None,
    }  # fmt: skip
    as_reported = {figure["figure"]: figure["fields"][0]["text"] for figure in evidence["figures"]}
    shown = light["balance"]["answer"]
    assert as_reported == {
        figure: shown[name]["amount"].replace(".", "")
        for figure, name in (("BANK", "bank"), ("LEDGER", "ledger"))
    }
    assert light["openingBalance"]["answer"]["source"] == "DERIVED"
    assert light["openingBalance"]["evidence"]["derivedFromDay"] == "2025-01-01"

    bound = asset["balance"]["evidence"]["bound"]
    assert (bound["sent"], bound["inclusive"]) == ("2026-05-08T03:59:59.999999Z", True)
    [row] = asset["balance"]["evidence"]["figures"]
    assert (row["unit"], row["rule"], row["side"]) == ("MAJOR_UNITS", "debit − credit", None)
    assert asset["balance"]["answer"]["bankMissing"] == "NOT_OFFERED"

    bound = layer["balance"]["evidence"]["bound"]
    assert (bound["sent"], bound["inclusive"]) == ("2026-05-08T04:00:00Z", False)
    assert bound["instant"] == layer["dayEndsAt"]
    [row] = layer["balance"]["evidence"]["figures"]
    reported = {field["name"]: field["text"] for field in row["fields"]}
    assert (row["unit"], row["side"], reported["normality"]) == ("CENTS", "CREDIT", '"CREDIT"')
    assert int(reported["balance"]) > 0
    assert (
        layer["balance"]["answer"]["ledger"]["amount"] == f"-{int(reported['balance']) / 100:.2f}"
    )
    [row] = layer["openingBalance"]["evidence"]["figures"]
    assert (row["figure"], row["fields"][0]["name"]) == ("OPENING_BALANCE", "balance")

    assert local["balance"]["evidence"]["calls"][0]["method"] is None
    assert local["balance"]["answer"]["bankMissing"] == "NO_OPENING_BALANCE"


async def test_a_kept_value_is_explained_beside_the_one_that_is_read_now(
    gateway: GatewayHarness, sandbox: SandboxClient, demo_settings: Settings
) -> None:
    before = await explain(gateway, LIGHT)
    balance = f'balance(asOf: "{DAY}") {{ bank {{ amount }} }}'
    await gateway.query(f'{{ bankAccount(id: "{LIGHT}") {{ {balance} }} }}')
    light_id = find_remote_id(demo_settings, "bank_account_id")
    entry = {"provider": "light", "account": light_id, "amount": 1_000, "book": "bank", "at": DAY}
    sandbox.control("POST", "transactions", entry)

    kept = (await explain(gateway, LIGHT))["balance"]
    sandbox.inject_fault("status", provider="light", status=503)
    down = (await explain(gateway, LIGHT))["balance"]

    assert before["balance"]["answer"]["freshness"]["state"] == "LIVE"
    assert before["balance"]["evidence"]["kept"] is None
    old = before["balance"]["answer"]["bank"]["amount"]
    new = kept["read"]["bank"]["amount"]
    assert (kept["answer"]["bank"]["amount"], kept["answer"]["freshness"]["state"]) == (
        old,
        "CACHED",
    )
    assert kept["evidence"]["difference"] == (f"bank {old} EUR is returned, {new} EUR was read now")
    times = kept["evidence"]["kept"]
    assert times["observedAt"] < times["freshUntil"] < times["staleUntil"]
    assert (down["answer"]["bank"]["amount"], down["read"]) == (old, None)
    assert down["readProblem"] == {"code": "PROVIDER_UNAVAILABLE"}
    assert down["evidence"]["calls"] != []


async def test_doubts_and_records_are_part_of_the_explanation(
    gateway: GatewayHarness, sandbox: SandboxClient, demo_settings: Settings
) -> None:
    applied = await gateway.write(70_000)
    recorded = await explain(gateway, LIGHT)
    theirs = await gateway.query(
        '{ explainBalance(accountId: "globex-layer-payroll-cad") { asOf } }'
    )
    unknown = await gateway.query('{ explainBalance(accountId: "no-such-account") { asOf } }')

    assert isinstance(applied, Applied)
    evidence = recorded["openingBalance"]["evidence"]
    assert recorded["openingBalance"]["answer"]["source"] == "RECORDED_BY_GATEWAY"
    assert (evidence["recordedWriteId"], evidence["calls"]) == (applied.write_id, [])
    assert recorded["overlaps"] == [{"accountId": TWIN, "kind": "SAME"}]
    assert [one["errors"][0]["extensions"]["code"] for one in (theirs, unknown)] == [
        "ACCOUNT_NOT_FOUND"
    ] * 2
    text = json.dumps(recorded)
    secrets = [secret.reveal() for one in demo_settings.connectors
               for secret in list_secrets(one.settings) if secret is not None]  # fmt: skip
    assert secrets
    assert not [secret for secret in secrets if secret in text]


def find_remote_id(settings: Settings, key: str) -> str:
    (account,) = [one for one in settings.accounts if one.id == LIGHT]
    return account.remote[key]


def list_secrets(settings: Any) -> list[Any]:
    names = ("api_key", "client_id", "client_secret", "access_token")
    return [getattr(settings, name, None) for name in names]


async def test_a_parent_account_overlaps_with_what_it_includes(demo_settings: Settings) -> None:
    known = {account.id: account for account in demo_settings.accounts}
    async with run_gateway(demo_settings) as gateway:
        [found] = await gateway.read(CARD)
    *_, parent_id, _own = found.value.remote_path
    remote = {**known[CARD].remote, "ledger_account_id": parent_id, "external_account_id": "x-1"}
    parent = replace(known[CARD], id=PARENT, remote=MappingProxyType(remote))
    auditors = [key for key in demo_settings.api_keys if Scope.AUDIT_READ in key.scopes]
    settings = replace(demo_settings, accounts=(known[CARD], known[LIGHT], parent))
    async with run_gateway(settings) as gateway:
        gateway.key = auditors[0].key.reveal()
        of_card = (await explain(gateway, CARD))["overlaps"]
        of_parent = (await explain(gateway, PARENT))["overlaps"]

    assert of_card == [{"accountId": PARENT, "kind": "INCLUDES"}]
    assert of_parent == [{"accountId": CARD, "kind": "INCLUDED"}]
