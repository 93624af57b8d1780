"""One connector's HTTP client: statuses, redirects, resending, observers and call gates."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderBadResponse,
    ProviderCredentialsRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUntrusted,
)
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.call_context import set_call_context
from balance_gateway.ports.provider_call import ProviderCall
from balance_gateway.providers.http.errors import Operation, translate_transport_error
from balance_gateway.providers.http.exchange import build_path
from balance_gateway.providers.http.json_fields import MalformedResponse
from balance_gateway.providers.http.redirects import resolve_redirect
from balance_gateway.transport import parse_url
from balance_gateway.transport.errors import ConnectFailed
from tests.providers import fake_servers
from tests.providers.conftest import (
    NOW,
    FakeClock,
    assert_contains_no_secret,
    make_account,
    make_query,
    make_write,
)
from tests.providers.fake_servers import FakeLightServer, ReceivedRequest, Reply

LIGHT = make_account(ProviderKind.LIGHT)
QUERY = make_query(LIGHT, "2026-05-07")

STATUSES = [
    (400, ProviderRejected, False),
    (401, ProviderCredentialsRejected, False),
    (403, ProviderCredentialsRejected, False),
    (404, ProviderRejected, False),
    (408, ProviderTimeout, True),
    (409, ProviderRejected, False),
    (418, ProviderRejected, False),
    (422, ProviderRejected, False),
    (429, ProviderRateLimited, False),
    (500, ProviderUnavailable, True),
    (502, ProviderUnavailable, True),
    (503, ProviderUnavailable, True),
    (504, ProviderUnavailable, True),
    (599, ProviderUnavailable, True),
    (300, ProviderBadResponse, True),
    (304, ProviderBadResponse, True),
]


@pytest.mark.parametrize(("status", "kind", "maybe_applied"), STATUSES)
async def test_each_status_maps_to_one_error_and_write_is_sent_once(
    make: Any, fake_light: FakeLightServer, status: int, kind: type, maybe_applied: bool
) -> None:
    light = make.light(fake_light.url)
    body = b"" if status == 304 else b"RAW TEXT"
    fake_light.reply_with(Reply(status, body), Reply(status, body))

    with pytest.raises(ProviderError) as read:
        await light.balances([QUERY])
    with pytest.raises(ProviderError) as write:
        await light.set_opening_balance(make_write(LIGHT, 1))

    assert (type(read.value), type(write.value)) == (kind, kind)
    assert (read.value.maybe_applied, write.value.maybe_applied) == (False, maybe_applied)
    assert len(fake_light.calls("PUT")) == 1
    assert str(status) in str(write.value) or status == 408
    assert write.value.provider == "LIGHT"
    assert "RAW" not in str(write.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Thu, 07 May 2026 10:00:30 GMT"}, 30),
        ({"Retry-After": "Wed, 06 May 2026 10:00:30 GMT"}, 0),
        ({"Retry-After": "86400"}, 3600),
        ({"Retry-After": "999999999999"}, None),
        ({"Retry-After": "soon"}, None),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 12)}, 12),
        ({"X-RateLimit-Reset": "9"}, 9),
        ({"x-ratelimit-reset": "-1"}, None),
        ({}, None),
    ],
)
async def test_rate_limit_error_has_retry_after(
    make: Any, fake_light: FakeLightServer, headers: dict[str, str], seconds: float | None
) -> None:
    """Asset documents no `Retry-After`; its reset header is read instead."""
    fake_light.reply_with(Reply(429, {}, headers))

    with pytest.raises(ProviderRateLimited) as caught:
        await make.light(fake_light.url).balances([QUERY])

    assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"Retry-After": "7"}, 7), ({"x-ratelimit-reset": "40"}, None)]
)
async def test_outage_wait_is_read_from_retry_after_only(
    make: Any, fake_light: FakeLightServer, headers: dict[str, str], seconds: float | None
) -> None:
    """A reset header is part of every response, and concerns the rate limit only."""
    fake_light.reply_with(Reply(503, {}, headers))

    with pytest.raises(ProviderUnavailable) as caught:
        await make.light(fake_light.url).balances([QUERY])

    assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
async def test_write_without_connection_was_never_sent(make: Any, host: str) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        await make.light(f"http://{host}").set_opening_balance(make_write(LIGHT, 1))

    assert not caught.value.maybe_applied


async def test_write_with_failed_tls_was_never_sent(make: Any) -> None:
    async def no_tls(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    with pytest.raises(ProviderUnavailable) as caught:
        await make.light(url).set_opening_balance(make_write(LIGHT, 1))

    server.close()
    assert not caught.value.maybe_applied


async def test_write_with_connect_timeout_was_never_sent(make: Any) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        connections = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(full.getsockname())
            connections.append(one)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"

        with pytest.raises(ProviderTimeout) as caught:
            await make.light(url, timeout_s=0.3).set_opening_balance(make_write(LIGHT, 1))

        for one in connections:
            one.close()
    assert not caught.value.maybe_applied


async def test_refused_write_stays_refused_without_complete_body(
    make: Any, fake_light: FakeLightServer
) -> None:
    async def refuse_slowly(_: ReceivedRequest, writer: asyncio.StreamWriter) -> Reply | None:
        writer.write(b"HTTP/1.1 422 X\r\ncontent-length: 1000\r\n\r\n")
        await asyncio.sleep(3)
        return None

    fake_light.handler = refuse_slowly
    light = make.light(fake_light.url, timeout_s=0.3)

    with pytest.raises(ProviderRejected) as caught:
        await light.set_opening_balance(make_write(LIGHT, 1))

    assert not caught.value.maybe_applied


async def test_each_write_uses_a_fresh_connection(make: Any, fake_light: FakeLightServer) -> None:
    """On a reused connection a keep-alive race would look like a lost response."""
    connections: list[int] = []

    async def record_connection(
        request: ReceivedRequest, writer: asyncio.StreamWriter
    ) -> Reply | None:
        connections.append(writer.get_extra_info("peername")[1])
        return fake_light.respond(request)

    fake_light.handler = record_connection
    light = make.light(fake_light.url)

    await light.balances([QUERY])
    await light.balances([QUERY])
    await light.set_opening_balance(make_write(LIGHT, 1))
    await light.set_opening_balance(make_write(LIGHT, 2))

    first, second, third, fourth = connections
    assert first == second
    assert len({first, third, fourth}) == 3


# --- redirects ----------------------------------------------------------------------------------


async def test_read_follows_same_origin_redirect_with_credentials(
    make: Any, fake_light: FakeLightServer
) -> None:
    target = f"/v1/bank-accounts/{fake_servers.LIGHT_ID}/balance?asOf=2026-05-07"
    for status in (301, 302, 303, 307, 308):
        fake_light.reply_with(Reply(status, b"", {"location": target}))

        [figures] = await make.light(fake_light.url).balances([QUERY])

        assert figures.bank.minor_units == 12500


@pytest.mark.parametrize("status", [307, 308])
async def test_write_follows_307_and_308(
    make: Any, fake_light: FakeLightServer, status: int
) -> None:
    target = f"/v1/bank-accounts/{fake_servers.LIGHT_ID}/balance"
    fake_light.reply_with(Reply(status, b"", {"location": target}))

    await make.light(fake_light.url).set_opening_balance(make_write(LIGHT, 77))

    first, second = fake_light.calls("PUT")
    assert first.body == second.body
    assert fake_light.opening == 77


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_write_is_not_resent_after_ambiguous_redirect(
    make: Any, fake_light: FakeLightServer, status: int
) -> None:
    fake_light.reply_with(Reply(status, b"", {"location": "/elsewhere"}))

    with pytest.raises(ProviderBadResponse) as caught:
        await make.light(fake_light.url).set_opening_balance(make_write(LIGHT, 1))

    assert caught.value.maybe_applied
    assert len(fake_light.received) == 1


async def test_credentials_are_sent_to_allowed_hosts_only(
    make: Any, fake_light: FakeLightServer
) -> None:
    other = fake_servers.FakeLightServer()
    async with fake_servers.run_server(other):
        path = f"/v1/bank-accounts/{fake_servers.LIGHT_ID}/balance?asOf=2026-05-07"
        redirect = Reply(307, b"", {"location": other.url + path + "&token=SECRET-IN-QUERY"})
        fake_light.reply_with(redirect, redirect, redirect)

        for write in (False, True):
            light = make.light(fake_light.url)
            call = light.set_opening_balance(make_write(LIGHT, 1)) if write else None
            with pytest.raises(
                ProviderBadResponse, match="a host that redirect_hosts does not allow"
            ) as caught:
                await (call or light.balances([QUERY]))
            assert not caught.value.maybe_applied
            assert "SECRET-IN-QUERY" not in str(caught.value)
        assert other.received == []

        allowed = make.light(fake_light.url, redirect_hosts=(other.url.removeprefix("http://"),))
        await allowed.balances([QUERY])
        assert other.received[0].headers["authorization"] == f"Basic {fake_servers.API_KEY}"


async def test_number_of_redirects_is_limited(make: Any, fake_light: FakeLightServer) -> None:
    fake_light.reply_with(*[Reply(307, b"", {"location": "/again"})] * 10)

    with pytest.raises(ProviderBadResponse, match="more than 3"):
        await make.light(fake_light.url).balances([QUERY])

    assert len(fake_light.received) == 4


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "file:///etc/passwd",
        "//evil.example/x",
        "http://api.light.inc/x",
        "http://files.light.inc/x",
        "https://user:pw@api.light.inc/x",
        "https://api.light.inc.evil.example/x",
        "https://api.light.inc:444/x",
        "https://169.254.169.254/latest",
        "gopher://api.light.inc/",
        "https://[::1/",
    ],
)
def test_redirects_to_disallowed_targets_are_rejected(location: str | None) -> None:
    with pytest.raises(MalformedResponse):
        resolve_redirect(parse_url("https://api.light.inc/v1/a"), location, {"files.light.inc"})


def test_redirects_to_allowed_targets_are_followed() -> None:
    source = parse_url("https://api.light.inc/v1/a")
    allowed = {"files.light.inc", "other.light.inc:8443"}
    for location, target in (
        ("/v2/b", "https://api.light.inc/v2/b"),
        ("https://api.light.inc:443/b", "https://api.light.inc/b"),
        ("https://files.light.inc/b", "https://files.light.inc/b"),
        ("https://other.light.inc:8443/b", "https://other.light.inc:8443/b"),
    ):
        assert str(resolve_redirect(source, location, allowed)) == target


# --- observers, call gates, settings --------------------------------------------------------------


async def test_every_exchange_is_reported_once(make: Any, fake_light: FakeLightServer) -> None:
    calls: list[ProviderCall] = []
    light = make.light(fake_light.url, dependencies={"on_call": calls.append})
    location = f"/v1/bank-accounts/{fake_servers.LIGHT_ID}/balance?asOf=2026-05-07"
    fake_light.reply_with(
        Reply(307, b"", {"location": location}), Reply(200, {}, {"X-RateLimit-Remaining": "5"})
    )

    with pytest.raises(ProviderBadResponse):
        await light.balances([QUERY])
    fake_light.reply_with(Reply(503, {}), Reply(200, b"{"))
    with pytest.raises(ProviderUnavailable):
        await light.set_opening_balance(make_write(LIGHT, 1))
    with pytest.raises(ProviderBadResponse):
        await light.balances([QUERY])

    outcomes = [(call.outcome, call.status, call.write) for call in calls]
    assert outcomes == [
        ("redirected", 307, False),
        ("ok", 200, False),
        ("refused", 503, True),
        ("PROVIDER_BAD_RESPONSE", 200, False),
    ]
    assert calls[1].headers["x-ratelimit-remaining"] == "5"
    assert {(call.connector, call.provider) for call in calls} == {("light_1", ProviderKind.LIGHT)}
    assert all(0 < call.duration_s < 1 for call in calls)


class SingleSlotGate:
    """A call gate with one slot that records exchanges; ``full`` refuses all."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.passed: list[bool] = []
        self.full = False

    @asynccontextmanager
    async def slot(self, *, write: bool) -> AsyncIterator[None]:
        async with self.lock:
            if self.full:
                raise ProviderRateLimited("The budget is spent.")
            self.passed.append(write)
            await asyncio.sleep(0.3)
            yield

    async def count_resend(self) -> None:
        self.passed.append(False)
        if self.full:
            raise ProviderRateLimited("The budget is spent.")


