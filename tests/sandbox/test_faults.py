"""Test every scripted fault over a real socket."""

import json
import socket
import time

import httpx
import pytest


def get_light_account(sandbox, name="Operating EUR"):
    return sandbox.catalogue.get_account("light", name)


def get_asset_account(sandbox):
    return sandbox.catalogue.get_account("asset", "Operating checking")


def get_layer_account(sandbox):
    return sandbox.catalogue.get_account("layer", "Operating checking")


def build_layer_opening_path(sandbox):
    return f"external-accounts/{get_layer_account(sandbox).external_account_id}/opening-balance"


def get_opening_amount(sandbox):
    return sandbox.get_state(get_light_account(sandbox))["opening"]["amount"]


def get_last_request(sandbox):
    return sandbox.call_control("GET", "requests")["requests"][-1]


def test_drop_before_leaves_no_effect(any_sandbox):
    sandbox = any_sandbox
    before = get_opening_amount(sandbox)
    sandbox.add_fault("drop_before", provider="light", method="PUT")

    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.call("PUT", get_light_account(sandbox), "balance", json={"balance": 77})

    assert get_opening_amount(sandbox) == before
    record = get_last_request(sandbox)
    assert (record["status"], record["handled"], record["fault"]) == (None, False, "drop_before")


def test_drop_after_keeps_the_effect(any_sandbox):
    sandbox = any_sandbox
    sandbox.add_fault("drop_after", provider="light", method="PUT")

    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.call("PUT", get_light_account(sandbox), "balance", json={"balance": 77})

    assert get_opening_amount(sandbox) == "77"
    record = get_last_request(sandbox)
    assert (record["status"], record["handled"]) == (None, True)
    assert sandbox.call("GET", get_light_account(sandbox), "balance").status_code == 200


def test_late_landing_responds_first_and_writes_later(any_sandbox):
    sandbox = any_sandbox
    before = get_opening_amount(sandbox)
    sandbox.add_fault("late_landing", provider="light", method="PUT", delay_s=0.2, status=504)

    response = sandbox.call("PUT", get_light_account(sandbox), "balance", json={"balance": 78})

    assert response.status_code == 504
    assert get_opening_amount(sandbox) == before
    assert sandbox.wait_until(lambda: get_opening_amount(sandbox) == "78")


def test_late_landing_without_status_drops_the_connection(any_sandbox):
    sandbox = any_sandbox
    sandbox.add_fault("late_landing", method="PUT", delay_s=0.1)

    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.call("PUT", get_light_account(sandbox), "balance", json={"balance": 79})

    assert sandbox.wait_until(lambda: get_opening_amount(sandbox) == "79")


def test_reset_cancels_late_writes(sandbox):
    sandbox.add_fault("late_landing", method="PUT", delay_s=0.1, status=504)
    sandbox.call("PUT", get_light_account(sandbox), "balance", json={"balance": 80})

    sandbox.call_control("POST", "reset")

    assert not sandbox.wait_until(lambda: get_opening_amount(sandbox) == "80", within_s=0.3)


def test_truncated_body_is_shorter_than_content_length(any_sandbox):
    any_sandbox.add_fault("truncated_body", provider="light")

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        any_sandbox.call("GET", get_light_account(any_sandbox), "balance")


def test_endless_body_ends_when_the_client_disconnects(any_sandbox):
    any_sandbox.add_fault("endless_body", bytes=2**33)
    read = 0

    headers = any_sandbox.build_auth_headers("light-acme")
    path = any_sandbox.build_path(get_light_account(any_sandbox), "balance")
    with any_sandbox.client.stream("GET", path, headers=headers) as response:
        for chunk in response.iter_bytes():
            read += len(chunk)
            if read > 2**21:
                break

    assert read > 2**21
    assert any_sandbox.call("GET", get_light_account(any_sandbox), "balance").status_code == 200


