"""Test the imitated Asset API against Asset's documentation."""

from decimal import Decimal

import pytest

from balance_gateway_sandbox import Account


def find_account(sandbox, name, tenant="acme"):
    return sandbox.catalogue.get_account("asset", name, tenant)


def put_opening_balance(sandbox, account: Account, content: bytes | None = None, **options):
    path = f"ledger/{account.ledger_id}/opening-balance"
    headers = {"content-type": "application/json"} if content is not None else {}
    return sandbox.call("PUT", account, path, content=content, headers=headers, **options)


def get_trial_balance(sandbox, account, **params):
    rows = sandbox.get(account, "reports/trial-balance", **params)["data"]
    return {row["ledger_id"]: row["debit"] - row["credit"] for row in rows}


def build_token_form(sandbox, **changes):
    credential = sandbox.catalogue.get_credential("asset-acme")
    form = {"client_id": credential.client_id, "client_secret": credential.client_secret, **changes}
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
        ({"expires_in": "1" * 5000}, 422),
        ({"expires_in": "000000000001" + "0" * 5000}, 422),
    ],
)
def test_token_requires_form_encoded_client_credentials(sandbox, form_changes, status):
    response = sandbox.client.post(
        "/asset/v0/auth/token", data=build_token_form(sandbox, **form_changes)
    )

    assert response.status_code == status
    if status == 200:
        assert response.json()["token_type"] == "Bearer"
    else:
        assert set(response.json()) == {"error", "data"}


def test_token_endpoint_rejects_json(sandbox):
    assert (
        sandbox.client.post("/asset/v0/auth/token", json=build_token_form(sandbox)).status_code
        == 422
    )


def test_token_expiry_follows_the_option(sandbox):
    def expires_in(form):
        sandbox.call_control("PUT", "options", {"asset_expires_in": form})
        response = sandbox.client.post(
            "/asset/v0/auth/token", data=build_token_form(sandbox, expires_in="60")
        )
        return response.json().get("expires_in")

    assert expires_in("absent") is None
    assert expires_in("duration") == 60
    assert expires_in("unix") == 1778148060


def test_token_expires_with_the_clock(sandbox):
    account = find_account(sandbox, "Operating checking")
    assert sandbox.call("GET", account, "ledger").status_code == 200

    sandbox.call_control("PUT", "clock", {"now": "2026-05-07T11:00:00Z"})

    expired = sandbox.call("GET", account, "ledger")
    assert expired.status_code == 401
    assert set(expired.json()) == {"error", "data"}


