"""Wrong credentials: throttled per client address, counted and logged."""

import ipaddress
import logging
from collections import Counter

import pytest

from balance_gateway.web.failed_credentials import (
    ADDRESSES_MAX,
    FAILURES_MAX,
    FailedCredentials,
    find_client_address,
)
from tests.api.fakes import READ, GatewayHarness, open_client

PROXIES = [ipaddress.ip_network(one) for one in ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8")]


class Watch:
    now_s = 100.0

    def read(self) -> float:
        return self.now_s


def fail(failed: FailedCredentials, address: str, times: int = 1) -> int | None:
    """Fail several times; return the result of the last time."""
    scope = {"type": "http", "client": (address, 4711)}
    return [failed.count(scope, {}) for _ in range(times)][-1]


@pytest.mark.parametrize("path", ["/graphql", "/metrics"])
async def test_wrong_keys_are_throttled_and_a_right_one_never(
    harness: GatewayHarness, caplog: pytest.LogCaptureFixture, path: str
):
    """1,500 wrong keys at 3,800 a second met no delay, no log line and no metric."""
    caplog.set_level(logging.INFO)
    body = {"query": "{ __typename }"}
    async with open_client(harness, metrics_key=READ) as client:
        statuses = Counter[int]()
        for number in range(FAILURES_MAX + 40):
            headers = {"Authorization": f"Bearer wrong-{number}"}
            method = "GET" if path == "/metrics" else "POST"
            throttled = await client.http.request(method, path, json=body, headers=headers)
            statuses[throttled.status_code] += 1
        right = await client.http.request(
            method, path, json=body, headers={"Authorization": f"Bearer {READ}"}
        )
        without = await client.http.request(method, path, json=body)

    assert set(statuses) == {401, 429}
    assert statuses[429] > 0
    assert statuses[401] >= FAILURES_MAX
    assert throttled.headers["retry-after"] == "1"
    assert (right.status_code, without.status_code) == (200, 401)
    lines = [record for record in caplog.records if record.message == "credential.refused"]
    assert 1 <= len(lines) <= 2
    assert lines[0].__dict__["address"] == "127.0.0.1"
    assert "wrong-" not in " ".join(str(vars(line)) for line in lines)


async def test_a_throttled_response_has_its_code(harness: GatewayHarness):
    async with open_client(harness) as client:
        assert harness.endpoint is not None
        fail(harness.endpoint._failures, "127.0.0.1", FAILURES_MAX + 5)
        response = await client.post("{ __typename }", key="wrong")

    [error] = response.json()["errors"]
    assert response.status_code == 429
    assert error["extensions"] == {"code": "TOO_MANY_REQUESTS", "retryable": True}


def test_an_address_recovers_and_does_not_throttle_others():
    watch, outcomes = Watch(), Counter[str]()
    failed = FailedCredentials((), lambda outcome: outcomes.update([outcome]), watch.read)

    assert fail(failed, "192.0.2.1", FAILURES_MAX) is None
    assert fail(failed, "192.0.2.1", 500) == 1
    assert fail(failed, "192.0.2.2") is None
    assert outcomes == {"refused": FAILURES_MAX + 1, "throttled": 500}
    watch.now_s += 1.0
    assert fail(failed, "192.0.2.1") is None
    assert fail(failed, "192.0.2.1") == 1
    watch.now_s += 3600.0
    assert fail(failed, "192.0.2.1", FAILURES_MAX) is None
    assert fail(failed, "192.0.2.1") == 1


def test_the_number_of_addresses_is_bounded():
    failed = FailedCredentials()
    for number in range(ADDRESSES_MAX + 10):
        fail(failed, str(ipaddress.ip_address(number + 2**24)))

    assert len(failed._forgotten_s) == ADDRESSES_MAX


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.2.3.4", "198.51.100.7"),
        ("10.0.0.1", "10.9.9.9, 10.2.3.4", "10.9.9.9"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8:1:2:3::9]:4711", "2001:db8:1:2::/64"),
        ("10.0.0.1", "2001:db8:1:2:3::9", "2001:db8:1:2::/64"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9,", "10.0.0.1"),
        ("fd00::1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("", "198.51.100.7", ""),
        ("127.0.0.1", ", ".join(["203.0.113.9"] * 5000), "203.0.113.9"),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_has(peer, forwarded, client):
    assert find_client_address(peer, forwarded, PROXIES) == client
