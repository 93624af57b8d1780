"""Balance reads that are begun without a task: the same as others, whatever the provider does."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from balance_gateway.app.call_observer import make_call_observer
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.errors import CircuitOpen, GatewayError
from balance_gateway.domain.secret import Secret
from balance_gateway.observability.metrics import Metrics
from balance_gateway.pipeline.cache.cache_keys import compute_account_keys
from balance_gateway.pipeline.cache.cache_store import MemoryStore, NoStore
from balance_gateway.pipeline.cache.cached_reads import CachedReads, Lifetimes
from balance_gateway.pipeline.cache.fence import MemoryFences
from balance_gateway.pipeline.calls.call_gate import ConnectorGate
from balance_gateway.pipeline.calls.circuit_breaker import BreakerState, CircuitBreaker
from balance_gateway.pipeline.calls.health_tracker import HealthTracker
from balance_gateway.pipeline.calls.rate_limiter import RateLimiter
from balance_gateway.pipeline.calls.retrying_provider import RetryBudget, RetryingProvider
from balance_gateway.pipeline.calls.sliding_window import MemorySlidingWindow
from balance_gateway.ports.provider_call import ProviderCall
from balance_gateway.ports.reads import BalanceRequest, Observed
from balance_gateway.providers.light.provider import LightProvider, LightSettings
from balance_gateway.providers.registry import PROVIDERS
from tests.providers.conftest import make_account
from tests.providers.fake_servers import (
    API_KEY,
    LIGHT_ID,
    FakeLightServer,
    ReceivedRequest,
    Reply,
    run_server,
)

DAY = date(2026, 5, 7)
LIMIT = 1000
ACCOUNT = replace(make_account(ProviderKind.LIGHT), connector="main", tenant="acme")


class RecordingProvider(RetryingProvider):
    """Counts the reads that were begun."""

    begun = 0

    def begin_balance(self, *arguments: Any) -> Any:
        read = super().begin_balance(*arguments)
        self.begun += read is not None
        return read


class Gateway:
    """The read pipeline of one Light connector, over real sockets."""

    def __init__(
        self,
        url: str,
        *,
        begins: bool = True,
        stores: bool = False,
        limit: int = LIMIT,
        **times: Any,
    ) -> None:
        self.limiter = RateLimiter(limit, MemorySlidingWindow())
        self.gate = ConnectorGate("main", CircuitBreaker(), self.limiter, 64)
        self.tracker = HealthTracker({"main": self.gate}, system_clock)
        self.metrics = Metrics()
        self.calls: list[tuple[str, int | None]] = []
        observe = make_call_observer(self.metrics, {"main": self.gate}, self.tracker)

        def on_call(call: ProviderCall) -> None:
            self.calls.append((call.outcome, call.status))
            observe(call)

        settings = LightSettings(
            base_url=url, api_key=Secret(API_KEY), timeout_s=times.get("timeout_s", 5.0)
        )
        light = LightProvider("main", settings, clock=system_clock, on_call=on_call, gate=self.gate)
        self.light = light
        self.source = RecordingProvider(light, RetryBudget(lambda: 0.0))
        self.reads = CachedReads(
            providers={"main": self.source},
            keys={ACCOUNT.id: compute_account_keys(ACCOUNT, PROVIDERS[ProviderKind.LIGHT], {})},
            fences=MemoryFences(40.0),
            values=MemoryStore(100) if stores else NoStore(),
            lifetimes=Lifetimes(30.0, 600.0, 3600.0, 1000.0),
            clock=system_clock,
            metrics=self.metrics,
            deadline_s=times.get("deadline_s", 8.0),
            accounts=[ACCOUNT],
            beginners={"main": self.source} if begins else {},
        )

    async def read(self, *days: int, max_age_s: int | None = None) -> Sequence[Any]:
        return await self.reads.balances(
            [BalanceRequest(ACCOUNT, DAY + timedelta(each), False, max_age_s) for each in days]
        )

    def count_free_places(self) -> int:
        """Return how many reads may be begun; 0 while the breaker or the budget refuses them."""
        slots = []
        while (slot := self.gate.try_enter()) is not None:
            slots.append(slot)
        for slot in slots:
            slot.mark_context()
            slot.leave()
        return len(slots)

    async def aclose(self) -> None:
        await self.reads.aclose()
        await self.source.aclose()


@pytest.fixture
async def light() -> AsyncIterator[FakeLightServer]:
    server = FakeLightServer()
    async with run_server(server):
        yield server


@pytest.fixture
async def gateway(light: FakeLightServer) -> AsyncIterator[Gateway]:
    """A gateway with one idle connection, on which the next read can be begun."""
    gateway = Gateway(light.url)
    await gateway.read(0)
    assert gateway.source.begun == 0
    gateway.calls.clear()
    yield gateway
    await gateway.aclose()


def build_reply(**changes: Any) -> Reply:
    """Build Light's response for the day after DAY; a field set to None is null."""
    body = {"bankAccountId": LIGHT_ID, "currency": "EUR", "bankBalance": 12500}
    body |= {"ledgerBalance": 9000, "asOf": "2026-05-08"}
    return Reply(body=body | changes)


