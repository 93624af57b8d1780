"""Test the control API and the catalogue."""

from dataclasses import asdict

import iso4217
import pytest

from balance_gateway_sandbox import Options, RateLimitOptions, build_catalogue, create_sandbox


def find_exponent(code):
    return iso4217.Currency(code).exponent


def test_the_same_seed_gives_the_same_catalogue():
    assert build_catalogue(1) == build_catalogue(1) == create_sandbox(1).catalogue
    assert build_catalogue(1).accounts != build_catalogue(2).accounts


def test_catalogue_covers_all_currency_exponents_and_50_accounts():
    catalogue = build_catalogue()

    exponents = {
        find_exponent(account.currency) for account in catalogue.list_accounts("light", "acme")
    }
    assert exponents == {0, 2, 3, 4}
    for provider in ("light", "asset", "layer"):
        accounts = catalogue.list_accounts(provider)
        assert len(catalogue.list_accounts(provider, "acme")) >= 50
        assert catalogue.list_accounts(provider, "globex")
        assert {account.normal_side for account in accounts} == {"debit", "credit"}
        assert not all(account.has_opening_balance for account in accounts)
        assert len({account.remote_id for account in accounts}) == len(accounts)
        names = [account.name for account in catalogue.list_accounts(provider, "acme")]
        assert len(set(names)) == len(names)


def test_served_catalogue_equals_the_exported_one(sandbox):
    served = sandbox.call_control("GET", "catalogue")

    assert served["seed"] == 1
    assert [account["name"] for account in served["accounts"]] == [
        account.name for account in build_catalogue().accounts
    ]
    assert served["credentials"][0] == asdict(build_catalogue().credentials[0]) | {"scopes": []}


def test_seeded_amounts_exceed_32_bits_and_float_precision(sandbox):
    for provider in ("light", "asset", "layer"):
        amounts = [
            sandbox.get_state(account)["opening"]["amount"]
            for account in sandbox.catalogue.list_accounts(provider, "acme")
            if account.has_opening_balance
        ]
        minor = [int(amount.replace(".", "")) for amount in amounts]
        assert min(minor) < 0
        assert max(minor) > 2**53
        assert any(2**31 < amount < 2**53 for amount in minor)


def test_clock_can_be_pinned_shifted_and_reset(sandbox):
    pinned = sandbox.call_control("PUT", "clock", {"now": "2020-02-29T12:00:00+01:00"})
    account = sandbox.catalogue.get_account("light", "Operating EUR")
    as_of = sandbox.get(account, "balance")["asOf"]
    shifted = sandbox.call_control("PUT", "clock", {"offset_s": -86_400 * 365 * 50})
    returned = sandbox.call_control("PUT", "clock", {})

    assert pinned == {"now": "2020-02-29T11:00:00Z"}
    assert as_of == "2020-02-29"
    assert shifted["now"] < "1999"
    assert returned["now"] > "2026"
    for wrong in ({"now": "2020-02-29"}, {"offset_s": "1"}, {"offset_s": 10**30}):
        assert sandbox.client.put("/_control/clock", json=wrong).status_code == 400


def test_log_contains_bodies_and_credential_names_but_no_secrets(sandbox):
    account = sandbox.catalogue.get_account("light", "Operating EUR")
    sandbox.call("PUT", account, "balance", json={"balance": 5})
    asset = sandbox.catalogue.get_account("asset", "Operating checking")
    sandbox.call("GET", asset, "ledger")
    sandbox.client.get("/light/v1/bank-accounts?x=1", headers={"Authorization": "Basic unknown"})

    log = sandbox.call_control("GET", "requests")
    put, token, ledger, unauthenticated = log["requests"]

    assert log["counts"] == {"light": 2, "asset": 2}
    assert (put["method"], put["body"], put["status"]) == ("PUT", {"balance": 5}, 200)
    assert (put["credential"], ledger["credential"]) == ("light-acme", "asset-acme")
    assert token["body"]["grant_type"] == "client_credentials"
    assert (unauthenticated["credential"], unauthenticated["query"], unauthenticated["status"]) == (
        None,
        "x=1",
        401,
    )
    assert "not-real" not in str(log)
    assert "token-1" not in str(log)
    assert sandbox.call_control("GET", "requests?provider=asset")["count"] == 2
    assert sandbox.call_control("GET", "requests?credential=light-acme")["count"] == 1
    sandbox.call_control("DELETE", "requests")
    assert sandbox.call_control("GET", "requests") == {"counts": {}, "count": 0, "requests": []}


def test_log_accepts_bodies_that_are_not_text(sandbox):
    account = sandbox.catalogue.get_account("light", "Operating EUR")
    headers = {"content-type": "application/json"}
    for body in (b"\xff", b'"\\ud800"', b"x" * 20_000):
        sandbox.call("PUT", account, "balance", content=body, headers=headers)

    bodies = [request["body"] for request in sandbox.call_control("GET", "requests")["requests"]]

    assert bodies == [{"unreadable_bytes": 1}, {"unreadable_bytes": 8}, {"unlogged_bytes": 20_000}]


def test_reset_restores_the_seeded_state(sandbox):
    account = sandbox.catalogue.get_account("light", "Operating EUR")
    seeded = sandbox.get_state(account)
    sandbox.call("PUT", account, "balance", json={"balance": 5})
    entry = {"provider": "light", "account": account.remote_id, "amount": 1, "at": "2026-05-01"}
    sandbox.call_control("POST", "transactions", entry)
    sandbox.call_control("PUT", "options", {"layer_envelope": "data"})
    sandbox.add_fault("503", times=None)
    assert sandbox.get_state(account) != seeded

    sandbox.call_control("POST", "reset")

    assert sandbox.get_state(account) == seeded
    assert sandbox.call_control("GET", "options")["layer_envelope"] == "bare"
    assert sandbox.call("GET", account, "balance").status_code == 200


