"""Responses that contradict the pages: each is rejected in time, and none is shown or guessed."""

import asyncio
import gzip
import json
import time
import zlib
from typing import Any

import httpx
import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderBadResponse,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from tests.providers import fake_servers
from tests.providers.conftest import assert_contains_no_secret, make_account, make_query, make_write
from tests.providers.fake_servers import (
    FakeAssetServer,
    FakeLayerServer,
    FakeLightServer,
    ReceivedRequest,
    Reply,
)

LIGHT = make_account(ProviderKind.LIGHT)
ASSET = make_account(ProviderKind.ASSET)
LAYER = make_account(ProviderKind.LAYER)
RAW = "SOMETHING-THE-PROVIDER-SAID"


def light_body(**changes: Any) -> dict[str, Any]:
    body = {
        "bankAccountId": fake_servers.LIGHT_ID,
        "currency": "EUR",
        "bankBalance": 1,
        "ledgerBalance": 2,
        "asOf": "2026-05-07",
    }
    return {key: value for key, value in (body | changes).items() if value is not ...}


def raw(number: str, key: str = "bankBalance") -> bytes:
    """Return the body with this literal number."""
    return json.dumps(light_body(**{key: 777777})).replace("777777", number).encode()


MALFORMED_LIGHT_BODIES: dict[str, Any] = {
    "text balance": light_body(bankBalance="12"),
    "bool balance": light_body(bankBalance=True),
    "fraction": raw("12.5"),
    "whole fraction": raw("12.0"),
    "exponent": raw("1e2"),
    "NaN": raw("NaN"),
    "Infinity": raw("Infinity"),
    "minus Infinity": raw("-Infinity"),
    "1e400": raw("1e400"),
    "1e999999999": raw("1e999999999"),
    "1e99999999999999999999": raw("1e99999999999999999999"),
    "int64 + 1": raw(str(2**63)),
    "5000 digits": raw("9" * 5000),
    "5000 decimals": raw("0." + "9" * 5000),
    "no bankBalance": light_body(bankBalance=...),
    "no ledgerBalance": light_body(ledgerBalance=...),
    "null ledgerBalance": light_body(ledgerBalance=None),
    "object balance": light_body(bankBalance={"value": 1}),
    "other account": light_body(bankAccountId=fake_servers.EXTERNAL),
    "account is a number": light_body(bankAccountId=5),
    "other currency": light_body(currency="USD"),
    "no currency": light_body(currency=...),
    "null currency": light_body(currency=None),
    "other day": light_body(asOf="2026-05-08"),
    "day is an instant": light_body(asOf="2026-05-07T00:00:00Z"),
    "day that does not exist": light_body(asOf="2026-02-30"),
    "same member twice": raw('1, "bankBalance": 666'),
    "array": [light_body()],
    "null": None,
    "text": RAW,
    "nothing": b"",
    "html": b"<html>" + RAW.encode(),
    "cut off": json.dumps(light_body()).encode()[:-3],
    "two texts": json.dumps(light_body()).encode() * 2,
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep member": raw("[" * 2000 + "]" * 2000),
    "not UTF-8": raw('1, "x": "\xff"').decode().encode("latin-1"),
    "UTF-16": json.dumps(light_body()).encode("utf-16"),
    "BOM": b"\xef\xbb\xbf" + json.dumps(light_body()).encode(),
    "half a surrogate pair": light_body(currency="\ud800"),
    "error with 200": {"type": "UNAUTHORIZED", "message": RAW},
    "other error with 200": {"name": "X", "type": "NOT_FOUND", "errors": [{"message": RAW}]},
    "20 MB": json.dumps(light_body(padding="x" * 20_000_000)).encode(),
}


@pytest.mark.parametrize("name", MALFORMED_LIGHT_BODIES)
async def test_malformed_light_body_is_a_bad_response(
    make: Any, fake_light: FakeLightServer, name: str
) -> None:
    fake_light.reply_with(Reply(200, MALFORMED_LIGHT_BODIES[name]))

    with pytest.raises(ProviderBadResponse) as caught:
        await make.light(fake_light.url, timeout_s=5).balances([make_query(LIGHT, "2026-05-07")])

    assert not caught.value.maybe_applied
    assert RAW not in str(caught.value)
    assert_contains_no_secret(caught.value)


