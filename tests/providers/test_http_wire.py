"""Both transports send the same bytes and read the same responses."""

import asyncio
from typing import Any

import httpx
import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import ProviderBadResponse
from balance_gateway.ports.provider_call import ProviderCall
from balance_gateway.providers.http.client import ProviderHTTP
from balance_gateway.providers.http.http_wire import index_headers
from balance_gateway.transport import Bounds, PooledTransport, build_transport
from balance_gateway.transport.httpx_transport import HttpxTransport
from tests.providers import fake_servers
from tests.providers.conftest import make_account, make_query, make_write
from tests.providers.fake_servers import FakeLightServer, ReceivedRequest, Reply

LIGHT = make_account(ProviderKind.LIGHT)
QUERY = make_query(LIGHT, "2026-05-07")


TRANSPORTS = ["pooled", "httpx"]


async def send_over(transport: str, base_url: str, server: Any) -> list[ReceivedRequest]:
    provider = ProviderHTTP("c", ProviderKind.LIGHT, base_url, transport=build_transport(transport))
    query = {"from": "a b+c&d=e", "to": "é/?#", "none": ""}
    server.reply_with(Reply(200, {}), Reply(200, {}))

    await provider.send("read", "GET", "v1", "a/b?c#d", "é~%2F", query=query)
    await provider.send("write", "PUT", "v1", body={"a": 1})

    await provider.aclose()
    found: list[ReceivedRequest] = server.received[-2:]
    return found


@pytest.mark.parametrize("path", ["", "/", "/prefix", "/pre fix/ü/", "/a/../b/./c", "//twice"])
async def test_both_transports_send_the_same_bytes(fake_light: FakeLightServer, path: str) -> None:
    ours = await send_over("pooled", fake_light.url + path, fake_light)
    theirs = await send_over("httpx", fake_light.url + path, fake_light)

    assert ours == theirs
    assert all(request.target.startswith("/") for request in ours)


@pytest.mark.parametrize("transport", [PooledTransport, HttpxTransport])
async def test_body_past_the_limit_is_rejected(fake_light: FakeLightServer, transport: Any) -> None:
    bounded = transport(bounds=Bounds(body_bytes_max=100))
    provider = ProviderHTTP("c", ProviderKind.LIGHT, fake_light.url, transport=bounded)
    fake_light.reply_with(Reply(200, b'"' + b"x" * 98 + b'"'), Reply(200, b" " * 101))

    response = await provider.send("read", "GET", "v1")
    with pytest.raises(ProviderBadResponse):
        await provider.send("read", "GET", "v1")

    assert response.body == "x" * 98
    await provider.aclose()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_redirect_fragment_is_not_sent(
    make: Any, fake_light: FakeLightServer, transport: str
) -> None:
    target = f"/v1/bank-accounts/{fake_servers.LIGHT_ID}/balance?asOf=2026-05-07"
    fake_light.reply_with(Reply(307, b"", {"location": f"{target}#part"}))
    light = make.light(fake_light.url, dependencies={"transport": build_transport(transport)})

    await light.balances([QUERY])

    assert [call.target for call in fake_light.calls()] == [target, target]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_time_limit_covers_all_redirects(
    make: Any, fake_light: FakeLightServer, transport: str
) -> None:
    async def redirect_slowly(_: ReceivedRequest, __: Any) -> Reply:
        await asyncio.sleep(0.2)
        return Reply(307, b"", {"location": "/again"})

    fake_light.handler = redirect_slowly
    calls: list[ProviderCall] = []
    dependencies = {"transport": build_transport(transport), "on_call": calls.append}
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
    assert index_headers([(b"Location", b"\xe9"), (b"Server", b"other")]) == {"location": "é"}