def test_scopes_separate_reads_and_writes(sandbox):
    account = find_account(sandbox, "Operating checking")
    reader = "asset-acme-read-only"
    write_only = build_token_form(sandbox, scope="ledger:update")
    token = sandbox.client.post("/asset/v0/auth/token", data=write_only).json()["access_token"]

    assert sandbox.call("GET", account, "ledger", credential=reader).status_code == 200
    assert (
        put_opening_balance(sandbox, account, b'{"amount": 1}', credential=reader).status_code
        == 403
    )
    headers = {"Authorization": f"Bearer {token}"}
    assert sandbox.call("GET", account, "ledger", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("amount_json", "stored"),
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
def test_opening_balance_is_exact_and_returned_as_a_number(sandbox, amount_json, stored):
    account = find_account(sandbox, "New savings")

    response = put_opening_balance(sandbox, account, f'{{"amount": {amount_json}}}'.encode())

    assert response.status_code == 200
    expected = f'{{"data":{{"ledger_id":"{account.ledger_id}","amount":{stored}}}}}'
    assert response.text == expected
    assert sandbox.get_state(account)["opening"]["amount"] == stored


@pytest.mark.parametrize(
    "amount_json",
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
def test_opening_balance_rejects_invalid_amounts(sandbox, amount_json):
    account = find_account(sandbox, "Operating checking")
    before = sandbox.get_state(account)

    response = put_opening_balance(sandbox, account, f'{{"amount": {amount_json}}}'.encode())

    assert response.status_code == 422
    assert set(response.json()) == {"error", "data"}
    assert sandbox.get_state(account) == before


def test_opening_balance_requires_json_and_an_amount(sandbox):
    account = find_account(sandbox, "Operating checking")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    path = f"ledger/{account.ledger_id}/opening-balance"

    assert put_opening_balance(sandbox, account, b"{}").status_code == 422
    assert put_opening_balance(sandbox, account, b"{").status_code == 422
    form = sandbox.call("PUT", account, path, content=b'{"amount":1}', headers=headers)
    assert form.status_code == 422


def test_opening_balance_counts_from_entries_start_on_normal_side(sandbox):
    card, checking = (
        find_account(sandbox, "Company card"),
        find_account(sandbox, "Operating checking"),
    )
    put_opening_balance(sandbox, card, b'{"amount": "500.25"}')
    put_opening_balance(sandbox, checking, b'{"amount": "300.10"}')

    opened = get_trial_balance(sandbox, card, end_datetime="2026-01-01T00:00:00Z")
    earlier = get_trial_balance(sandbox, card, end_datetime="2025-12-31T23:59:59.999999Z")

    assert opened[card.ledger_id] == Decimal("-500.25")
    assert opened[checking.ledger_id] == Decimal("300.10")
    assert set(earlier.values()) == {0}


def test_trial_balance_end_is_inclusive(sandbox):
    account = find_account(sandbox, "Dormant savings")
    entry = {"provider": "asset", "account": account.ledger_id, "amount": "0.01"}
    end = "2026-05-06T23:59:59.999999Z"
    before = get_trial_balance(sandbox, account, end_datetime=end)[account.ledger_id]
    sandbox.call_control("POST", "transactions", entry | {"at": end})
    sandbox.call_control("POST", "transactions", entry | {"at": "2026-05-07T00:00:00Z"})

    after = get_trial_balance(sandbox, account, end_datetime=end)[account.ledger_id]

    assert after == before + Decimal("0.01")


def test_trial_balance_ignores_entries_before_entries_start(sandbox):
    account = find_account(sandbox, "Legacy reserve")
    early = [e for e in sandbox.get_state(account)["entries"] if e["at"] < "2026-01-01"]

    opened = get_trial_balance(sandbox, account, end_datetime="2026-01-01T00:00:00Z")

    assert early
    assert opened[account.ledger_id] == Decimal("66000.00")


def test_trial_balance_defaults_to_modified_cash_and_always_balances(sandbox):
    account, until = find_account(sandbox, "Operating checking"), "2026-05-07T23:59:59Z"
    default = get_trial_balance(sandbox, account, end_datetime=until)
    cash = get_trial_balance(sandbox, account, end_datetime=until, basis="modified_cash")
    accrual = get_trial_balance(sandbox, account, end_datetime=until, basis="accrual")

    assert default == cash != accrual
    assert sum(cash.values()) == sum(accrual.values()) == 0
    assert len(cash) >= 50


def test_trial_balance_equals_the_stored_entries(sandbox):
    account, until = find_account(sandbox, "Treasury sweep"), "2026-04-30T23:59:59.999999Z"
    state = sandbox.get_state(account)
    expected = Decimal(state["opening"]["amount"]) + sum(
        Decimal(entry["amount"])
        for entry in state["entries"]
        if entry["on_books"]
        and "accrual" in entry["bases"]
        and "2026-01-01" <= entry["at"] <= until
    )

    assert expected > 2**31
    assert (
        get_trial_balance(sandbox, account, end_datetime=until, basis="accrual")[account.ledger_id]
        == expected
    )


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"end_datetime": "2026-05-07"},
        {"end_datetime": "2026-05-07T00:00:00"},
        {"end_datetime": "2026-05-07T00:00:00Z", "basis": "cash"},
    ],
)
def test_trial_balance_rejects_missing_or_invalid_parameters(sandbox, params):
    account = find_account(sandbox, "Operating checking")
    response = sandbox.call("GET", account, "reports/trial-balance", params=params)

    assert response.status_code == 422