async def test_unmodified_light_body_is_accepted(make: Any, fake_light: FakeLightServer) -> None:
    fake_light.reply_with(Reply(200, light_body()), Reply(200, light_body(asOf=...)))
    light = make.light(fake_light.url)

    await light.balances([make_query(LIGHT, "2026-05-07")])
    await light.balances([make_query(LIGHT, "2026-05-07")])


@pytest.mark.parametrize(
    "body",
    [
        {"bankAccountId": fake_servers.EXTERNAL, "balance": 5, "balanceAt": "2026-01-01T00:00:00Z"},
        {"bankAccountId": fake_servers.LIGHT_ID, "balance": 6, "balanceAt": "2026-01-01T00:00:00Z"},
        {"bankAccountId": fake_servers.LIGHT_ID, "balance": 5, "balanceAt": "2026-01-02T00:00:00Z"},
        {"bankAccountId": fake_servers.LIGHT_ID, "balance": 5, "balanceAt": "2026-01-01T00:00:00"},
        {"bankAccountId": fake_servers.LIGHT_ID, "balance": 5},
        {
            "bankAccountId": fake_servers.LIGHT_ID,
            "balance": "5",
            "balanceAt": "2026-01-01T00:00:00Z",
        },
        {"balance": 5, "balanceAt": "2026-01-01T00:00:00Z"},
        {"type": "BAD_REQUEST", "message": RAW},
        b"",
        b"{",
    ],
)
async def test_light_write_with_wrong_echo_is_uncertain(
    make: Any, fake_light: FakeLightServer, body: Any
) -> None:
    fake_light.reply_with(Reply(200, body))

    with pytest.raises(ProviderBadResponse) as caught:
        await make.light(fake_light.url).set_opening_balance(make_write(LIGHT, 5))

    assert caught.value.maybe_applied
    assert len(fake_light.calls("PUT")) == 1


@pytest.mark.parametrize(
    "data",
    [
        b'{"ledger_id": "%s", "amount": 0.050000000000000001}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": "0.05"}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": 0.06}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": 1e400}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": null}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s", "amount": true}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "%s"}' % fake_servers.LEDGER.encode(),
        b'{"ledger_id": "ldg_other", "amount": 0.05}',
        b"null",
        b"[]",
    ],
)
async def test_asset_write_with_wrong_response_is_uncertain(
    make: Any, fake_asset: FakeAssetServer, data: bytes
) -> None:
    fake_asset.reply_with(Reply(404, {}), Reply(200, b'{"data": ' + data + b"}"))

    with pytest.raises(ProviderBadResponse) as caught:
        await make.asset(fake_asset.url).set_opening_balance(
            make_write(ASSET, 5, effective_at=None)
        )

    assert caught.value.maybe_applied
    assert len(fake_asset.calls("PUT")) == 1


async def test_asset_error_with_200_is_rejected(make: Any, fake_asset: FakeAssetServer) -> None:
    record = {"ledger_id": fake_servers.LEDGER, "amount": 0.05}
    fake_asset.reply_with(Reply(404, {}), Reply(200, {"error": RAW, "data": record}))

    with pytest.raises(ProviderBadResponse) as caught:
        await make.asset(fake_asset.url).set_opening_balance(
            make_write(ASSET, 5, effective_at=None)
        )

    assert caught.value.maybe_applied
    assert RAW not in str(caught.value)


@pytest.mark.parametrize(
    "number", ["0.05", "0.0500", "5e-2", "0.50E-1", "0.05000000000000000000000000000000000000"]
)
async def test_asset_number_is_read_in_any_notation(
    make: Any, fake_asset: FakeAssetServer, number: str
) -> None:
    body = f'{{"data": {{"ledger_id": "{fake_servers.LEDGER}", "amount": {number}}}}}'
    fake_asset.reply_with(Reply(404, {}), Reply(200, body.encode()))

    stored = await make.asset(fake_asset.url).set_opening_balance(
        make_write(ASSET, 5, effective_at=None)
    )

    assert stored.amount.minor_units == 5


