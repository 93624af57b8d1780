"""The control API: clock, options, log, reset; and what the catalogue promises."""

from dataclasses import asdict

import iso4217
import pytest

from balance_gateway_sandbox import Limits, Options, catalogue, create_sandbox


def exponent(code):
    return iso4217.Currency(code).exponent


def test_the_same_seed_gives_the_same_catalogue():
    assert catalogue(1) == catalogue(1) == create_sandbox(1).catalogue
    assert catalogue(1).accounts != catalogue(2).accounts


def test_light_covers_every_currency_exponent_and_every_provider_fifty_accounts():
    known = catalogue()

    exponents = {exponent(one.currency) for one in known.accounts_at("light", "acme")}
    assert exponents == {0, 2, 3, 4}
    for provider in ("light", "asset", "layer"):
        accounts = known.accounts_at(provider)
        assert len(known.accounts_at(provider, "acme")) >= 50
        assert known.accounts_at(provider, "globex")
        assert {one.normal_side for one in accounts} == {"debit", "credit"}
        assert not all(one.has_opening_balance for one in accounts)
        assert len({one.remote_id for one in accounts}) == len(accounts)
        names = [one.name for one in known.accounts_at(provider, "acme")]
        assert len(set(names)) == len(names)


def test_catalogue_is_served_as_it_is_exported(box):
    served = box.control("GET", "catalogue")

    assert served["seed"] == 1
    assert [one["name"] for one in served["accounts"]] == [o.name for o in catalogue().accounts]
    assert served["credentials"][0] == asdict(catalogue().credentials[0]) | {"scopes": []}


def test_seeded_amounts_reach_past_what_smaller_numbers_hold(box):
    for provider in ("light", "asset", "layer"):
        amounts = [
            box.state(account)["opening"]["amount"]
            for account in box.catalogue.accounts_at(provider, "acme")
            if account.has_opening_balance
        ]
        minor = [int(amount.replace(".", "")) for amount in amounts]
        assert min(minor) < 0
        assert max(minor) > 2**53
        assert any(2**31 < amount < 2**53 for amount in minor)


def test_clock_is_pinned_shifted_and_given_back(box):
    pinned = box.control("PUT", "clock", {"now": "2020-02-29T12:00:00+01:00"})
    account = box.catalogue.account("light", "Operating EUR")
    as_of = box.get(account, "balance")["asOf"]
    shifted = box.control("PUT", "clock", {"offset_s": -86_400 * 365 * 50})
    returned = box.control("PUT", "clock", {})

    assert pinned == {"now": "2020-02-29T11:00:00Z"}
    assert as_of == "2020-02-29"
    assert shifted["now"] < "1999"
    assert returned["now"] > "2026"
    for wrong in ({"now": "2020-02-29"}, {"offset_s": "1"}, {"offset_s": 10**30}):
        assert box.client.put("/_control/clock", json=wrong).status_code == 400


def test_log_keeps_bodies_and_credential_names_but_no_secrets(box):
    account = box.catalogue.account("light", "Operating EUR")
    box.call("PUT", account, "balance", json={"balance": 5})
    asset = box.catalogue.account("asset", "Operating checking")
    box.call("GET", asset, "ledger")
    box.client.get("/light/v1/bank-accounts?x=1", headers={"Authorization": "Basic nobody"})

    log = box.control("GET", "requests")
    put, token, ledger, stranger = log["requests"]

    assert log["counts"] == {"light": 2, "asset": 2}
    assert (put["method"], put["body"], put["status"]) == ("PUT", {"balance": 5}, 200)
    assert (put["credential"], ledger["credential"]) == ("light-acme", "asset-acme")
    assert token["body"]["grant_type"] == "client_credentials"
    assert (stranger["credential"], stranger["query"], stranger["status"]) == (None, "x=1", 401)
    assert "not-real" not in str(log)
    assert "token-1" not in str(log)
    assert box.control("GET", "requests?provider=asset")["count"] == 2
    assert box.control("GET", "requests?credential=light-acme")["count"] == 1
    box.control("DELETE", "requests")
    assert box.control("GET", "requests") == {"counts": {}, "count": 0, "requests": []}


