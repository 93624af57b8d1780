"""Test the imitated Layer API against Layer's documentation."""

import pytest


def find_account(sandbox, name, tenant="acme"):
    return sandbox.catalogue.get_account("layer", name, tenant)


def build_opening_path(account):
    return f"external-accounts/{account.external_account_id}/opening-balance"


def flatten_ledger_tree(nodes):
    found = {}
    for node in nodes:
        found[node["id"]["id"] if isinstance(node["id"], dict) else node["id"]] = node
        found |= flatten_ledger_tree(node["sub_accounts"])
    return found


def get_ledger_nodes(sandbox, account, **params):
    return flatten_ledger_tree(
        sandbox.get(account, "ledger/balances", **params)["data"]["accounts"]
    )


def build_token_form(**changes):
    return {
        "grant_type": "client_credentials",
        "scope": "https://sandbox.layerfi.com/sandbox",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "secret", "status"),
    [
        ({}, "layer-acme-secret-not-real", 200),
        ({}, "guess", 401),
        ({"grant_type": "password"}, "layer-acme-secret-not-real", 400),
        ({"scope": "https://api.layerfi.com/production"}, "layer-acme-secret-not-real", 400),
    ],
)
def test_token_endpoint_checks_client_grant_and_scope(sandbox, changes, secret, status):
    auth = ("layer-acme-client", secret)
    response = sandbox.client.post(
        "/layer-auth/oauth2/token", data=build_token_form(**changes), auth=auth
    )

    assert response.status_code == status
    if status == 200:
        assert (response.json()["expires_in"], response.json()["token_type"]) == (3600, "Bearer")


def test_token_is_valid_for_an_hour(sandbox):
    headers = sandbox.build_auth_headers("layer-acme")
    whoami = sandbox.client.get("/layer/whoami", headers=headers).json()
    sandbox.call_control("PUT", "clock", {"now": "2026-05-07T11:00:00Z"})
    expired = sandbox.client.get("/layer/whoami", headers=headers)

    assert whoami["data"]["clientId"] == "layer-acme-client"
    assert (expired.status_code, expired.json()["type"]) == (401, "AuthFailure")


def test_opening_balance_has_all_documented_fields(sandbox):
    account = find_account(sandbox, "Operating checking")
    bare = sandbox.get(account, build_opening_path(account))
    sandbox.call_control("PUT", "options", {"layer_envelope": "data"})
    wrapped = sandbox.get(account, build_opening_path(account))

    assert set(bare) == {
        "external_account_external_id",
        "external_account_source",
        "balance",
        "effective_at",
        "created_at",
        "updated_at",
        "transaction_tags",
        "memo",
        "metadata",
        "reference_number",
    }
    assert (bare["balance"], bare["effective_at"]) == (1_480_300_25, "2026-01-01T00:00:00Z")
    assert wrapped == {"data": {"type": "Opening_Balance", **bare}}


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("shape", ["bare", "list"])
def test_no_opening_balance_has_its_own_error_enum(sandbox, status, shape):
    account = find_account(sandbox, "New savings")
    switches = {"layer_no_opening_balance_status": status, "layer_errors": shape}
    sandbox.call_control("PUT", "options", switches)

    response = sandbox.call("GET", account, build_opening_path(account))

    error = response.json() if shape == "bare" else response.json()["errors"][0]
    assert response.status_code == status
    assert error["error_enum"] == "NoOpeningBalanceFound"
    external = sandbox.get(account, f"external-accounts/{account.external_account_id}")
    assert external["notifications"][0]["type"] == "OPENING_BALANCE_MISSING"


def test_unknown_business_or_account_is_not_found(sandbox):
    account, foreign = (
        find_account(sandbox, "Operating checking"),
        find_account(sandbox, "Company card", "globex"),
    )
    unknown = "external-accounts/17/opening-balance"

    responses = [
        sandbox.call("GET", account, unknown),
        sandbox.call("GET", foreign, build_opening_path(foreign), credential="layer-acme"),
    ]

    assert [response.status_code for response in responses] == [404, 404]
    assert responses[0].json()["type"] == "ResourceNotFound"


def test_custom_balance_has_no_effect_until_recalculated(sandbox):
    account = find_account(sandbox, "Dormant savings")
    custom = f"custom-accounts/{account.custom_account_id}"
    before = sandbox.get(account, build_opening_path(account))
    body = {"amount": 12_345, "date": "2026-01-01T00:00:00Z"}

    stated = sandbox.call("POST", account, f"{custom}/balance", json=body)
    between = sandbox.get(account, build_opening_path(account))
    recalculated = sandbox.call("POST", account, f"{custom}/opening-balance")

    assert (stated.status_code, set(stated.json())) == (200, {"type"})
    assert between == before
    assert recalculated.json()["balance"] == 12_345
    assert sandbox.get(account, build_opening_path(account)) == recalculated.json()
    listed = sandbox.get(account, f"external-accounts/{account.external_account_id}")
    assert listed["latest_balance_timestamp"]["balance"] == 12_345


