"""Two gateways with one Redis: a write through one is visible through the other."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http_clients import WITHOUT_TLS
from tests.servers import RedisServer, free_port, redis_server
from tests.system.processes import GatewayClient, run_demo, run_process, wait_until_ready

READ = """query ($asOf: Date, $age: Int) { bankAccount(id: "light-operating-eur") {
  openingBalance { amount { minorUnits } }
  balance(asOf: $asOf, maxAgeSeconds: $age) { bank { minorUnits } freshness { state } } } }"""
WRITE = """mutation ($minor: BigInt!) { upsertOpeningBalance(input: {
  accountId: "light-operating-eur", effectiveAt: "2026-01-01T00:00:00Z",
  amount: {minorUnits: $minor, currency: "EUR"}}) {
    __typename ... on OpeningBalanceRejected { code message retryable } } }"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def replicas(
    tmp_path_factory: pytest.TempPathFactory, redis: RedisServer
) -> Iterator[tuple[GatewayClient, GatewayClient]]:
    """Two gateway processes with the demo's configuration and one Redis."""
    data_dir: Path = tmp_path_factory.mktemp("replicas")
    with ExitStack() as stack:
        _, printed = stack.enter_context(run_demo(data_dir))
        config = data_dir / "gateway.toml"
        config.write_text(f'[cache]\nurl = "{redis.url}"\n\n{config.read_text()}')
        gateways = []
        # The first is started from nothing: the two must not need the same hash seed.
        for is_preloaded in (False, True):
            port = free_port()
            arguments = ("serve", "--config", str(config), "--port", str(port))
            started = stack.enter_context(run_process(*arguments, is_preloaded=is_preloaded))
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, started)
            gateways.append(GatewayClient(url, printed["sandbox_url"], printed["admin_key"]))
        yield gateways[0], gateways[1]


def test_replicas_share_cached_values(
    replicas: tuple[GatewayClient, GatewayClient],
) -> None:
    one, other = replicas
    one.data(READ, asOf="2026-02-02")
    one.control("DELETE", "requests")

    response = other.data(READ, asOf="2026-02-02")

    assert response["bankAccount"]["balance"]["freshness"]["state"] == "CACHED"
    assert one.count_calls() == {}


def poll(gateway: GatewayClient, tag: str) -> httpx.Response:
    """Ask as the dashboard does, which has the response with this tag."""
    return httpx.get(
        f"{gateway.url}/graphql",
        params={"query": READ, "variables": '{"asOf":"2026-02-04"}'},
        headers={
            "Authorization": f"Bearer {gateway.key}",
            "Accept": "application/json",
            "If-None-Match": tag,
        },
        timeout=30,
        trust_env=False,
        verify=WITHOUT_TLS,
    )


def test_no_poll_gets_304_after_a_write_through_the_other_replica(
    replicas: tuple[GatewayClient, GatewayClient],
) -> None:
    one, other = replicas
    # The first response is LIVE, and the next one CACHED.
    tag = poll(other, poll(other, "").headers["etag"]).headers["etag"]
    unchanged = poll(other, tag).status_code

    written = one.data(WRITE, minor="91500")["upsertOpeningBalance"]
    answers = [poll(replica, tag) for replica in (other, one)]

    assert (unchanged, written["__typename"]) == (304, "OpeningBalanceApplied")
    for answer in answers:
        assert answer.status_code == 200
        account = answer.json()["data"]["bankAccount"]
        assert account["openingBalance"]["amount"]["minorUnits"] == "91500"


@pytest.mark.parametrize("minor", ["700", "800"])
def test_a_write_through_one_replica_is_visible_through_the_other(
    replicas: tuple[GatewayClient, GatewayClient], minor: str
) -> None:
    one, other = replicas
    before = int(
        other.data(READ, asOf="2026-02-03")["bankAccount"]["balance"]["bank"]["minorUnits"]
    )
    previous = int(other.data(READ)["bankAccount"]["openingBalance"]["amount"]["minorUnits"])

    written = one.data(WRITE, minor=minor)["upsertOpeningBalance"]
    after = other.data(READ, asOf="2026-02-03")["bankAccount"]

    assert written["__typename"] == "OpeningBalanceApplied"
    assert after["openingBalance"]["amount"]["minorUnits"] == minor
    assert int(after["balance"]["bank"]["minorUnits"]) == before - previous + int(minor)


def test_a_persisted_query_of_one_replica_is_found_by_the_other(
    replicas: tuple[GatewayClient, GatewayClient],
) -> None:
    one, other = replicas
    query = "query Shared { bankAccounts { totalCount } }"
    extension = {"version": 1, "sha256Hash": hashlib.sha256(query.encode()).hexdigest()}
    by_hash = {"extensions": {"persistedQuery": extension}}

    before = post_body(other, by_hash)
    registered = post_body(one, {"query": query, **by_hash})
    # The registration is not part of the answer.
    for _ in range(100):
        found = post_body(other, by_hash)
        if "data" in found:
            break
        time.sleep(0.05)

    assert before["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert found == registered
    assert found["data"]["bankAccounts"]["totalCount"] > 0


def post_body(client: GatewayClient, body: dict[str, Any]) -> dict[str, Any]:
    response = httpx.post(
        f"{client.url}/graphql",
        json=body,
        headers={"Authorization": f"Bearer {client.key}"},
        trust_env=False,
    )
    answer: dict[str, Any] = response.json()
    return answer


def count_puts(client: GatewayClient) -> int:
    requests = client.control("GET", "requests")["requests"]
    return [call["method"] for call in requests].count("PUT")


def test_without_redis_reads_continue_and_writes_are_rejected(
    replicas: tuple[GatewayClient, GatewayClient], redis: RedisServer
) -> None:
    one, other = replicas
    sent_before = count_puts(one)
    redis.stop()
    try:
        read = one.data(READ, asOf="2026-02-04")["bankAccount"]
        refused = other.data(WRITE, minor="900")["upsertOpeningBalance"]
    finally:
        redis.start()
    sent_meanwhile = count_puts(one) - sent_before

    retried = other.data(WRITE, minor="901")["upsertOpeningBalance"]

    assert read["balance"]["freshness"]["state"] == "LIVE"
    assert (refused["code"], refused["retryable"]) == ("PROVIDER_UNAVAILABLE", True)
    assert retried["__typename"] == "OpeningBalanceApplied"
    assert sent_meanwhile == 0, "the refused write did not reach the provider"
