"""Connections and bodies that violate HTTP: each fails in time, and nothing is guessed."""

import asyncio
import gzip
import json
import time
import zlib
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import (
    ProviderBadResponse,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from balance_gateway.transport.httpx_transport import HttpxTransport
from tests.providers import fake_servers
from tests.providers.conftest import assert_contains_no_secret, make_account, make_query, make_write
from tests.providers.fake_servers import (
    FakeLightServer,
    ReceivedRequest,
    Reply,
)

LIGHT = make_account(ProviderKind.LIGHT)


def light_body(**changes: Any) -> dict[str, Any]:
    body = {
        "bankAccountId": fake_servers.LIGHT_ID,
        "currency": "EUR",
        "bankBalance": 1,
        "ledgerBalance": 2,
        "asOf": "2026-05-07",
    }
    return {key: value for key, value in (body | changes).items() if value is not ...}


async def trickle(_: ReceivedRequest, writer: asyncio.StreamWriter) -> Reply | None:
    writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)
    return None


async def endless(_: ReceivedRequest, writer: asyncio.StreamWriter) -> Reply | None:
    writer.write(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(10_000):
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()
    return None


async def silence(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
    await asyncio.sleep(5)
    return None


async def hang_up(_: ReceivedRequest, __: asyncio.StreamWriter) -> Reply | None:
    return None


async def cut_off(_: ReceivedRequest, writer: asyncio.StreamWriter) -> Reply | None:
    writer.write(b'HTTP/1.1 200 X\r\ncontent-length: 1000\r\n\r\n{"balance"')
    return None


async def no_http(_: ReceivedRequest, writer: asyncio.StreamWriter) -> Reply | None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    return None


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (trickle, ProviderTimeout),
        (endless, ProviderBadResponse),
        (silence, ProviderTimeout),
        (hang_up, ProviderUnavailable),
        (cut_off, ProviderUnavailable),
        (no_http, ProviderUnavailable),
    ],
)
@pytest.mark.parametrize("write", [False, True])
async def test_bad_connections_fail_in_time_with_matching_error(
    make: Any, fake_light: FakeLightServer, behaviour: Any, kind: type[ProviderError], write: bool
) -> None:
    fake_light.handler = behaviour
    light = make.light(fake_light.url, timeout_s=0.4 if kind is ProviderTimeout else 5)
    started = time.monotonic()
    query = make_query(LIGHT, "2026-05-07")

    with pytest.raises(kind) as caught:
        await (
            light.set_opening_balance(make_write(LIGHT, 1)) if write else light.balances([query])
        )

    assert time.monotonic() - started < 2
    assert caught.value.maybe_applied is write
    assert len(fake_light.calls("PUT")) == (1 if write else 0)
    assert_contains_no_secret(caught.value)


async def test_compressed_body_that_inflates_past_limit_is_rejected(
    make: Any, fake_light: FakeLightServer
) -> None:
    body = json.dumps(light_body(padding=" " * 50_000_000)).encode()
    fake_light.reply_with(
        Reply(200, gzip.compress(body, compresslevel=1), {"content-encoding": "gzip"})
    )

    with pytest.raises(ProviderBadResponse):
        await make.light(fake_light.url, timeout_s=5).balances([make_query(LIGHT, "2026-05-07")])


async def test_compressed_body_is_read(make: Any, fake_light: FakeLightServer) -> None:
    body = gzip.compress(json.dumps(light_body()).encode())
    fake_light.reply_with(Reply(200, body, {"content-encoding": "gzip"}))

    [figures] = await make.light(fake_light.url).balances([make_query(LIGHT, "2026-05-07")])

    assert figures.bank.minor_units == 1


@pytest.mark.parametrize(
    ("body", "coding"),
    [(b"not gzip", "gzip"), (b"x", "br"), (gzip.compress(b"{}")[:-9], "gzip")],
    ids=["damaged", "unknown", "cut off"],
)
async def test_damaged_or_unknown_compression_is_rejected(
    make: Any, fake_light: FakeLightServer, body: bytes, coding: str
) -> None:
    fake_light.reply_with(Reply(200, body, {"content-encoding": coding}))

    with pytest.raises(ProviderBadResponse):
        await make.light(fake_light.url).balances([make_query(LIGHT, "2026-05-07")])


HTTPX_CASES: dict[str, tuple[Any, type[ProviderError]]] = {
    "trickle": (trickle, ProviderTimeout),
    "endless": (endless, ProviderBadResponse),
    "cut off": (cut_off, ProviderUnavailable),
    "20 MB": (Reply(200, b" " * 20_000_000), ProviderBadResponse),
    "bomb": (
        Reply(200, gzip.compress(b" " * 50_000_000, 1), {"content-encoding": "gzip"}),
        ProviderBadResponse,
    ),
    "br": (Reply(200, b"x", {"content-encoding": "br"}), ProviderBadResponse),
    "no gzip": (Reply(200, b"x", {"content-encoding": "gzip"}), ProviderBadResponse),
    "half gzip": (
        Reply(200, gzip.compress(b"{}")[:-9], {"content-encoding": "gzip"}),
        ProviderBadResponse,
    ),
}


@pytest.mark.parametrize("name", HTTPX_CASES)
async def test_limits_apply_to_httpx_transport(
    make: Any, fake_light: FakeLightServer, name: str
) -> None:
    """httpx has no limit of a body itself."""
    behaviour, kind = HTTPX_CASES[name]
    if isinstance(behaviour, Reply):
        fake_light.reply_with(behaviour)
    else:
        fake_light.handler = behaviour
    dependencies = {"transport": HttpxTransport()}
    timeout_s = 0.4 if kind is ProviderTimeout else 5
    light = make.light(fake_light.url, timeout_s=timeout_s, dependencies=dependencies)
    started = time.monotonic()

    with pytest.raises(kind):
        await light.balances([make_query(LIGHT, "2026-05-07")])

    assert time.monotonic() - started < timeout_s + 1


async def test_httpx_transport_reads_gzip_and_deflate(
    make: Any, fake_light: FakeLightServer
) -> None:
    content = json.dumps(light_body()).encode()
    fake_light.reply_with(
        Reply(200, gzip.compress(content), {"content-encoding": "gzip"}),
        Reply(200, zlib.compress(content), {"content-encoding": "deflate"}),
    )
    dependencies = {"transport": HttpxTransport()}
    light = make.light(fake_light.url, dependencies=dependencies)

    first = await light.balances([make_query(LIGHT, "2026-05-07")])
    second = await light.balances([make_query(LIGHT, "2026-05-07")])

    assert first == second


async def test_non_ascii_retry_after_is_ignored(make: Any, fake_light: FakeLightServer) -> None:
    fake_light.reply_with(Reply(429, {}, {"retry-after": "1\u00b2"}))

    with pytest.raises(ProviderError) as caught:
        await make.light(fake_light.url).balances([make_query(LIGHT, "2026-05-07")])

    assert caught.value.retry_after_s is None