def test_endless_headers_exceed_the_clients_limit(any_sandbox):
    any_sandbox.add_fault("endless_headers", bytes=2**33)

    with pytest.raises(httpx.RemoteProtocolError):
        any_sandbox.call("GET", get_light_account(any_sandbox), "balance")

    assert any_sandbox.call("GET", get_light_account(any_sandbox), "balance").status_code == 200


def test_slow_body_is_sent_byte_by_byte(any_sandbox):
    any_sandbox.add_fault("slow_body", provider="light", interval_s=0.002)
    headers = any_sandbox.build_auth_headers("light-acme")
    path = any_sandbox.build_path(get_light_account(any_sandbox), "balance")

    with any_sandbox.client.stream("GET", path, headers=headers) as response:
        chunks = list(response.iter_raw())

    assert len(chunks) > 20
    assert json.loads(b"".join(chunks))["currency"] == "EUR"


@pytest.mark.parametrize("when", ["delay_s", "delay_after_s"])
def test_delay_waits_before_or_after_the_effect(sandbox, when):
    sandbox.add_fault("delay", method="PUT", **{when: 0.4})

    with pytest.raises(httpx.ReadTimeout):
        sandbox.call(
            "PUT", get_light_account(sandbox), "balance", json={"balance": 81}, timeout=0.15
        )

    assert (get_opening_amount(sandbox) == "81") is (when == "delay_after_s")
    assert sandbox.wait_until(lambda: get_opening_amount(sandbox) == "81")


def test_token_endpoints_are_affected_only_by_faults_with_a_path(sandbox):
    sandbox.add_fault("503", provider="asset")
    sandbox.fetch_token("asset-acme")
    sandbox.add_fault("503", provider="layer", path="oauth2/token")

    refused = sandbox.client.post("/layer-auth/oauth2/token")

    assert refused.status_code == 503
    assert sandbox.call("GET", get_asset_account(sandbox), "ledger").status_code == 503


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_status_fault_uses_the_providers_error_format(sandbox, status):
    sandbox.add_fault(str(status), times=3)

    responses = [
        sandbox.call("GET", get_light_account(sandbox), "balance"),
        sandbox.call("GET", get_asset_account(sandbox), "ledger"),
        sandbox.client.get("/layer/whoami"),
    ]

    assert [response.status_code for response in responses] == [status] * 3
    keys = [set(response.json()) for response in responses]
    assert keys[0] == {"name", "type", "errors"}
    assert keys[1] == {"error", "data"}
    assert {"type", "description"} <= keys[2]
    assert ("error_enum" in keys[2]) is (status == 429)
    assert responses[0].headers["x-ratelimit-limit"] == "300"


def test_429_can_include_or_omit_retry_after(sandbox):
    sandbox.add_fault("429", retry_after_s=7)
    sandbox.add_fault("429", headers={"X-RateLimit-Reset": None, "X-Custom": "1"})

    first = sandbox.call("GET", get_light_account(sandbox), "balance")
    second = sandbox.call("GET", get_light_account(sandbox), "balance")

    assert first.headers["retry-after"] == "7"
    assert "retry-after" not in second.headers
    assert "x-ratelimit-reset" not in second.headers
    assert second.headers["x-custom"] == "1"


def test_error_body_is_sent_with_status_200(sandbox):
    sandbox.call_control("PUT", "options", {"layer_errors": "list"})
    sandbox.add_fault("error_body_200", provider="layer", path="whoami")

    response = sandbox.client.get("/layer/whoami", headers=sandbox.build_auth_headers("layer-acme"))

    assert response.status_code == 200
    assert response.json()["errors"][0]["type"] == "BadRequest"


def test_redirect_can_point_to_another_origin(sandbox):
    sandbox.add_fault("redirect", location="http://127.0.0.2:9/elsewhere", status=308)

    response = sandbox.call("GET", get_light_account(sandbox), "balance")

    assert response.status_code == 308
    assert response.headers["location"] == "http://127.0.0.2:9/elsewhere"


def test_body_fault_is_sent_verbatim(sandbox):
    sandbox.add_fault("body", body="<html>", content_type="text/html", status=502)

    response = sandbox.call("GET", get_light_account(sandbox), "balance")

    assert (response.status_code, response.text) == (502, "<html>")
    assert response.headers["content-type"] == "text/html"


