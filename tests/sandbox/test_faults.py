"""Every scripted fault, over a real socket."""

import json
import socket
import time

import httpx
import pytest


def light(box, name="Operating EUR"):
    return box.catalogue.account("light", name)


def asset(box):
    return box.catalogue.account("asset", "Operating checking")


def layer(box):
    return box.catalogue.account("layer", "Operating checking")


def layer_opening(box):
    return f"external-accounts/{layer(box).external_account_id}/opening-balance"


def opening(box):
    return box.state(light(box))["opening"]["amount"]


def last_request(box):
    return box.control("GET", "requests")["requests"][-1]


def test_drop_before_leaves_no_effect(either_box):
    box = either_box
    before = opening(box)
    box.fault("drop_before", provider="light", method="PUT")

    with pytest.raises(httpx.RemoteProtocolError):
        box.call("PUT", light(box), "balance", json={"balance": 77})

    assert opening(box) == before
    record = last_request(box)
    assert (record["status"], record["handled"], record["fault"]) == (None, False, "drop_before")


def test_drop_after_keeps_the_effect(either_box):
    box = either_box
    box.fault("drop_after", provider="light", method="PUT")

    with pytest.raises(httpx.RemoteProtocolError):
        box.call("PUT", light(box), "balance", json={"balance": 77})

    assert opening(box) == "77"
    record = last_request(box)
    assert (record["status"], record["handled"]) == (None, True)
    assert box.call("GET", light(box), "balance").status_code == 200


def test_late_landing_answers_now_and_writes_later(either_box):
    box = either_box
    before = opening(box)
    box.fault("late_landing", provider="light", method="PUT", delay_s=0.2, status=504)

    answer = box.call("PUT", light(box), "balance", json={"balance": 78})

    assert answer.status_code == 504
    assert opening(box) == before
    assert box.eventually(lambda: opening(box) == "78")


def test_late_landing_drops_the_connection_unless_a_status_is_asked_for(either_box):
    box = either_box
    box.fault("late_landing", method="PUT", delay_s=0.1)

    with pytest.raises(httpx.RemoteProtocolError):
        box.call("PUT", light(box), "balance", json={"balance": 79})

    assert box.eventually(lambda: opening(box) == "79")


def test_reset_cancels_what_has_not_landed(box):
    box.fault("late_landing", method="PUT", delay_s=0.1, status=504)
    box.call("PUT", light(box), "balance", json={"balance": 80})

    box.control("POST", "reset")

    assert not box.eventually(lambda: opening(box) == "80", within_s=0.3)


def test_truncated_body_sends_less_than_it_promises(either_box):
    either_box.fault("truncated_body", provider="light")

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        either_box.call("GET", light(either_box), "balance")


def test_endless_body_ends_only_with_the_client(either_box):
    either_box.fault("endless_body", bytes=2**33)
    read = 0

    headers = either_box.auth("light-acme")
    path = either_box.path(light(either_box), "balance")
    with either_box.client.stream("GET", path, headers=headers) as answer:
        for chunk in answer.iter_bytes():
            read += len(chunk)
            if read > 2**21:
                break

    assert read > 2**21
    assert either_box.call("GET", light(either_box), "balance").status_code == 200


def test_endless_headers_overrun_the_client(either_box):
    either_box.fault("endless_headers", bytes=2**33)

    with pytest.raises(httpx.RemoteProtocolError):
        either_box.call("GET", light(either_box), "balance")

    assert either_box.call("GET", light(either_box), "balance").status_code == 200


def test_slow_body_comes_byte_by_byte(either_box):
    either_box.fault("slow_body", provider="light", interval_s=0.002)
    headers = either_box.auth("light-acme")
    path = either_box.path(light(either_box), "balance")

    with either_box.client.stream("GET", path, headers=headers) as answer:
        chunks = list(answer.iter_raw())

    assert len(chunks) > 20
    assert json.loads(b"".join(chunks))["currency"] == "EUR"


@pytest.mark.parametrize("when", ["delay_s", "delay_after_s"])
def test_delay_waits_before_or_after_the_effect(box, when):
    box.fault("delay", method="PUT", **{when: 0.4})

    with pytest.raises(httpx.ReadTimeout):
        box.call("PUT", light(box), "balance", json={"balance": 81}, timeout=0.15)

    assert (opening(box) == "81") is (when == "delay_after_s")
    assert box.eventually(lambda: opening(box) == "81")


