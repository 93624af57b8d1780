"""Asset's pages, clause by clause."""

from decimal import Decimal

import pytest

from balance_gateway_sandbox import Account


def named(box, name, tenant="acme"):
    return box.catalogue.account("asset", name, tenant)


def opening(box, account: Account, content: bytes | None = None, **options):
    what = f"ledger/{account.ledger_id}/opening-balance"
    headers = {"content-type": "application/json"} if content is not None else {}
    return box.call("PUT", account, what, content=content, headers=headers, **options)


def trial(box, account, **params):
    rows = box.get(account, "reports/trial-balance", **params)["data"]
    return {row["ledger_id"]: row["debit"] - row["credit"] for row in rows}


def token_form(box, **changes):
    one = box.catalogue.credential("asset-acme")
    form = {"client_id": one.client_id, "client_secret": one.client_secret, **changes}
    return {key: value for key, value in form.items() if value is not None}


@pytest.mark.parametrize(
    ("form_changes", "status"),
    [
        ({}, 200),
        ({"grant_type": "password"}, 422),
        ({"client_id": None}, 422),
        ({"client_secret": None}, 401),
        ({"client_secret": "guess"}, 401),
        ({"scope": "ledger:read invoice:create"}, 403),
        ({"expires_in": "soon"}, 422),
    ],
)
def test_token_needs_form_encoded_client_credentials(box, form_changes, status):
    answer = box.client.post("/asset/v0/auth/token", data=token_form(box, **form_changes))

    assert answer.status_code == status
    if status == 200:
        assert answer.json()["token_type"] == "Bearer"
    else:
        assert set(answer.json()) == {"error", "data"}


def test_token_refuses_json(box):
    assert box.client.post("/asset/v0/auth/token", json=token_form(box)).status_code == 422


def test_token_tells_its_expiry_in_three_ways(box):
    def expires_in(form):
        box.control("PUT", "options", {"asset_expires_in": form})
        answer = box.client.post("/asset/v0/auth/token", data=token_form(box, expires_in="60"))
        return answer.json().get("expires_in")

    assert expires_in("absent") is None
    assert expires_in("duration") == 60
    assert expires_in("unix") == 1778148060


def test_token_expires_with_the_clock(box):
    account = named(box, "Operating checking")
    assert box.call("GET", account, "ledger").status_code == 200

    box.control("PUT", "clock", {"now": "2026-05-07T11:00:00Z"})

    expired = box.call("GET", account, "ledger")
    assert expired.status_code == 401
    assert set(expired.json()) == {"error", "data"}


def test_scopes_divide_reading_from_writing(box):
    account = named(box, "Operating checking")
    reader = "asset-acme-read-only"
    write_only = token_form(box, scope="ledger:update")
    token = box.client.post("/asset/v0/auth/token", data=write_only).json()["access_token"]

    assert box.call("GET", account, "ledger", credential=reader).status_code == 200
    assert opening(box, account, b'{"amount": 1}', credential=reader).status_code == 403
    headers = {"Authorization": f"Bearer {token}"}
    assert box.call("GET", account, "ledger", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("1000.00", "1000.00"),
        ('"1000.00"', "1000.00"),
        ("-4512.90", "-4512.90"),
        ("1e3", "1000"),
        ('".5"', "0.5"),
        ('"5."', "5"),
        ('"+00012.50"', "12.50"),
        ("90071992547409.93", "90071992547409.93"),
        ("12345678901234567890123456789.01", "12345678901234567890123456789.01"),
        ('"-0"', "0"),
    ],
)
def test_opening_balance_is_kept_exactly_and_echoed_as_a_number(box, given, stored):
    account = named(box, "New savings")

    answer = opening(box, account, f'{{"amount": {given}}}'.encode())

    assert answer.status_code == 200
    expected = f'{{"data":{{"ledger_id":"{account.ledger_id}","amount":{stored}}}}}'
    assert answer.text == expected
    assert box.state(account)["opening"]["amount"] == stored


@pytest.mark.parametrize(
    "given",
    [
        '"1e3"',
        '"1,000.00"',
        '"NaN"',
        '""',
        '"."',
        '"5\\n"',
        '"٣"',
        "true",
        "null",
        "NaN",
        "[]",
        "1e99",
    ],
)
def test_opening_balance_refuses_what_the_pattern_refuses(box, given):
    account = named(box, "Operating checking")
    before = box.state(account)

    answer = opening(box, account, f'{{"amount": {given}}}'.encode())

    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "data"}
    assert box.state(account) == before


def test_opening_balance_needs_json_and_an_amount(box):
    account = named(box, "Operating checking")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    what = f"ledger/{account.ledger_id}/opening-balance"

    assert opening(box, account, b"{}").status_code == 422
    assert opening(box, account, b"{").status_code == 422
    form = box.call("PUT", account, what, content=b'{"amount":1}', headers=headers)
    assert form.status_code == 422


def test_opening_balance_is_positive_on_the_normal_side_as_of_entries_start(box):
    card, checking = named(box, "Company card"), named(box, "Operating checking")
    opening(box, card, b'{"amount": "500.25"}')
    opening(box, checking, b'{"amount": "300.10"}')

    opened = trial(box, card, end_datetime="2026-01-01T00:00:00Z")
    earlier = trial(box, card, end_datetime="2025-12-31T23:59:59.999999Z")

    assert opened[card.ledger_id] == Decimal("-500.25")
    assert opened[checking.ledger_id] == Decimal("300.10")
    assert set(earlier.values()) == {0}