def test_malformed_json_does_not_parse(sandbox):
    sandbox.add_fault("malformed_json")
    response = sandbox.call("GET", get_light_account(sandbox), "balance")

    with pytest.raises(json.JSONDecodeError):
        response.json()


def test_huge_json_has_the_requested_size(sandbox):
    sandbox.add_fault("huge_json", bytes=3_000_000)
    sandbox.add_fault("huge_json", bytes=2_000_000)

    response = sandbox.call("GET", get_light_account(sandbox), "balance")
    listing = sandbox.client.get(
        "/light/v1/bank-accounts", headers=sandbox.build_auth_headers("light-acme")
    )

    assert len(response.content) > 3_000_000
    assert response.json()["currency"] == "EUR"
    assert len(listing.json()[0]) == 2_000_000


def test_wrong_types_change_amounts_to_text(sandbox):
    sandbox.add_fault("wrong_types", fields=["bankBalance"])
    sandbox.add_fault("wrong_types", provider="asset")

    balance = sandbox.call("GET", get_light_account(sandbox), "balance").json()
    until = {"end_datetime": "2026-05-07T00:00:00Z"}
    report = sandbox.call("GET", get_asset_account(sandbox), "reports/trial-balance", params=until)

    assert isinstance(balance["bankBalance"], str)
    assert isinstance(balance["ledgerBalance"], int)
    assert isinstance(report.json()["data"][0]["debit"], str)


@pytest.mark.parametrize(("kind", "literal"), [("nan", "NaN"), ("overflow", "1e400")])
def test_invalid_and_overflowing_numbers_are_sent(sandbox, kind, literal):
    sandbox.add_fault(kind)

    assert (
        f'"bankBalance":{literal},'
        in sandbox.call("GET", get_light_account(sandbox), "balance").text
    )


def test_duplicate_keys_have_different_values(sandbox):
    sandbox.add_fault("duplicate_keys")

    text = sandbox.call("GET", get_layer_account(sandbox), build_layer_opening_path(sandbox)).text

    assert '"balance":148030025,' in text
    assert text.endswith(',"balance":148030026}')


def test_unknown_enum_and_extra_fields_appear(sandbox):
    sandbox.add_fault("unknown_enum")
    sandbox.add_fault("extra_fields")

    unknown = sandbox.get(get_layer_account(sandbox), build_layer_opening_path(sandbox))
    extended = sandbox.get(get_layer_account(sandbox), build_layer_opening_path(sandbox))

    assert unknown["external_account_source"] == "SOMETHING_NEW"
    assert extended["addedLater"] == {"nested": [1, None, "x"]}
    assert extended["balance"] == unknown["balance"]


def test_wrong_account_and_currency_are_returned(sandbox):
    for _ in range(2):
        sandbox.add_fault("wrong_account")
    sandbox.add_fault("wrong_currency", value="JPY")
    headers = {"content-type": "application/json"}
    path = f"ledger/{get_asset_account(sandbox).ledger_id}/opening-balance"

    balance = sandbox.get(get_light_account(sandbox), "balance")
    put = sandbox.call(
        "PUT", get_asset_account(sandbox), path, content=b'{"amount":5}', headers=headers
    ).json()
    currency = sandbox.get(get_light_account(sandbox), "balance")["currency"]

    assert balance["bankAccountId"] != get_light_account(sandbox).bank_account_id
    assert put["data"]["ledger_id"].startswith("ldg_")
    assert put["data"]["ledger_id"] != get_asset_account(sandbox).ledger_id
    assert currency == "JPY"


def test_patch_merges_exact_numbers_and_removes_keys(sandbox):
    patch = {"bankBalance": 2**63, "ledgerBalance": None, "asOf": "2020-01-01"}
    sandbox.add_fault("patch", patch=patch)

    response = sandbox.get(get_light_account(sandbox), "balance")

    assert (response["bankBalance"], response["asOf"]) == (2**63, "2020-01-01")
    assert "ledgerBalance" not in response