def test_token_endpoints_meet_only_faults_that_name_them(box):
    box.fault("503", provider="asset")
    box.token("asset-acme")
    box.fault("503", provider="layer", path="oauth2/token")

    refused = box.client.post("/layer-auth/oauth2/token")

    assert refused.status_code == 503
    assert box.call("GET", asset(box), "ledger").status_code == 503


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_status_is_answered_in_the_providers_own_shape(box, status):
    box.fault(str(status), times=3)

    answers = [
        box.call("GET", light(box), "balance"),
        box.call("GET", asset(box), "ledger"),
        box.client.get("/layer/whoami"),
    ]

    assert [one.status_code for one in answers] == [status] * 3
    keys = [set(one.json()) for one in answers]
    assert keys[0] == {"name", "type", "errors"}
    assert keys[1] == {"error", "data"}
    assert {"type", "description"} <= keys[2]
    assert ("error_enum" in keys[2]) is (status == 429)
    assert answers[0].headers["x-ratelimit-limit"] == "300"


def test_429_comes_with_and_without_retry_after(box):
    box.fault("429", retry_after_s=7)
    box.fault("429", headers={"X-RateLimit-Reset": None, "X-Custom": "1"})

    first = box.call("GET", light(box), "balance")
    second = box.call("GET", light(box), "balance")

    assert first.headers["retry-after"] == "7"
    assert "retry-after" not in second.headers
    assert "x-ratelimit-reset" not in second.headers
    assert second.headers["x-custom"] == "1"


def test_error_body_comes_with_status_200(box):
    box.control("PUT", "options", {"layer_errors": "list"})
    box.fault("error_body_200", provider="layer", path="whoami")

    answer = box.client.get("/layer/whoami", headers=box.auth("layer-acme"))

    assert answer.status_code == 200
    assert answer.json()["errors"][0]["type"] == "BadRequest"


def test_redirect_crosses_origins(box):
    box.fault("redirect", location="http://127.0.0.2:9/elsewhere", status=308)

    answer = box.call("GET", light(box), "balance")

    assert answer.status_code == 308
    assert answer.headers["location"] == "http://127.0.0.2:9/elsewhere"


def test_body_is_sent_as_given(box):
    box.fault("body", body="<html>", content_type="text/html", status=502)

    answer = box.call("GET", light(box), "balance")

    assert (answer.status_code, answer.text) == (502, "<html>")
    assert answer.headers["content-type"] == "text/html"


def test_malformed_json_does_not_parse(box):
    box.fault("malformed_json")
    answer = box.call("GET", light(box), "balance")

    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_huge_json_is_as_large_as_asked(box):
    box.fault("huge_json", bytes=3_000_000)
    box.fault("huge_json", bytes=2_000_000)

    answer = box.call("GET", light(box), "balance")
    listing = box.client.get("/light/v1/bank-accounts", headers=box.auth("light-acme"))

    assert len(answer.content) > 3_000_000
    assert answer.json()["currency"] == "EUR"
    assert len(listing.json()[0]) == 2_000_000


def test_wrong_types_turn_money_into_text(box):
    box.fault("wrong_types", fields=["bankBalance"])
    box.fault("wrong_types", provider="asset")

    balance = box.call("GET", light(box), "balance").json()
    until = {"end_datetime": "2026-05-07T00:00:00Z"}
    report = box.call("GET", asset(box), "reports/trial-balance", params=until)

    assert isinstance(balance["bankBalance"], str)
    assert isinstance(balance["ledgerBalance"], int)
    assert isinstance(report.json()["data"][0]["debit"], str)


@pytest.mark.parametrize(("kind", "literal"), [("nan", "NaN"), ("overflow", "1e400")])
def test_numbers_no_json_reader_should_trust(box, kind, literal):
    box.fault(kind)

    assert f'"bankBalance":{literal},' in box.call("GET", light(box), "balance").text


def test_duplicate_keys_disagree(box):
    box.fault("duplicate_keys")

    text = box.call("GET", layer(box), layer_opening(box)).text

    assert '"balance":148030025,' in text
    assert text.endswith(',"balance":148030026}')