def test_log_survives_bodies_that_are_no_text(box):
    account = box.catalogue.account("light", "Operating EUR")
    headers = {"content-type": "application/json"}
    for body in (b"\xff", b'"\\ud800"', b"x" * 20_000):
        box.call("PUT", account, "balance", content=body, headers=headers)

    bodies = [one["body"] for one in box.control("GET", "requests")["requests"]]

    assert bodies == [{"unreadable_bytes": 1}, {"unreadable_bytes": 8}, {"unlogged_bytes": 20_000}]


def test_reset_restores_the_seeded_state(box):
    account = box.catalogue.account("light", "Operating EUR")
    seeded = box.state(account)
    box.call("PUT", account, "balance", json={"balance": 5})
    entry = {"provider": "light", "account": account.remote_id, "amount": 1, "at": "2026-05-01"}
    box.control("POST", "transactions", entry)
    box.control("PUT", "options", {"layer_envelope": "data"})
    box.fault("503", times=None)
    assert box.state(account) != seeded

    box.control("POST", "reset")

    assert box.state(account) == seeded
    assert box.control("GET", "options")["layer_envelope"] == "bare"
    assert box.call("GET", account, "balance").status_code == 200


def test_transactions_reach_the_side_and_the_basis_asked_for(box):
    account = box.catalogue.account("light", "Dormant GBP")
    before = box.get(account, "balance")
    entry = {"provider": "light", "account": account.remote_id, "at": "2026-05-01"}

    box.control("POST", "transactions", entry | {"amount": 3, "book": "bank"})
    box.control("POST", "transactions", entry | {"amount": "-10", "book": "ledger"})

    after = box.get(account, "balance")
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
def test_a_mistaken_transaction_is_refused(box, changes):
    account = box.catalogue.account("light", "Dormant GBP")
    entry = {"provider": "light", "account": account.remote_id, "amount": 1, "at": "2026-05-01"}

    answer = box.client.post("/_control/transactions", json=entry | changes)

    assert answer.status_code == 400


def test_unknown_accounts_options_and_paths_are_refused(box):
    assert box.client.get("/_control/state/light/nobody").status_code == 404
    assert box.client.get("/_control/state/bank/nobody").status_code == 404
    assert box.client.put("/_control/options", json={"layer_envelop": "data"}).status_code == 400
    assert box.client.put("/_control/options", json={"limits": 3}).status_code == 400
    assert box.client.put("/_control/options", content=b"{").status_code == 400
    assert box.client.get("/_control/nothing").status_code == 404
    assert box.client.get("/nothing").status_code == 404


def test_options_given_at_the_start_survive_a_reset():
    options = Options(limits=Limits(light_per_minute=None), asset_expires_in="absent")

    changed = options.changed({"limits": {"layer_per_second": 5}})

    assert changed.limits == Limits(light_per_minute=None, layer_per_second=5)
    assert changed.asset_expires_in == "absent"


def test_limits_can_be_switched_off(box):
    box.control("PUT", "options", {"limits": {"light_per_minute": None}})
    account = box.catalogue.account("light", "Operating EUR")

    answers = [box.call("GET", account, "balance") for _ in range(305)]

    assert {one.status_code for one in answers} == {200}
    assert "x-ratelimit-limit" not in answers[0].headers


def test_oversized_bodies_are_refused(box):
    account = box.catalogue.account("light", "Operating EUR")
    headers = {"content-type": "application/json"}

    answer = box.call("PUT", account, "balance", content=b" " * 1_100_000, headers=headers)

    assert answer.status_code == 413
    assert answer.json()["errors"]


def test_revoked_tokens_are_refused(box):
    account = box.catalogue.account("asset", "Operating checking")
    assert box.call("GET", account, "ledger").status_code == 200

    box.control("DELETE", "tokens")

    assert box.call("GET", account, "ledger").status_code == 401
