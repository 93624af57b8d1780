"""Test the imitated Light API against Light's documentation."""

import base64

import pytest

MEDIA_TYPE = "application/json;charset=UTF-8"


def find_account(sandbox, name, tenant="acme"):
    return sandbox.catalogue.get_account("light", name, tenant)


def test_account_list_is_a_bare_array_of_the_tenants_accounts(sandbox):
    listing = sandbox.client.get(
        "/light/v1/bank-accounts", headers=sandbox.build_auth_headers("light-acme")
    )
    other = sandbox.client.get(
        "/light/v1/bank-accounts", headers=sandbox.build_auth_headers("light-globex")
    )

    ids = [account["id"] for account in listing.json()]
    assert ids == [
        account.bank_account_id for account in sandbox.catalogue.list_accounts("light", "acme")
    ]
    assert len(ids) >= 50
    assert not set(ids) & {account["id"] for account in other.json()}
    assert listing.headers["content-type"] == MEDIA_TYPE


def test_missing_credentials_use_the_second_error_format(sandbox):
    response = sandbox.client.get("/light/v1/bank-accounts")

    assert response.status_code == 401
    assert response.json() == {
        "type": "UNAUTHORIZED",
        "message": "Credentials are required to access this resource",
    }


def test_api_key_is_accepted_only_without_base64(sandbox):
    key = sandbox.catalogue.get_credential("light-acme").api_key
    encoded = base64.b64encode(f"{key}:".encode()).decode()
    token = sandbox.catalogue.get_credential("light-acme").access_token

    def status(value):
        return sandbox.client.get("/light/v1/bank-accounts", headers={"Authorization": value})

    assert status(f"Basic {key}").status_code == 200
    assert status(f"Bearer {token}").status_code == 200
    refused = status(f"Basic {encoded}")
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["type"] == refused.json()["type"] == "UNAUTHORIZED"
    assert status(f"Bearer {key}").status_code == 401


def test_bank_balance_is_opening_plus_transactions_up_to_the_day(sandbox):
    account = find_account(sandbox, "Operating EUR")
    state = sandbox.get_state(account)
    days = sorted({entry["at"][:10] for entry in state["entries"] if entry["on_bank"]})
    assert days[0] < state["opening"]["at"][:10] < days[-1]

    for day in (days[0], days[1], "2026-01-01", days[10], days[-1]):
        bank = int(state["opening"]["amount"]) + sum(
            int(entry["amount"])
            for entry in state["entries"]
            if entry["on_bank"] and entry["at"][:10] <= day
        )
        books = sum(
            int(entry["amount"])
            for entry in state["entries"]
            if entry["on_books"] and entry["at"][:10] <= day
        )
        response = sandbox.get(account, "balance", asOf=day)
        assert (response["bankBalance"], response["ledgerBalance"]) == (bank, books)
        assert response["asOf"] == day
        assert response["currency"] == "EUR"


def test_as_of_includes_the_whole_day(sandbox):
    account = find_account(sandbox, "Dormant GBP")
    before = sandbox.get(account, "balance", asOf="2026-05-06")["bankBalance"]
    entry = {"provider": "light", "account": account.remote_id, "amount": 700}
    sandbox.call_control("POST", "transactions", entry | {"at": "2026-05-06T23:59:59Z"})
    sandbox.call_control("POST", "transactions", entry | {"at": "2026-05-07T00:00:00Z"})

    assert sandbox.get(account, "balance", asOf="2026-05-06")["bankBalance"] == before + 700
    today = sandbox.get(account, "balance")
    assert today["bankBalance"] == before + 1400
    assert today["asOf"] == "2026-05-07"


def test_balance_without_opening_has_a_null_bank_balance_only(sandbox):
    response = sandbox.get(find_account(sandbox, "New account USD"), "balance")

    assert response["bankBalance"] is None
    assert isinstance(response["ledgerBalance"], int)


@pytest.mark.parametrize(
    "as_of",
    ["20260507", "2026-W19-4", "2026-5-7", "2026-02-30", "today", "", "2026-05-07T00:00:00Z"],
)
def test_as_of_accepts_only_a_plain_date(sandbox, as_of):
    response = sandbox.call(
        "GET", find_account(sandbox, "Operating EUR"), "balance", params={"asOf": as_of}
    )

    assert response.status_code == 400
    assert response.json()["errors"][0]["path"] == ["asOf"]