ROW = {"ledger_id": fake_servers.LEDGER, "debit": 10, "credit": 0, "ledger_type": "NEW"}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [ROW | {"ledger_id": "ldg_other"}],
        [ROW, ROW],
        [ROW | {"debit": "10"}],
        [ROW | {"credit": None}],
        [{"ledger_id": fake_servers.LEDGER, "debit": 1}],
        [ROW | {"debit": True}],
        b'[{"ledger_id": "%s", "debit": 10.001, "credit": 0}]' % fake_servers.LEDGER.encode(),
        b'[{"ledger_id": "%s", "debit": NaN, "credit": 0}]' % fake_servers.LEDGER.encode(),
        b'[{"ledger_id": "%s", "debit": 1e400, "credit": 0}]' % fake_servers.LEDGER.encode(),
        b'[{"ledger_id": "%s", "debit": 1, "debit": 2, "credit": 0}]'
        % fake_servers.LEDGER.encode(),
        [5],
        {},
        None,
    ],
)
async def test_asset_trial_balance_requires_exactly_one_valid_row(
    make: Any, fake_asset: FakeAssetServer, rows: Any
) -> None:
    encoded = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    fake_asset.reply_with(Reply(200, b'{"data": ' + encoded + b"}"))

    try:
        [result] = await make.asset(fake_asset.url).balances([make_query(ASSET, "2026-05-07")])
    except GatewayError as error:
        result = error

    assert isinstance(result, ProviderBadResponse)


@pytest.mark.parametrize(
    "changes",
    [
        {"balance": "432100"},
        {"balance": None},
        {"balance": 1.0},
        {"balance": True},
        {"effective_at": "2023-11-07T05:31:56"},
        {"effective_at": "2023-11-07"},
        {"effective_at": 1699335116},
        {"created_at": "2023-13-07T05:31:56Z"},
        {"updated_at": "0001-01-01T00:00:00+14:00"},
        {"transaction_tags": {}},
        {"transaction_tags": [{"id": "x"}]},
        {"memo": 5},
        {"memo": "\ud800"},
        {"metadata": [1]},
        {"metadata": {"a": "\udfff"}},
        {"reference_number": []},
    ],
)
async def test_layer_field_of_wrong_type_is_a_bad_response(
    make: Any, fake_layer: FakeLayerServer, changes: dict[str, Any]
) -> None:
    fake_layer.reply_with(Reply(200, fake_layer.opening | changes))

    with pytest.raises(ProviderBadResponse):
        await make.layer(fake_layer.url).opening_balance(LAYER)


async def test_layer_accepts_unknown_enums_and_fields(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.opening |= {"external_account_source": "NEW_BANK", "later": {"x": [1.5]}}

    assert await make.layer(fake_layer.url).opening_balance(LAYER) is not None


# --- slow, endless and compressed responses -------------------------------------------------------


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
    ("body", "coding"), [(b"not gzip", "gzip"), (b"x", "br"), (gzip.compress(b"{}")[:-9], "gzip")]
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
    """httpx's transport has no limits itself, and a transport may be injected."""
    behaviour, kind = HTTPX_CASES[name]
    if isinstance(behaviour, Reply):
        fake_light.reply_with(behaviour)
    else:
        fake_light.handler = behaviour
    dependencies = {"transport": httpx.AsyncHTTPTransport(trust_env=False)}
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
    dependencies = {"transport": httpx.AsyncHTTPTransport(trust_env=False)}
    light = make.light(fake_light.url, dependencies=dependencies)

    first = await light.balances([make_query(LIGHT, "2026-05-07")])
    second = await light.balances([make_query(LIGHT, "2026-05-07")])

    assert first == second


async def test_non_ascii_retry_after_is_ignored(make: Any, fake_light: FakeLightServer) -> None:
    fake_light.reply_with(Reply(429, {}, {"retry-after": "1\u00b2"}))

    with pytest.raises(ProviderError) as caught:
        await make.light(fake_light.url).balances([make_query(LIGHT, "2026-05-07")])

    assert caught.value.retry_after_s is None
