"""Private networks: own authorities, client certificates, proxies. All servers are real."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from balance_gateway.config.http_urls import parse_proxy_url
from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    ProviderBadResponse,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from tests.certificates import Authority
from tests.providers import fake_servers
from tests.providers.conftest import make_account, make_query, make_write
from tests.providers.fake_proxy import FakeProxy, run_proxy
from tests.providers.fake_servers import FakeServer, Reply, run_server

LIGHT = make_account(ProviderKind.LIGHT)
ASSET = make_account(ProviderKind.ASSET, normal_balance=Side.DEBIT)
LAYER = make_account(ProviderKind.LAYER, normal_balance=Side.DEBIT)

SERVERS: dict[str, Callable[[], FakeServer]] = {
    "light": fake_servers.FakeLightServer,
    "asset": fake_servers.FakeAssetServer,
    "layer": fake_servers.FakeLayerServer,
}
PROXY_PASSWORD = "p@ss/w:rd-7Hq2-not-real"
PROXY_USER_INFO = "egress:p%40ss%2Fw%3Ard-7Hq2-not-real"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def start() -> AsyncIterator[Any]:
    """``await start(server_or_proxy, tls)`` runs it until the end of the test."""
    async with AsyncExitStack() as stack:

        async def run(fake: Any, tls: ssl.SSLContext | None = None) -> Any:
            running = run_proxy if isinstance(fake, FakeProxy) else run_server
            await stack.enter_async_context(running(fake, tls))
            return fake

        yield run


async def use(provider: str, adapter: Any) -> int:
    """Make one call, at Asset and Layer a token request before it; return the minor units."""
    if provider == "light":
        [figures] = await adapter.balances([make_query(LIGHT, "2026-05-07")])
        return int(figures.bank.minor_units)
    if provider == "layer":
        return int((await adapter.opening_balance(LAYER)).amount.minor_units)
    write = make_write(ASSET, 5, effective_at=None)
    return int((await adapter.set_opening_balance(write)).amount.minor_units)


FIGURES = {"light": 12500, "asset": 5, "layer": 432100}


@pytest.mark.parametrize("provider", SERVERS)
@pytest.mark.parametrize("transport", ["pooled", "httpx"])
async def test_a_private_authority_is_trusted_by_ca_file(
    make: Any,
    start: Any,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    transport: str,
) -> None:
    """``SSL_CERT_FILE`` alone had no effect, and there was no setting."""
    server = await start(SERVERS[provider](), authority.build_server_context())
    build = getattr(make, provider)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))

    with pytest.raises(ProviderUnavailable, match="set ca_file to the authority") as caught:
        await use(provider, build(server.url, transport=transport))
    figure = await use(provider, build(server.url, transport=transport, ca_file=authority.ca_file))

    assert not caught.value.maybe_applied
    assert figure == FIGURES[provider]


@pytest.mark.parametrize("transport", ["pooled", "httpx"])
async def test_a_client_certificate_is_sent_where_it_is_asked_for(
    make: Any, start: Any, authority: Authority, tmp_path: Path, transport: str
) -> None:
    server = await start(SERVERS["light"](), authority.build_server_context(requires_client=True))
    cert, key = authority.issue("client")
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    other_cert, other_key = Authority(tmp_path, "other").issue("stranger")
    trusting = {"ca_file": authority.ca_file, "transport": transport}

    for files in ({}, {"client_cert": other_cert, "client_key": other_key}):
        with pytest.raises(ProviderUnavailable):
            await use("light", make.light(server.url, **trusting, **files))
    assert server.received == []

    for files in ({"client_cert": both}, {"client_cert": cert, "client_key": key}):
        assert await use("light", make.light(server.url, **trusting, **files)) == 12500


@pytest.mark.parametrize("transport", ["pooled", "httpx"])
async def test_a_missing_client_certificate_is_named(
    make: Any, authority: Authority, transport: str
) -> None:
    """Not by asyncio's server, which resets the connection and loses the alert of other servers."""
    context = authority.build_server_context(requires_client=True)

    def refuse(listener: socket.socket) -> None:
        with listener, listener.accept()[0] as connection, connection.dup() as lingering:
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)
            # Closed at once, the connection would be reset, and the alert lost.
            while lingering.recv(65536):
                pass

    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    refusing = asyncio.create_task(asyncio.to_thread(refuse, listener))
    light = make.light(url, ca_file=authority.ca_file, transport=transport)

    with pytest.raises(ProviderUnavailable, match=r"client certificate .* check client_cert"):
        await use("light", light)

    await refusing


@pytest.mark.parametrize("provider", SERVERS)
@pytest.mark.parametrize("is_tls_proxy", [False, True], ids=["http", "https"])
async def test_a_proxy_tunnels_every_call_of_a_connector(
    make: Any, start: Any, authority: Authority, provider: str, is_tls_proxy: bool
) -> None:
    server = await start(SERVERS[provider](), authority.build_server_context())
    proxy = FakeProxy(f"egress:{PROXY_PASSWORD}")
    await start(proxy, authority.build_server_context() if is_tls_proxy else None)
    url = parse_proxy_url(proxy.url_with(PROXY_USER_INFO))

    adapter = getattr(make, provider)(server.url, ca_file=authority.ca_file, proxy=url)
    figure = await use(provider, adapter)

    assert figure == FIGURES[provider]
    address = server.url.partition("://")[2]
    assert {head[0] for head in proxy.heads} == {f"CONNECT {address} HTTP/1.1"}
    # The tunnel's contents and the provider's credentials are not the proxy's business, nor are
    # the proxy's credentials the provider's.
    assert not any(secret in str(proxy.heads) for secret in fake_servers.SECRETS)
    assert server.received
    assert not any("proxy-authorization" in request.headers for request in server.received)