def test_recalculation_subtracts_earlier_transactions(sandbox):
    account = find_account(sandbox, "Legacy reserve")
    custom = f"custom-accounts/{account.custom_account_id}"
    body = {"amount": 0, "date": "2026-01-01T00:00:00Z"}
    earlier = [
        entry
        for entry in sandbox.get_state(account)["entries"]
        if entry["on_bank"] and entry["at"] <= "2026-01-01T00:00:00Z"
    ]
    sandbox.call("POST", account, f"{custom}/balance", json=body)

    from_history = sandbox.call("POST", account, f"{custom}/opening-balance").json()
    sandbox.call_control("PUT", "options", {"layer_recalculate": "as_stated"})
    as_stated = sandbox.call("POST", account, f"{custom}/opening-balance").json()

    assert from_history["balance"] == -sum(int(entry["amount"]) for entry in earlier) != 0
    assert from_history["effective_at"] == earlier[0]["at"]
    assert (as_stated["balance"], as_stated["effective_at"]) == (0, body["date"])


def test_recalculation_requires_a_stated_balance(sandbox):
    account = find_account(sandbox, "Dormant savings")
    path = f"custom-accounts/{account.custom_account_id}/opening-balance"

    assert sandbox.call("POST", account, path).status_code == 400


def test_bank_account_route_can_set_a_zero_balance(sandbox):
    account = find_account(sandbox, "New savings")
    path = f"bank-accounts/{account.bank_account_id}/opening-balance"
    body = {"effective_at": "2026-03-01T00:00:00-05:00", "balance": 0}

    response = sandbox.call("POST", account, path, json=body)

    assert response.json()["balance"] == 0
    assert (
        sandbox.get(account, build_opening_path(account))["effective_at"] == "2026-03-01T05:00:00Z"
    )


def test_delete_removes_the_opening_balance(sandbox):
    account = find_account(sandbox, "Operating checking")

    first = sandbox.call("DELETE", account, build_opening_path(account))
    second = sandbox.call("DELETE", account, build_opening_path(account))

    assert first.status_code == 200
    assert second.json()["error_enum"] == "NoOpeningBalanceFound"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"balance": 1.0, "effective_at": "2026-03-01T00:00:00Z"}',
        b'{"balance": true, "effective_at": "2026-03-01T00:00:00Z"}',
        b'{"balance": "1", "effective_at": "2026-03-01T00:00:00Z"}',
        b'{"balance": 9223372036854775808, "effective_at": "2026-03-01T00:00:00Z"}',
        b'{"balance": 1, "effective_at": "2026-03-01"}',
        b'{"balance": 1, "effective_at": "2026-03-01T00:00:00"}',
        b'{"balance": 1}',
    ],
)
def test_writes_reject_invalid_cents_and_date_times(sandbox, body):
    account = find_account(sandbox, "New savings")
    path = f"bank-accounts/{account.bank_account_id}/opening-balance"
    headers = {"content-type": "application/json"}

    response = sandbox.call("POST", account, path, content=body, headers=headers)

    assert response.status_code == 400
    assert sandbox.get_state(account)["opening"] is None


def test_other_content_types_are_rejected_even_on_get(sandbox):
    account = find_account(sandbox, "Operating checking")
    text = {"content-type": "text/plain"}

    assert (
        sandbox.call("GET", account, build_opening_path(account), headers=text).status_code == 415
    )


def test_closed_period_rejects_backdated_writes(sandbox):
    account = find_account(sandbox, "New checking", "globex")
    path = f"bank-accounts/{account.bank_account_id}/opening-balance"

    early = {"effective_at": "2025-06-30T23:59:59Z", "balance": 1}
    on_the_day = {"effective_at": "2025-07-01T00:00:00Z", "balance": 1}
    refused = sandbox.call("POST", account, path, json=early)

    assert (refused.status_code, refused.json()["error_enum"]) == (400, "PeriodIsClosed")
    assert sandbox.call("POST", account, path, json=on_the_day).status_code == 200


def test_ledger_end_is_exclusive_and_start_inclusive(sandbox):
    account = find_account(sandbox, "Dormant savings")
    entry = {"provider": "layer", "account": account.remote_id, "amount": 700}
    midnight = "2026-05-07T00:00:00Z"
    sandbox.call_control("POST", "transactions", entry | {"at": midnight})

    def balance(**params):
        return get_ledger_nodes(sandbox, account, **params)[account.ledger_account_id]["balance"]

    until, past = balance(end_date=midnight), balance(end_date="2026-05-07T00:00:00.000001Z")
    assert past == until + 700
    assert balance(end_date="2026-05-07") == until
    assert balance(start_date=midnight, end_date="2026-05-08") == 700