def test_ledger_statement_pages_through_an_inclusive_range(sandbox):
    account = find_account(sandbox, "Company card")
    entries = [e for e in sandbox.get_state(account)["entries"] if e["on_books"]]
    span = {"start_datetime": entries[1]["at"], "end_datetime": entries[4]["at"]}
    path = f"reports/ledger-statement/{account.ledger_id}"

    first = sandbox.get(account, path, **span, page_size=3)["data"]
    token = first["pagination"]["next_page_token"]
    second = sandbox.get(account, path, **span, page_size=3, page_token=token)["data"]

    ids = [entry["id"] for entry in first["entries"] + second["entries"]]
    assert ids == [entry["id"] for entry in entries[1:5]]
    assert second["pagination"]["next_page_token"] is None
    moved = sum(Decimal(entry["amount"]) for entry in entries[1:5])
    assert first["balances"]["range_balance"] == -moved


def test_businesses_ledgers_and_external_accounts_can_be_read(sandbox):
    account = find_account(sandbox, "Company card")
    businesses = sandbox.client.get(
        "/asset/v0/business", headers=sandbox.build_auth_headers("asset-acme")
    ).json()
    ledger = sandbox.get(account, f"ledger/{account.ledger_id}")["data"]
    external = sandbox.get(account, f"external-account/{account.external_account_id}")["data"]
    manual = sandbox.get(account, "external-account", source="manual")["data"]

    assert [business["id"] for business in businesses["data"]] == [account.business_id]
    assert businesses["data"][0]["entries_start"] == "2026-01-01T00:00:00Z"
    assert (ledger["debit_credit"], ledger["financial_account_type"]) == ("credit", "credit_card")
    assert external["ledger_id"] == account.ledger_id
    assert {external_account["source"] for external_account in manual} == {"manual"}
    assert any(external_account["external_balance"] is None for external_account in manual)


def test_ids_require_their_prefix_and_tenant(sandbox):
    account = find_account(sandbox, "Operating checking")
    foreign = find_account(sandbox, "Company card", "globex")
    headers = sandbox.build_auth_headers("asset-acme")

    assert sandbox.client.get("/asset/v0/business/ldg_x/ledger", headers=headers).status_code == 422
    wrong = f"ledger/{account.external_account_id}"
    assert sandbox.call("GET", account, wrong).status_code == 422
    assert sandbox.call("GET", foreign, "ledger", credential="asset-acme").status_code == 404
    missing = f"ledger/{foreign.ledger_id}"
    assert sandbox.call("GET", account, missing).status_code == 404


def test_limits_count_tenant_and_business_separately(sandbox):
    sandbox.call_control("PUT", "options", {"limits": {"asset_business_per_minute": 3}})
    account = find_account(sandbox, "Operating checking")

    responses = [sandbox.call("GET", account, "ledger") for _ in range(4)]

    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    raw = {name.decode(): value for name, value in responses[-1].headers.raw}
    assert raw["x-ratelimit-remaining"] == b"0"
    assert "retry-after" not in responses[-1].headers
    tenant = sandbox.client.get(
        "/asset/v0/business", headers=sandbox.build_auth_headers("asset-acme")
    )
    assert (tenant.status_code, tenant.headers["x-ratelimit-limit"]) == (200, "300")


def test_asset_lists_are_cut_into_pages(sandbox):
    account = sandbox.catalogue.list_accounts("asset", "acme")[0]

    first = sandbox.get(account, "external-account", page_size=30)
    token = first["pagination"]["next_page_token"]
    second = sandbox.get(account, "external-account", page_size=30, page_token=token)
    wrong = sandbox.call("GET", account, "ledger", params={"page_token": "x"})

    assert (len(first["data"]), len(second["data"])) == (30, 20)
    assert first["pagination"]["previous_page_token"] is None
    assert second["pagination"]["next_page_token"] is None
    assert len({one["id"] for one in (*first["data"], *second["data"])}) == 50
    assert wrong.status_code == 422