USUAL = json.dumps(build_reply().body).encode()
HANG_UP = None

#: What the server replies to the first requests after the connection was made; then as usual.
SCRIPTS: dict[str, list[Reply | None]] = {
    "usual": [build_reply()],
    "no opening balance": [build_reply(bankBalance=None)],
    "another spelling of the id": [build_reply(bankAccountId=LIGHT_ID.upper())],
    "no echo": [build_reply(bankAccountId=None, asOf=None)],
    "unreadable echo": [build_reply(asOf="soon")],
    "another account": [build_reply(bankAccountId="other")] * 3,
    "another day": [build_reply(asOf="2026-05-09")] * 3,
    "another currency": [build_reply(currency="USD")] * 3,
    "an amount as text": [build_reply(ledgerBalance="9000")] * 3,
    "no JSON": [Reply(200, b"<html>")] * 3,
    "an empty body": [Reply(200, b"")] * 3,
    "a list": [Reply(200, [])] * 3,
    "null": [Reply(200, b"null")] * 3,
    "a duplicate member": [Reply(200, USUAL[:-1] + b', "currency": "EUR"}')] * 3,
    "compressed": [Reply(200, gzip.compress(USUAL), {"content-encoding": "gzip"})],
    "broken compression": [Reply(200, b"no gzip", {"content-encoding": "gzip"})] * 3,
    "404": [Reply(404, {})],
    "404 with figures": [Reply(404, USUAL)],
    "401": [Reply(401, {})],
    "429 for long": [Reply(429, {}, {"Retry-After": "30"})],
    "503 once": [Reply(503, {})],
    "503 until the end": [Reply(503, {})] * 3,
    "a redirect": [
        Reply(307, b"", {"location": f"/v1/bank-accounts/{LIGHT_ID}/balance?asOf=2026-05-08"})
    ],
    "a redirect elsewhere": [Reply(307, b"", {"location": "https://elsewhere.example/"})],
    "closed while idle": [HANG_UP],
    "closed again and again": [HANG_UP] * 6,
    "budget reported": [
        replace(build_reply(), headers={"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "30"})
    ],
}


def describe(result: Any) -> Any:
    if isinstance(result, GatewayError):
        return type(result), result.message, result.account_id, result.retry_after_s
    return result.value, result.state


async def run_script(light: FakeLightServer, script: list[Reply | None], *, begins: bool) -> Any:
    """Return what a read gives and leaves behind, the next read too, and how many were begun."""
    gateway = Gateway(light.url, begins=begins, stores=True)
    await gateway.read(0)
    gateway.calls.clear()
    light.received.clear()
    gateway.source._budget._credit = 5.0
    remaining = list(script)

    async def reply(request: ReceivedRequest, _: asyncio.StreamWriter) -> Reply | None:
        return remaining.pop(0) if remaining else light.respond(request)

    light.handler = reply
    [result] = await gateway.read(1)
    begun = gateway.source.begun
    seen = (
        describe(result),
        gateway.calls,
        [request.target for request in light.received],
        gateway.limiter.remaining(),
        (gateway.gate.breaker.state, gateway.gate.breaker._failures_in_row),
        (gateway.tracker.status("main").state, gateway.tracker.status("main").last_failure_code),
        gateway.source._budget._credit,
        gateway.count_free_places(),
    )
    light.handler = None
    after = describe((await gateway.read(1))[0])
    await gateway.aclose()
    return (*seen, after), begun


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_a_begun_read_ends_as_a_read_in_a_task_does(
    light: FakeLightServer, monkeypatch: pytest.MonkeyPatch, script: list[Reply | None]
) -> None:
    """Result, reports, requests, budget, breaker, health, retries and places are the same."""
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)

    in_task, none_begun = await run_script(light, script, begins=False)
    seen, begun = await run_script(light, script, begins=True)

    assert seen == in_task
    assert (none_begun, begun) == (0, 1)


async def test_each_call_of_a_request_is_counted(gateway: Gateway) -> None:
    left = gateway.limiter.remaining()

    await gateway.read(1)
    await gateway.read(2, 3, 4)

    assert gateway.source.begun >= 2
    assert gateway.calls == [("ok", 200)] * 4
    assert left - gateway.limiter.remaining() == 4
    assert len(gateway.gate.breaker._recent) == 5
    assert gateway.gate.breaker._failures_in_row == 0


async def test_each_failure_of_begun_reads_counts_at_the_breaker(
    light: FakeLightServer, gateway: Gateway
) -> None:
    light.reply_with(*[Reply(503, {}, {"Retry-After": "0"})] * 20)
    gateway.source._budget._credit = -100.0

    for day in range(1, 6):
        await gateway.read(day)

    assert gateway.calls == [("refused", 503)] * 5
    assert gateway.gate.breaker.state is BreakerState.OPEN
    [refused] = await gateway.read(6)
    assert isinstance(refused, CircuitOpen)
    assert len(light.received) == 6
    assert gateway.gate._slots._free == 64


async def test_a_slow_call_ends_at_its_timeout_and_delays_no_other(light: FakeLightServer) -> None:
    gateway = Gateway(light.url, timeout_s=0.8)
    await gateway.read(*range(8))
    gateway.calls.clear()
    begun = gateway.source.begun
    finished: list[str] = []

    async def hang_for_one_day(request: ReceivedRequest, _: asyncio.StreamWriter) -> Reply | None:
        if request.query["asOf"] == "2026-05-10":
            await asyncio.Event().wait()
        return light.respond(request)

    async def read(day: int) -> Any:
        [result] = await gateway.read(day)
        finished.append(f"day {day}")
        return result

    light.handler = hang_for_one_day
    results = await asyncio.gather(*(read(day) for day in (3, 1, 2, 4)))

    assert gateway.source.begun - begun == 4
    assert [getattr(one, "code", "ok") for one in results] == ["PROVIDER_TIMEOUT", "ok", "ok", "ok"]
    assert finished[-1] == "day 3"
    assert gateway.calls == [*[("ok", 200)] * 3, ("PROVIDER_TIMEOUT", None)]
    await gateway.aclose()


async def test_a_call_that_may_outlast_the_deadline_is_not_begun(light: FakeLightServer) -> None:
    """Its own time limit would end it too late."""
    gateway = Gateway(light.url, timeout_s=5.0, deadline_s=0.3)
    await gateway.read(0)

    async def hang(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
        await asyncio.Event().wait()
        return None

    light.handler = hang
    [result] = await gateway.read(1)

    assert gateway.source.begun == 0
    assert result.code == "PROVIDER_TIMEOUT"
    await gateway.aclose()


async def test_attempts_after_a_begun_one_end_at_the_deadline_of_all(
    light: FakeLightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(light.url, timeout_s=0.5, deadline_s=0.6)
    await gateway.read(0)

    async def fail_late(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
        await asyncio.sleep(0.35)
        return Reply(503, {})

    monkeypatch.setattr("random.uniform", lambda *_: 0.0)
    light.handler = fail_late
    [result] = await gateway.reads.balances([BalanceRequest(ACCOUNT, DAY + timedelta(1), False)])

    assert gateway.source.begun == 1
    # Not 503 again, and not the timeout of an exchange, which would end later.
    assert result.message == "The provider did not answer within the request's deadline."
    await gateway.reads._single_flight.wait_for_running()
    assert len(light.received) == 3, "the second attempt was under way"
    assert gateway.calls == [("ok", 200), ("refused", 503), ("cancelled", None)]
    await gateway.aclose()


async def test_cancelling_one_reader_of_a_begun_read_keeps_the_other(
    light: FakeLightServer, gateway: Gateway
) -> None:
    may_reply = asyncio.Event()

    async def wait(request: ReceivedRequest, _: asyncio.StreamWriter) -> Reply | None:
        await may_reply.wait()
        return light.respond(request)

    light.handler = wait
    first = asyncio.ensure_future(gateway.read(1))
    await asyncio.sleep(0.02)
    second = asyncio.ensure_future(gateway.read(1))
    await asyncio.sleep(0.02)
    first.cancel()
    await asyncio.sleep(0)
    may_reply.set()

    assert isinstance((await second)[0], Observed)
    assert first.cancelled()
    assert len(light.received) == 2


async def test_closing_ends_a_begun_read_and_frees_its_place(
    light: FakeLightServer, gateway: Gateway
) -> None:
    async def hang(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
        await asyncio.Event().wait()
        return None

    light.handler = hang
    reading = asyncio.ensure_future(gateway.read(1))
    await asyncio.sleep(0.02)
    waiting = asyncio.ensure_future(gateway.reads._single_flight.wait_for_running())
    await asyncio.sleep(0)
    was_waiting = not waiting.done()
    await gateway.reads.aclose()
    [result] = await reading
    await waiting

    assert was_waiting
    assert gateway.source.begun == 1
    assert result.code == "INTERNAL"
    assert gateway.calls == [("cancelled", None)]
    assert gateway.gate.breaker._failures_in_row == 0
    assert gateway.count_free_places() == 56


async def test_a_read_that_cannot_be_sent_keeps_no_place(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = gateway.light._http
    broken = [(b"X-Broken", b"a\r\nb")]
    monkeypatch.setattr(http._headers, "build", lambda *_: tuple(broken))

    [result] = await gateway.read(1)

    assert isinstance(result, GatewayError)
    assert gateway.source.begun == 0
    assert gateway.count_free_places() == 56


async def test_what_a_begun_read_brings_is_cached(light: FakeLightServer) -> None:
    gateway = Gateway(light.url, stores=True)
    await gateway.read(0)

    [live] = await gateway.read(1)
    [cached] = await gateway.read(1)

    assert gateway.source.begun == 1
    assert (live.state.value, cached.state.value) == ("live", "cached")
    assert (live.value, live.observed_at) == (cached.value, cached.observed_at)
    await gateway.aclose()


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("written", [True, False])
async def test_no_older_value_follows_what_overlapped_with_a_begun_read(
    light: FakeLightServer, begins: bool, written: bool
) -> None:
    """The first read is answered last: after a newer read, or after a write."""
    gateway = Gateway(light.url, begins=begins, stores=True)
    await asyncio.gather(gateway.read(0), gateway.read(2))
    begun = gateway.source.begun
    has_arrived, may_reply, values = asyncio.Event(), asyncio.Event(), [100, 200, 300]

    async def reply(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
        value = values.pop(0)
        if value == 100:
            has_arrived.set()
            await may_reply.wait()
        return build_reply(ledgerBalance=value)

    light.handler = reply
    first = asyncio.ensure_future(gateway.read(1))
    await has_arrived.wait()
    if written:
        await gateway.reads.begin_write(ACCOUNT, "w1")
        await gateway.reads.end_write(ACCOUNT, "w1")
    [newer] = await gateway.read(1, max_age_s=None if written else 0)
    may_reply.set()
    [older] = await first
    [later] = await gateway.read(1)

    amounts = [one.value.ledger.minor_units for one in (older, newer, later)]
    # The later one asks the provider: which of the two others is newer is not known.
    assert amounts == [100, 200, 300]
    assert gateway.source.begun - begun == (3 if begins else 0)
    await gateway.aclose()


async def test_an_exhausted_budget_begins_no_read(light: FakeLightServer) -> None:
    gateway = Gateway(light.url, limit=2)
    await gateway.read(0)

    results = await gateway.read(1, 2)

    assert gateway.source.begun == 1
    assert len(light.received) == 2
    assert sorted(getattr(one, "code", "ok") for one in results) == ["PROVIDER_RATE_LIMITED", "ok"]
    await gateway.aclose()