def test_distorted_writes_still_take_effect(sandbox):
    sandbox.add_fault("malformed_json", method="PUT")

    sandbox.call("PUT", get_light_account(sandbox), "balance", json={"balance": 82})

    assert get_opening_amount(sandbox) == "82"


def test_faults_match_by_provider_method_path_and_count(sandbox):
    sandbox.add_fault("503", provider="light", method="GET", path=r"/balance$", skip=1, times=2)

    other = sandbox.client.get(
        "/light/v1/bank-accounts", headers=sandbox.build_auth_headers("light-acme")
    )
    statuses = [
        sandbox.call("GET", get_light_account(sandbox), "balance").status_code for _ in range(5)
    ]

    assert other.status_code == 200
    assert statuses == [200, 503, 503, 200, 200]
    listed_fault = sandbox.call_control("GET", "faults")["faults"][0]
    assert (listed_fault["seen"], listed_fault["struck"], listed_fault["spent"]) == (3, 2, True)


def test_probability_depends_only_on_the_seed(sandbox):
    def statuses(seed):
        sandbox.call_control("DELETE", "faults")
        sandbox.add_fault("503", probability=0.5, times=None, seed=seed)
        return [
            sandbox.call("GET", get_light_account(sandbox), "balance").status_code
            for _ in range(30)
        ]

    first, again, other = statuses(1), statuses(1), statuses(2)

    assert first == again != other
    assert 5 < first.count(503) < 25


def test_unlimited_fault_applies_until_removed(sandbox):
    fault = sandbox.add_fault("503", times=None)
    assert [
        sandbox.call("GET", get_light_account(sandbox), "balance").status_code for _ in range(3)
    ] == [503] * 3

    sandbox.call_control("DELETE", f"faults/{fault['id']}")

    assert sandbox.call("GET", get_light_account(sandbox), "balance").status_code == 200
    assert sandbox.call_control("GET", "faults") == {"faults": []}


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "explode"},
        {"kind": "status"},
        {"kind": "redirect"},
        {"kind": "body"},
        {"kind": "delay", "delay": 3},
        {"kind": "delay", "delay_s": -1},
        {"kind": "503", "path": "("},
        {"kind": "503", "times": 0},
        {"kind": "503", "provider": "bank"},
        ["delay"],
    ],
)
def test_invalid_fault_is_rejected(sandbox, spec):
    response = sandbox.client.post("/_control/faults", json=spec)

    assert response.status_code == 400
    assert response.json()["error"]
    assert sandbox.call_control("GET", "faults") == {"faults": []}


def test_an_unknown_kind_lists_the_known_ones(sandbox):
    response = sandbox.client.post("/_control/faults", json={"kind": "drop_befor"})

    error = response.json()["error"]
    assert error.startswith("kind must be a status such as '503', or one of delay, status, ")
    assert error.endswith("patch; did you mean 'drop_before'?")


def test_incomplete_request_has_no_effect(any_sandbox):
    sandbox, account = any_sandbox, get_light_account(any_sandbox)
    before = get_opening_amount(sandbox)
    address = httpx.URL(sandbox.url)
    head = [
        f"PUT {sandbox.build_path(account, 'balance')} HTTP/1.1",
        "Host: sandbox",
        "Content-Length: 99",
    ]
    head += [f"{name}: {value}" for name, value in sandbox.build_auth_headers("light-acme").items()]
    head += ["Content-Type: application/json", "", '{"balance": 83}']

    with socket.create_connection((address.host, address.port)) as connection:
        connection.sendall("\r\n".join(head).encode())

    assert not sandbox.wait_until(lambda: get_opening_amount(sandbox) != before, within_s=0.2)


def test_slow_request_does_not_block_others(sandbox):
    sandbox.add_fault("delay", path="whoami", delay_s=2)
    started = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        sandbox.client.get("/layer/whoami", timeout=0.05)

    assert sandbox.call("GET", get_light_account(sandbox), "balance").status_code == 200
    assert time.monotonic() - started < 1.5
