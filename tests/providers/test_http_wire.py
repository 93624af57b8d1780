"""Our pools and httpx transports send the same bytes and read the same responses."""

import asyncio
from typing import Any

import httpx
import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import ProviderBadResponse
from balance_gateway.ports.provider_call import ProviderCall
from balance_gateway.providers.http.client import ProviderHTTP
from balance_gateway.providers.http.http_wire import index_headers, parse_address
from balance_gateway.transport import HttptoolsTransport
from tests.providers import fake_servers
from tests.providers.conftest import make_account, make_query, make_write
from tests.providers.fake_servers import FakeLightServer, ReceivedRequest, Reply

LIGHT = make_account(ProviderKind.LIGHT)
QUERY = make_query(LIGHT, "2026-05-07")


class HttpxApiTransport(httpx.AsyncBaseTransport):
    """Wraps our transport, so that it is used through httpx's transport API."""

    def __init__(self) -> None:
        self.inner = HttptoolsTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


async def send_over(
    transport: httpx.AsyncBaseTransport, base_url: str, server: Any
) -> ReceivedRequest:
    provider = ProviderHTTP("c", ProviderKind.LIGHT, base_url, transport=transport)
    query = {"from": "a b+c&d=e", "to": "é/?#", "none": ""}
    server.reply_with(Reply(200, {}))

    await provider.send("read", "GET", "v1", "a/b?c#d", "é~%2F", query=query)

    await provider.aclose()
    found: ReceivedRequest = server.received[-1]
    return found


@pytest.mark.parametrize("path", ["", "/", "/prefix", "/pre fix/ü/", "/a/../b/./c", "//twice"])
async def test_both_transports_send_the_same_bytes(fake_light: FakeLightServer, path: str) -> None:
    ours = await send_over(HttptoolsTransport(), fake_light.url + path, fake_light)
    theirs = await send_over(HttpxApiTransport(), fake_light.url + path, fake_light)

    assert ours == theirs
    assert ours.target.startswith("/")


@pytest.mark.parametrize("transport", [HttptoolsTransport, HttpxApiTransport])
async def test_body_past_the_limit_is_rejected(fake_light: FakeLightServer, transport: Any) -> None:
    provider = ProviderHTTP(
        "c", ProviderKind.LIGHT, fake_light.url, transport=transport(), body_bytes_max=100
    )
    fake_light.reply_with(Reply(200, b'"' + b"x" * 98 + b'"'), Reply(200, b" " * 101))

    response = await provider.send("read", "GET", "v1")
    with pytest.raises(ProviderBadResponse):
        await provider.send("read", "GET", "v1")

    assert response.body == "x" * 98
    await provider.aclose()


@pytest.mark.parametrize("transport", [HttptoolsTransport, HttpxApiTransport])
async def test_redirect_fragment_is_not_sent(
    make: Any, fake_light: FakeLightServer, transport: Any
) -> None:
    target = f"/v1/bank-accounts/{fake_servers.LIGHT_ID}/balance?asOf=2026-05-07"
    fake_light.reply_with(Reply(307, b"", {"location": f"{target}#part"}))
    light = make.light(fake_light.url, dependencies={"transport": transport()})

    await light.balances([QUERY])

    assert [call.target for call in fake_light.calls()] == [target, target]


@pytest.mark.parametrize("transport", [HttptoolsTransport, HttpxApiTransport])
async def test_time_limit_covers_all_redirects(
    make: Any, fake_light: FakeLightServer, transport: Any
) -> None:
    async def redirect_slowly(_: ReceivedRequest, __: Any) -> Reply:
        await asyncio.sleep(0.2)
        return Reply(307, b"", {"location": "/again"})

    fake_light.handler = redirect_slowly
    calls: list[ProviderCall] = []
    dependencies = {"transport": transport(), "on_call": calls.append}
    light = make.light(fake_light.url, timeout_s=0.5, dependencies=dependencies)

    with pytest.raises(Exception, match=r"within 0\.5 s"):
        await light.set_opening_balance(make_write(LIGHT, 1))

    assert [call.outcome for call in calls] == ["redirected", "redirected", "PROVIDER_TIMEOUT"]
    assert sum(call.duration_s for call in calls) == pytest.approx(0.5, abs=0.1)


def test_headers_are_indexed_as_in_httpx() -> None:
    raw = [
        (b"X-RateLimit-Limit", b"1"),
        (b"x-ratelimit-limit", b"2"),
        (b"Location", "/é".encode()),
        (b"Retry-After", b""),
    ]

    assert index_headers(raw) == dict(httpx.Headers(raw))
    assert index_headers([(b"Location", b"\xe9"), (b"Date", b"today")]) == {"location": "é"}


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://API.example", "https://api.example", "/"),
        ("https://api.example:443/a?b=c#d", "https://api.example", "/a?b=c"),
        ("http://[::1]:8080/a b", "http://[::1]:8080", "/a%20b"),
        ("https://bücher.example/", "https://xn--bcher-kva.example", "/"),
    ],
)
def test_url_is_split_into_origin_and_target(url: str, origin: str, target: str) -> None:
    assert parse_address(url) == (origin, target)
    assert parse_address(parse_address(url).url) == (origin, target)