def test_trial_balance_end_is_inclusive(box):
    account = named(box, "Dormant savings")
    entry = {"provider": "asset", "account": account.ledger_id, "amount": "0.01"}
    end = "2026-05-06T23:59:59.999999Z"
    before = trial(box, account, end_datetime=end)[account.ledger_id]
    box.control("POST", "transactions", entry | {"at": end})
    box.control("POST", "transactions", entry | {"at": "2026-05-07T00:00:00Z"})

    after = trial(box, account, end_datetime=end)[account.ledger_id]

    assert after == before + Decimal("0.01")


def test_trial_balance_ignores_what_is_before_entries_start(box):
    account = named(box, "Legacy reserve")
    early = [e for e in box.state(account)["entries"] if e["at"] < "2026-01-01"]

    opened = trial(box, account, end_datetime="2026-01-01T00:00:00Z")

    assert early
    assert opened[account.ledger_id] == Decimal("66000.00")


def test_trial_balance_defaults_to_modified_cash_and_always_balances(box):
    account, until = named(box, "Operating checking"), "2026-05-07T23:59:59Z"
    default = trial(box, account, end_datetime=until)
    cash = trial(box, account, end_datetime=until, basis="modified_cash")
    accrual = trial(box, account, end_datetime=until, basis="accrual")

    assert default == cash != accrual
    assert sum(cash.values()) == sum(accrual.values()) == 0
    assert len(cash) >= 50


def test_trial_balance_agrees_with_the_stored_entries(box):
    account, until = named(box, "Treasury sweep"), "2026-04-30T23:59:59.999999Z"
    state = box.state(account)
    expected = Decimal(state["opening"]["amount"]) + sum(
        Decimal(one["amount"])
        for one in state["entries"]
        if one["on_books"] and "accrual" in one["bases"] and "2026-01-01" <= one["at"] <= until
    )

    assert expected > 2**31
    assert trial(box, account, end_datetime=until, basis="accrual")[account.ledger_id] == expected


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"end_datetime": "2026-05-07"},
        {"end_datetime": "2026-05-07T00:00:00"},
        {"end_datetime": "2026-05-07T00:00:00Z", "basis": "cash"},
    ],
)
def test_trial_balance_refuses_a_missing_or_wrong_parameter(box, params):
    account = named(box, "Operating checking")
    answer = box.call("GET", account, "reports/trial-balance", params=params)

    assert answer.status_code == 422


def test_ledger_statement_pages_through_an_inclusive_range(box):
    account = named(box, "Company card")
    entries = [e for e in box.state(account)["entries"] if e["on_books"]]
    span = {"start_datetime": entries[1]["at"], "end_datetime": entries[4]["at"]}
    what = f"reports/ledger-statement/{account.ledger_id}"

    first = box.get(account, what, **span, page_size=3)["data"]
    token = first["pagination"]["next_page_token"]
    second = box.get(account, what, **span, page_size=3, page_token=token)["data"]

    ids = [one["id"] for one in first["entries"] + second["entries"]]
    assert ids == [one["id"] for one in entries[1:5]]
    assert second["pagination"]["next_page_token"] is None
    moved = sum(Decimal(one["amount"]) for one in entries[1:5])
    assert first["balances"]["range_balance"] == -moved


def test_business_ledgers_and_external_accounts_are_listed_and_fetched(box):
    account = named(box, "Company card")
    businesses = box.client.get("/asset/v0/business", headers=box.auth("asset-acme")).json()
    ledger = box.get(account, f"ledger/{account.ledger_id}")["data"]
    external = box.get(account, f"external-account/{account.external_account_id}")["data"]
    manual = box.get(account, "external-account", source="manual")["data"]

    assert [one["id"] for one in businesses["data"]] == [account.business_id]
    assert businesses["data"][0]["entries_start"] == "2026-01-01T00:00:00Z"
    assert (ledger["debit_credit"], ledger["financial_account_type"]) == ("credit", "credit_card")
    assert external["ledger_id"] == account.ledger_id
    assert {one["source"] for one in manual} == {"manual"}
    assert any(one["external_balance"] is None for one in manual)


def test_ids_must_have_their_prefix_and_belong_to_the_caller(box):
    account = named(box, "Operating checking")
    foreign = named(box, "Company card", "globex")
    headers = box.auth("asset-acme")

    assert box.client.get("/asset/v0/business/ldg_x/ledger", headers=headers).status_code == 422
    wrong = f"ledger/{account.external_account_id}"
    assert box.call("GET", account, wrong).status_code == 422
    assert box.call("GET", foreign, "ledger", credential="asset-acme").status_code == 404
    missing = f"ledger/{foreign.ledger_id}"
    assert box.call("GET", account, missing).status_code == 404


def test_limits_count_tenant_and_business_apart_without_retry_after(box):
    box.control("PUT", "options", {"limits": {"asset_business_per_minute": 3}})
    account = named(box, "Operating checking")

    answers = [box.call("GET", account, "ledger") for _ in range(4)]

    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    raw = {name.decode(): value for name, value in answers[-1].headers.raw}
    assert raw["x-ratelimit-remaining"] == b"0"
    assert "retry-after" not in answers[-1].headers
    tenant = box.client.get("/asset/v0/business", headers=box.auth("asset-acme"))
    assert (tenant.status_code, tenant.headers["x-ratelimit-limit"]) == (200, "300")