def test_put_creates_and_then_updates_the_opening_balance(sandbox):
    account = find_account(sandbox, "New account USD")
    first = sandbox.call("PUT", account, "balance", json={"balance": 2**63 - 1})
    body = {"balance": -5, "balanceAt": "2026-02-01T01:00:00+02:00"}
    second = sandbox.call("PUT", account, "balance", json=body)

    assert first.json()["balance"] == 2**63 - 1
    assert first.json()["balanceAt"] == "2026-05-07T10:00:00Z"
    assert second.json()["id"] == first.json()["id"]
    assert second.json()["balanceAt"] == "2026-01-31T23:00:00Z"
    moved = sum(
        int(entry["amount"])
        for entry in sandbox.get_state(account)["entries"]
        if entry["on_bank"] and entry["at"] < "2026-05-08"
    )
    assert sandbox.get(account, "balance")["bankBalance"] == moved - 5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"balance": null}',
        b'{"balance": "1"}',
        b'{"balance": 1.0}',
        b'{"balance": 1e2}',
        b'{"balance": true}',
        b'{"balance": NaN}',
        b'{"balance": 1, "memo": NaN}',
        b'{"balance": 9223372036854775808}',
        b'{"balance": 1, "balanceAt": "2026-05-07"}',
        b'{"balance": 1, "balanceAt": "2026-05-07T00:00:00"}',
        b'{"balance": 1, "balanceAt": 5}',
        b'{"balance": 1',
        b'{"balance": 1}\xff',
        b"[" * 100_000,
    ],
)
def test_put_rejects_invalid_balances_and_date_times(sandbox, body):
    account = find_account(sandbox, "Operating EUR")
    before = sandbox.get_state(account)
    headers = {"content-type": MEDIA_TYPE}

    response = sandbox.call("PUT", account, "balance", content=body, headers=headers)

    assert response.status_code == 400
    assert set(response.json()) == {"name", "type", "errors"}
    assert sandbox.get_state(account) == before


def test_put_rejects_other_media_types_and_accepts_a_null_date(sandbox):
    account = find_account(sandbox, "Operating EUR")
    text = {"content-type": "text/plain"}

    assert (
        sandbox.call("PUT", account, "balance", content=b'{"balance":1}', headers=text).status_code
        == 415
    )
    nothing = sandbox.call("PUT", account, "balance", json={"balance": 0, "balanceAt": None})
    assert nothing.json()["balance"] == 0


def test_unknown_foreign_and_malformed_accounts_are_rejected(sandbox):
    account = find_account(sandbox, "Operating EUR")
    base = "/light/v1/bank-accounts"
    unknown = f"{base}/3c90c3cc-0d44-4b50-8888-8dd25736052a/balance"

    assert (
        sandbox.client.get(unknown, headers=sandbox.build_auth_headers("light-acme")).status_code
        == 404
    )
    assert sandbox.call("GET", account, "balance", credential="light-globex").status_code == 404
    malformed = sandbox.client.get(
        f"{base}/17/balance", headers=sandbox.build_auth_headers("light-acme")
    )
    assert malformed.status_code == 400
    wrong_method = sandbox.call("DELETE", account, "balance")
    assert wrong_method.status_code == 405
    assert "errors" in wrong_method.json()


def test_older_prefix_redirects_within_the_same_origin(sandbox):
    account = find_account(sandbox, "Operating EUR")
    old = f"/light/rest/ext/v1/bank-accounts/{account.bank_account_id}/balance?asOf=2026-05-01"

    redirect = sandbox.client.get(old, headers=sandbox.build_auth_headers("light-acme"))
    followed = sandbox.client.get(
        old, headers=sandbox.build_auth_headers("light-acme"), follow_redirects=True
    )

    assert redirect.status_code == 307
    assert redirect.headers["location"].startswith(f"{sandbox.url}/light/v1/")
    assert followed.json()["asOf"] == "2026-05-01"


def test_transactions_are_sorted_filtered_and_paged(sandbox):
    account = find_account(sandbox, "Operating EUR")
    query = {"sort": "date:asc", "filter": "date:lte:2026-03-31,dcSign:eq:D", "limit": "2"}

    page = sandbox.get(account, "bank-transactions", **query)
    rest = sandbox.get(account, "bank-transactions", **query, cursor="2")

    both = page["records"] + rest["records"]
    assert len(page["records"]) == 2 < page["total"]
    assert [record["date"] for record in both] == sorted(record["date"] for record in both)
    assert all(record["dcSign"] == "D" and record["amount"] > 0 for record in both)
    assert "nextCursor" not in page
    for bad in ({"limit": "201"}, {"limit": "x"}, {"sort": "amount"}, {"filter": "name:eq:x"}):
        assert sandbox.call("GET", account, "bank-transactions", params=bad).status_code == 400


def test_request_301_in_a_minute_gets_429_with_retry_after(sandbox):
    sandbox.call_control("PUT", "clock", {"now": "2026-05-07T10:00:20Z"})
    account = find_account(sandbox, "Operating EUR")
    responses = [sandbox.call("GET", account, "balance") for _ in range(301)]

    first, last = responses[0], responses[-1]
    assert first.headers["x-ratelimit-limit"] == "300"
    assert first.headers["x-ratelimit-remaining"] == "299"
    assert [response.status_code for response in responses].count(200) == 300
    assert (last.status_code, last.headers["retry-after"]) == (429, "40")
    assert last.headers["x-ratelimit-reset"] == "1778148060"
    assert "errors" in last.json()
    other = sandbox.client.get(
        "/light/v1/bank-accounts", headers=sandbox.build_auth_headers("light-globex")
    )
    assert other.status_code == 200
    sandbox.call_control("PUT", "clock", {"now": "2026-05-07T10:01:00Z"})
    assert sandbox.call("GET", account, "balance").status_code == 200