def test_unknown_enum_and_extra_fields_appear(box):
    box.fault("unknown_enum")
    box.fault("extra_fields")

    unknown = box.get(layer(box), layer_opening(box))
    extended = box.get(layer(box), layer_opening(box))

    assert unknown["external_account_source"] == "SOMETHING_NEW"
    assert extended["addedLater"] == {"nested": [1, None, "x"]}
    assert extended["balance"] == unknown["balance"]


def test_another_account_or_currency_is_echoed(box):
    for _ in range(2):
        box.fault("wrong_account")
    box.fault("wrong_currency", value="JPY")
    headers = {"content-type": "application/json"}
    what = f"ledger/{asset(box).ledger_id}/opening-balance"

    balance = box.get(light(box), "balance")
    put = box.call("PUT", asset(box), what, content=b'{"amount":5}', headers=headers).json()
    currency = box.get(light(box), "balance")["currency"]

    assert balance["bankAccountId"] != light(box).bank_account_id
    assert put["data"]["ledger_id"].startswith("ldg_")
    assert put["data"]["ledger_id"] != asset(box).ledger_id
    assert currency == "JPY"


def test_patch_merges_exactly_and_removes(box):
    patch = {"bankBalance": 2**63, "ledgerBalance": None, "asOf": "2020-01-01"}
    box.fault("patch", patch=patch)

    answer = box.get(light(box), "balance")

    assert (answer["bankBalance"], answer["asOf"]) == (2**63, "2020-01-01")
    assert "ledgerBalance" not in answer


def test_distorted_writes_still_take_effect(box):
    box.fault("malformed_json", method="PUT")

    box.call("PUT", light(box), "balance", json={"balance": 82})

    assert opening(box) == "82"


def test_faults_match_by_provider_method_path_and_count(box):
    box.fault("503", provider="light", method="GET", path=r"/balance$", skip=1, times=2)

    other = box.client.get("/light/v1/bank-accounts", headers=box.auth("light-acme"))
    statuses = [box.call("GET", light(box), "balance").status_code for _ in range(5)]

    assert other.status_code == 200
    assert statuses == [200, 503, 503, 200, 200]
    told = box.control("GET", "faults")["faults"][0]
    assert (told["seen"], told["struck"], told["spent"]) == (3, 2, True)


def test_probability_is_drawn_from_its_own_seed(box):
    def statuses(seed):
        box.control("DELETE", "faults")
        box.fault("503", probability=0.5, times=None, seed=seed)
        return [box.call("GET", light(box), "balance").status_code for _ in range(30)]

    first, again, other = statuses(1), statuses(1), statuses(2)

    assert first == again != other
    assert 5 < first.count(503) < 25


def test_lasting_fault_stays_until_removed(box):
    fault = box.fault("503", times=None)
    assert [box.call("GET", light(box), "balance").status_code for _ in range(3)] == [503] * 3

    box.control("DELETE", f"faults/{fault['id']}")

    assert box.call("GET", light(box), "balance").status_code == 200
    assert box.control("GET", "faults") == {"faults": []}


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
def test_a_mistaken_fault_is_refused(box, spec):
    answer = box.client.post("/_control/faults", json=spec)

    assert answer.status_code == 400
    assert answer.json()["error"]
    assert box.control("GET", "faults") == {"faults": []}


def test_a_request_cut_off_halfway_has_no_effect(either_box):
    box, account = either_box, light(either_box)
    before = opening(box)
    address = httpx.URL(box.url)
    head = [f"PUT {box.path(account, 'balance')} HTTP/1.1", "Host: sandbox", "Content-Length: 99"]
    head += [f"{name}: {value}" for name, value in box.auth("light-acme").items()]
    head += ["Content-Type: application/json", "", '{"balance": 83}']

    with socket.create_connection((address.host, address.port)) as connection:
        connection.sendall("\r\n".join(head).encode())

    assert not box.eventually(lambda: opening(box) != before, within_s=0.2)


def test_one_slow_request_does_not_hold_up_others(box):
    box.fault("delay", path="whoami", delay_s=2)
    started = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        box.client.get("/layer/whoami", timeout=0.05)

    assert box.call("GET", light(box), "balance").status_code == 200
    assert time.monotonic() - started < 1.5