async def test_gate_counts_all_exchanges_and_waiting_is_no_timeout(
    make: Any, fake_layer: Any
) -> None:
    """Token requests use the gate too: fetching one inside of a slot would deadlock."""
    gate = SingleSlotGate()
    account = make_account(ProviderKind.LAYER, normal_balance=Side.DEBIT)
    layer = make.layer(fake_layer.url, dependencies={"gate": gate}, timeout_s=1.0)

    await layer.opening_balance(account)
    await asyncio.gather(*(layer.opening_balance(account) for _ in range(4)))

    assert len(gate.passed) == len(fake_layer.received) == 6


async def test_write_refused_by_gate_was_never_sent(make: Any, fake_light: FakeLightServer) -> None:
    gate = SingleSlotGate()
    gate.full = True
    light = make.light(fake_light.url, dependencies={"gate": gate})

    with pytest.raises(ProviderRateLimited) as caught:
        await light.set_opening_balance(make_write(LIGHT, 1))

    assert not caught.value.maybe_applied
    assert fake_light.received == []


async def test_cancelled_write_is_reported_and_sent_once(
    make: Any, fake_light: FakeLightServer
) -> None:
    calls: list[ProviderCall] = []

    async def wait(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
        await asyncio.sleep(0.5)
        return None

    fake_light.handler = wait
    light = make.light(fake_light.url, dependencies={"on_call": calls.append})
    task = asyncio.create_task(light.set_opening_balance(make_write(LIGHT, 1)))
    await asyncio.sleep(0.1)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert [call.outcome for call in calls] == ["cancelled"]
    assert len(fake_light.received) == 1


async def test_cookies_and_environment_proxies_are_ignored(
    make: Any, fake_light: FakeLightServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    light = make.light(fake_light.url)

    async def with_cookie(request: ReceivedRequest, _: asyncio.StreamWriter) -> Reply | None:
        reply = fake_light.respond(request)
        reply.headers["set-cookie"] = "session=1; Path=/"
        return reply

    fake_light.handler = with_cookie
    await light.balances([QUERY])
    await light.balances([QUERY])

    assert all("cookie" not in call.headers for call in fake_light.received)


@pytest.mark.parametrize("secret", ["", "a b", "a\r\nX: y", "é", "a\x00"])
def test_secret_that_no_header_can_carry_is_rejected(make: Any, secret: str) -> None:
    for arguments in ({"api_key": Secret(secret)}, {"access_token": Secret(secret)}):
        with pytest.raises(ValueError, match=r"api_key|access_token") as caught:
            make.light("http://127.0.0.1", **arguments)
        assert not secret or secret not in str(caught.value)
    with pytest.raises(ValueError, match="client_secret"):
        make.asset("http://127.0.0.1", client_secret=Secret(secret))


def test_exactly_one_kind_of_credentials_is_required(make: Any) -> None:
    both = {"api_key": Secret("a"), "access_token": Secret("b")}
    with pytest.raises(ValueError, match="both"):
        make.light("http://127.0.0.1", **both)
    with pytest.raises(ValueError, match="both"):
        make.asset("http://127.0.0.1", access_token=Secret("a"), client_id=Secret("b"))
    with pytest.raises(ValueError, match="token_url"):
        make.layer("http://127.0.0.1", token_url=None)


@pytest.mark.parametrize("url", ["ftp://x", "x", "https://", "https://u:p@x", "https://x?a=b"])
def test_invalid_base_url_is_rejected(make: Any, url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        make.light(url)


def test_path_segments_cannot_change_the_path() -> None:
    assert build_path(("a/b", "c?d", "é")) == "/a%2Fb/c%3Fd/%C3%A9"
    for segment in ("", ".", ".."):
        with pytest.raises(ValueError, match="segment"):
            build_path(("v1", segment))


def test_settings_and_providers_hide_secrets(clock: FakeClock, make: Any) -> None:
    light = make.light("http://127.0.0.1:1")

    assert fake_servers.API_KEY not in repr(Secret(fake_servers.API_KEY))
    assert fake_servers.API_KEY not in f"{Secret(fake_servers.API_KEY)}"
    assert fake_servers.API_KEY not in repr(light)
    assert_contains_no_secret(GatewayError("x"))


async def test_resent_read_passes_the_gate_again(make: Any, fake_light: FakeLightServer) -> None:
    """The provider counts both requests if it closes a reused connection without a response."""
    gate = SingleSlotGate()
    light = make.light(fake_light.url, dependencies={"gate": gate})
    await light.balances([QUERY])

    async def hang_up(_: ReceivedRequest, writer: asyncio.StreamWriter) -> Reply | None:
        fake_light.handler = None
        writer.close()
        return None

    fake_light.handler = hang_up
    await light.balances([QUERY])

    assert len(gate.passed) == len(fake_light.received) == 3


@pytest.mark.parametrize(
    ("allowed_s", "cut_off_s", "outcome"),
    [(0.2, 0.2, "PROVIDER_TIMEOUT"), (5.0, 0.2, "cancelled"), (None, 0.2, "cancelled")],
)
async def test_exchange_cancelled_after_most_of_its_time_is_a_timeout(
    make: Any,
    fake_light: FakeLightServer,
    allowed_s: float | None,
    cut_off_s: float,
    outcome: str,
) -> None:
    """Otherwise no breaker would open for a provider that hangs longer than a request may take."""
    calls: list[ProviderCall] = []

    async def hang(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
        await asyncio.sleep(1)
        return None

    fake_light.handler = hang
    light = make.light(fake_light.url, dependencies={"on_call": calls.append})
    set_call_context(read_timeout_s=allowed_s)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(cut_off_s):
            await light.balances([QUERY])

    assert [call.outcome for call in calls] == [outcome]


def test_untrusted_certificate_has_own_error_and_was_never_sent() -> None:
    error = ConnectFailed("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("Hostname mismatch")

    failure = translate_transport_error(
        Operation("LIGHT", "opening-balance write", write=True), error, 5.0
    )

    assert type(failure) is ProviderUntrusted
    assert not failure.maybe_applied
    assert "base_url" in failure.message