async def test_a_proxy_without_password_forwards_http_and_is_asked_for_reads_and_writes(
    make: Any, start: Any, fake_light: Any
) -> None:
    proxy = await start(FakeProxy())
    light = make.light(fake_light.url, proxy=parse_proxy_url(proxy.url))

    figure = await use("light", light)
    written = await light.set_opening_balance(make_write(LIGHT, 7))

    assert (figure, written.amount.minor_units) == (12500, 7)
    assert [head[0].split(" ")[0] for head in proxy.heads] == ["GET", "PUT"]
    assert all(head[0].split(" ")[1].startswith(fake_light.url) for head in proxy.heads)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("password", ProviderUnavailable, "The proxy refused to connect to Light .* HTTP 407"),
        ("refusal", ProviderUnavailable, "The proxy refused to connect to Light .* HTTP 403"),
        ("down", ProviderUnavailable, "Cannot connect to Light"),
        ("silent", ProviderTimeout, r"Light did not respond .* within 0\.3 s"),
        ("untrusted", ProviderUnavailable, "certificate is not trusted"),
    ],
)
async def test_a_failing_proxy_sends_nothing_and_its_password_is_nowhere(
    make: Any,
    start: Any,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    kind: type[ProviderError],
    message: str,
) -> None:
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    server = await start(SERVERS["light"](), authority.build_server_context())
    proxy = FakeProxy("other:one" if fault == "password" else f"egress:{PROXY_PASSWORD}")
    await start(proxy)
    proxy.status = 403 if fault == "refusal" else None
    proxy.silent = fault == "silent"
    address = proxy.url_with(PROXY_USER_INFO)
    if fault == "down":
        address = f"http://{PROXY_USER_INFO}@127.0.0.1:1"
    url = parse_proxy_url(address)
    ca_file = None if fault == "untrusted" else authority.ca_file
    light = make.light(server.url, ca_file=ca_file, proxy=url, timeout_s=0.3)

    with pytest.raises(kind, match=message) as caught:
        await light.set_opening_balance(make_write(LIGHT, 7))

    assert not caught.value.maybe_applied
    assert server.received == []
    assert (fault == "down") == (proxy.heads == [])
    error: BaseException | None = caught.value
    shown = [repr(light._http), repr(url), str(url), caplog.text]
    while error is not None:
        shown.append(f"{error!s} {error!r} {vars(error)!r}")
        error = error.__cause__ or error.__context__
    for secret in (PROXY_PASSWORD, PROXY_USER_INFO, PROXY_USER_INFO.partition(":")[2]):
        assert secret not in "\n".join(shown)


async def test_a_forwarding_proxy_that_wants_a_password_sends_nothing(
    make: Any, start: Any, fake_light: Any
) -> None:
    proxy = await start(FakeProxy("egress:x"))
    light = make.light(fake_light.url, proxy=parse_proxy_url(proxy.url))

    with pytest.raises(
        ProviderUnavailable, match="HTTP 407: check the connector's proxy"
    ) as caught:
        await light.set_opening_balance(make_write(LIGHT, 7))

    assert not caught.value.maybe_applied
    assert fake_light.received == []


async def test_limits_of_time_and_size_hold_through_a_proxy(
    make: Any, start: Any, authority: Authority
) -> None:
    server = await start(SERVERS["light"](), authority.build_server_context())
    proxy = await start(FakeProxy())
    light = make.light(
        server.url, ca_file=authority.ca_file, proxy=parse_proxy_url(proxy.url), timeout_s=2
    )
    server.reply_with(Reply(200, b" " * 9_000_000), Reply(503, {}), Reply(200, b"x"))

    with pytest.raises(ProviderBadResponse, match="it exceeds a size limit"):
        await use("light", light)
    with pytest.raises(ProviderUnavailable) as refused:
        await light.set_opening_balance(make_write(LIGHT, 7))
    with pytest.raises(ProviderBadResponse, match="it is not JSON"):
        await use("light", light)

    async def hang(*_: Any) -> None:
        await asyncio.sleep(5)

    server.handler = hang
    slow = make.light(
        server.url, ca_file=authority.ca_file, proxy=parse_proxy_url(proxy.url), timeout_s=0.3
    )
    with pytest.raises(ProviderTimeout) as timed_out:
        await slow.set_opening_balance(make_write(LIGHT, 7))

    # Sent through the tunnel, so it may have been applied.
    assert refused.value.maybe_applied
    assert timed_out.value.maybe_applied


async def test_proxies_of_the_environment_are_not_used(
    make: Any, start: Any, fake_light: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await start(FakeProxy())
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)

    for transport in ("pooled", "httpx"):
        assert await use("light", make.light(fake_light.url, transport=transport)) == 12500

    assert proxy.heads == []