def test_transactions_are_added_to_the_requested_book(sandbox):
    account = sandbox.catalogue.get_account("light", "Dormant GBP")
    before = sandbox.get(account, "balance")
    entry = {"provider": "light", "account": account.remote_id, "at": "2026-05-01"}

    sandbox.call_control("POST", "transactions", entry | {"amount": 3, "book": "bank"})
    sandbox.call_control("POST", "transactions", entry | {"amount": "-10", "book": "ledger"})

    after = sandbox.get(account, "balance")
    assert after["bankBalance"] == before["bankBalance"] + 3
    assert after["ledgerBalance"] == before["ledgerBalance"] - 10


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "1.5"},
        {"amount": 1.5},
        {"amount": "much"},
        {"amount": "1e99"},
        {"at": "yesterday"},
        {"book": "both sides"},
        {"colour": "red"},
    ],
)
def test_invalid_transaction_is_rejected(sandbox, changes):
    account = sandbox.catalogue.get_account("light", "Dormant GBP")
    entry = {"provider": "light", "account": account.remote_id, "amount": 1, "at": "2026-05-01"}

    response = sandbox.client.post("/_control/transactions", json=entry | changes)

    assert response.status_code == 400


def test_unknown_accounts_options_and_paths_are_rejected(sandbox):
    assert sandbox.client.get("/_control/state/light/unknown").status_code == 404
    assert sandbox.client.get("/_control/state/bank/unknown").status_code == 404
    assert (
        sandbox.client.put("/_control/options", json={"layer_envelop": "data"}).status_code == 400
    )
    assert sandbox.client.put("/_control/options", json={"limits": 3}).status_code == 400
    assert sandbox.client.put("/_control/options", content=b"{").status_code == 400
    assert sandbox.client.get("/_control/nothing").status_code == 404
    assert sandbox.client.get("/nothing").status_code == 404


def test_option_changes_keep_the_other_options():
    options = Options(limits=RateLimitOptions(light_per_minute=None), asset_expires_in="absent")

    changed = options.with_changes({"limits": {"layer_per_second": 5}})

    assert changed.limits == RateLimitOptions(light_per_minute=None, layer_per_second=5)
    assert changed.asset_expires_in == "absent"


def test_limits_can_be_disabled(sandbox):
    sandbox.call_control("PUT", "options", {"limits": {"light_per_minute": None}})
    account = sandbox.catalogue.get_account("light", "Operating EUR")

    responses = [sandbox.call("GET", account, "balance") for _ in range(305)]

    assert {response.status_code for response in responses} == {200}
    assert "x-ratelimit-limit" not in responses[0].headers


def test_oversized_bodies_are_rejected(sandbox):
    account = sandbox.catalogue.get_account("light", "Operating EUR")
    headers = {"content-type": "application/json"}

    response = sandbox.call("PUT", account, "balance", content=b" " * 1_100_000, headers=headers)

    assert response.status_code == 413
    assert response.json()["errors"]


def test_revoked_tokens_are_rejected(sandbox):
    account = sandbox.catalogue.get_account("asset", "Operating checking")
    assert sandbox.call("GET", account, "ledger").status_code == 200

    sandbox.call_control("DELETE", "tokens")

    assert sandbox.call("GET", account, "ledger").status_code == 401


def test_fields_of_a_bank_feed_are_replaced_until_they_are_restored(sandbox):
    account = sandbox.catalogue.get_account("asset", "Operating checking")
    path = f"feeds/asset/{account.ledger_id}"
    row_path = f"external-account/{account.external_account_id}"
    seeded = sandbox.get(account, row_path)["data"]

    sandbox.call_control("PUT", path, {"last_synced_at": "2026-01-02T00:00:00Z"})
    replaced = sandbox.call_control("PUT", path, {"status": "disconnected"})
    changed = sandbox.get(account, row_path)["data"]
    sandbox.call_control("PUT", path, {})

    assert replaced == {"last_synced_at": "2026-01-02T00:00:00Z", "status": "disconnected"}
    assert changed == seeded | replaced
    assert sandbox.get(account, row_path)["data"] == seeded


def test_bank_feed_of_layer_is_replaced_and_reset(sandbox):
    account = sandbox.catalogue.get_account("layer", "Operating checking")
    path = f"external-accounts/{account.external_account_id}"

    sandbox.call_control("PUT", f"feeds/layer/{account.external_account_id}", {"is_syncing": True})
    changed = sandbox.get(account, path)["is_syncing"]
    sandbox.call_control("POST", "reset")
    sandbox.tokens.clear()

    assert changed is True
    assert sandbox.get(account, path)["is_syncing"] is False


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("feeds/light/x", {}, 404),
        ("feeds/asset/ldg_x", {}, 404),
        ("feeds/layer/x", {}, 404),
        ("feeds/asset/{ledger_id}", {"state": "connected"}, 400),
    ],
)
def test_invalid_changes_of_a_bank_feed_are_refused(sandbox, path, body, status):
    account = sandbox.catalogue.get_account("asset", "Operating checking")
    url = f"/_control/{path.format(ledger_id=account.ledger_id)}"

    assert sandbox.client.put(url, json=body).status_code == status