def test_ledger_parents_sum_their_children_on_the_normal_side(sandbox):
    account = find_account(sandbox, "Company card")
    nodes = sandbox.get(account, "ledger/balances", end_date="2026-05-08")["data"]["accounts"]
    liabilities = next(node for node in nodes if node["stable_name"] == "LIABILITIES")
    cards = liabilities["sub_accounts"][0]

    assert liabilities["normality"] == "CREDIT"
    assert liabilities["balance"] == cards["balance"]
    assert cards["balance"] == sum(account["balance"] for account in cards["sub_accounts"])
    signs = {"DEBIT": 1, "CREDIT": -1}
    assert sum(signs[node["normality"]] * node["balance"] for node in nodes) == 0


def test_ledger_account_is_opening_balance_plus_entries(sandbox):
    account = find_account(sandbox, "Company card")
    state = sandbox.get_state(account)
    until = "2026-05-08T00:00:00Z"
    moved = sum(
        int(entry["amount"])
        for entry in state["entries"]
        if entry["on_books"] and "accrual" in entry["bases"] and entry["at"] < until
    )
    cash = get_ledger_nodes(sandbox, account, end_date=until, reporting_basis="CASH")[
        account.ledger_account_id
    ]
    accrual = get_ledger_nodes(sandbox, account, end_date=until)[account.ledger_account_id]

    assert accrual["balance"] == int(state["opening"]["amount"]) - moved
    assert cash["balance"] != accrual["balance"]
    assert (
        sandbox.call(
            "GET", account, "ledger/balances", params={"reporting_basis": "cash"}
        ).status_code
        == 400
    )


def test_ledger_ids_are_text_or_objects(sandbox):
    account = find_account(sandbox, "Company card")
    sandbox.call_control("PUT", "options", {"layer_account_ids": "object"})

    root = sandbox.get(account, "ledger/balances")["data"]["accounts"][0]

    assert root["id"]["type"] == "AccountId"
    assert account.ledger_account_id in get_ledger_nodes(sandbox, account)


def test_lists_connect_the_three_kinds_of_account_id(sandbox):
    account = find_account(sandbox, "Operating checking")
    external = sandbox.get(account, f"external-accounts/{account.external_account_id}")
    custom = sandbox.get(account, "custom-accounts")
    banks = sandbox.get(account, "bank-accounts")["data"]

    reference = external["external_account_external_id"]
    assert account.custom_account_id in [
        custom_account["id"]
        for custom_account in custom
        if custom_account["external_id"] == reference
    ]
    joined = {
        bank_account["id"]: bank_account["external_accounts"][0]["id"] for bank_account in banks
    }
    assert joined[account.bank_account_id] == account.external_account_id
    assert len(banks) >= 50


def test_bucket_of_100_requests_refills_each_second(sandbox):
    headers = sandbox.build_auth_headers("layer-acme")

    responses = [sandbox.client.get("/layer/whoami", headers=headers) for _ in range(101)]
    sandbox.call_control("PUT", "clock", {"now": "2026-05-07T10:00:01Z"})

    assert [response.status_code for response in responses].count(200) == 100
    assert responses[-1].headers["retry-after"] == "1"
    assert responses[-1].json()["error_enum"] == "ManualRateLimit"
    assert sandbox.client.get("/layer/whoami", headers=headers).status_code == 200


def test_layer_lists_the_client_s_businesses_and_pages_its_lists(sandbox):
    account = sandbox.catalogue.list_accounts("layer", "acme")[0]
    headers = sandbox.build_auth_headers("layer-acme")
    listed = sandbox.client.get("/layer/v1/businesses", headers=headers).json()
    sandbox.call_control("PUT", "options", {"list_page_size": 20})

    pages, query = [], {}
    for _ in range(3):
        page = sandbox.get(account, "external-accounts", **query)
        pages.append(page["data"])
        query = {"cursor": page["meta"]["pagination"]["cursor"]}
    limited = sandbox.get(account, "external-accounts", limit=1)
    wrong = sandbox.call("GET", account, "external-accounts", params={"cursor": "x"})

    assert [one["id"] for one in listed] == [account.business_id]
    assert [len(page) for page in pages] == [20, 20, 10]
    assert query == {"cursor": None}
    assert len({one["id"] for page in pages for one in page}) == 50
    assert len(limited["data"]) == 1
    assert (wrong.status_code, wrong.json()["error_enum"]) == (400, "InvalidPaginationCursor")
