"""Responses that are not quite right and can only mean one figure: every provider takes them."""

import gzip
import json
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import ProviderBadResponse
from tests.providers import fake_servers
from tests.providers.conftest import make_account, make_query, make_write
from tests.providers.fake_servers import Reply

LIGHT = make_account(ProviderKind.LIGHT)
ASSET = make_account(ProviderKind.ASSET, normal_balance=Side.DEBIT)
LAYER = make_account(ProviderKind.LAYER, normal_balance=Side.DEBIT)

LIGHT_BODY = (
    f'{{"bankAccountId": "{fake_servers.LIGHT_ID}", "currency": "EUR", "bankBalance": 12345,'
    ' "ledgerBalance": 67}'
)
BODIES = {
    "light": LIGHT_BODY,
    "asset": (
        f'{{"data": [{{"ledger_id": "{fake_servers.LEDGER}", "debit": 123.45, "credit": 0}}]}}'
    ),
    "layer": '{"data": {"balance": 12345, "effective_at": "2026-01-01T00:00:00Z"}}',
}


@pytest.fixture
def read(make: Any, fake_light: Any, fake_asset: Any, fake_layer: Any) -> Any:
    """``await read(provider, body, headers)`` returns the minor units that a read shows."""

    servers = {"light": fake_light, "asset": fake_asset, "layer": fake_layer}

    async def read_figure(
        provider: str, body: bytes, headers: dict[str, str] | None = None
    ) -> int | None:
        server = servers[provider]
        server.reply_with(Reply(200, body, headers or {}))
        adapter = getattr(make, provider)(server.url)
        if provider == "layer":
            opening = await adapter.opening_balance(LAYER)
            return int(opening.amount.minor_units)
        account = LIGHT if provider == "light" else ASSET
        [figures] = await adapter.balances([make_query(account, "2026-05-07")])
        if isinstance(figures, Exception):
            raise figures
        return int((figures.bank or figures.ledger).minor_units)

    return read_figure


def zip_members(text: str, *, padding: bytes = b"") -> bytes:
    """Return the text as two gzip members."""
    half = len(text) // 2
    return b"".join(gzip.compress(part.encode()) + padding for part in (text[:half], text[half:]))


@pytest.mark.parametrize("provider", BODIES)
async def test_a_body_in_an_unusual_coding_is_read(read: Any, provider: str) -> None:
    """Each of these was refused as a body that cannot be decompressed or is not JSON."""
    text = BODIES[provider]
    plain = [
        {"content-encoding": coding}
        for coding in ("UTF-8", "utf8", "Identity", "none", "identity, UTF-8", "us-ascii", "8bit")
    ]
    zipped = [
        (zip_members(text), "gzip"),
        (zip_members(text, padding=b"\0\0"), "gzip"),
        (zip_members(text), "GZIP, utf-8"),
        (gzip.compress(b"\xef\xbb\xbf" + text.encode()), "x-gzip"),
    ]

    figures = [
        *[await read(provider, text.encode(), headers) for headers in plain],
        *[await read(provider, body, {"content-encoding": name}) for body, name in zipped],
        await read(provider, b"\xef\xbb\xbf" + text.encode()),
    ]

    assert figures == [12345] * 12


@pytest.mark.parametrize(
    ("body", "coding", "problem"),
    [
        (LIGHT_BODY.encode(), "br", "its Content-Encoding is not one of gzip and deflate"),
        (LIGHT_BODY.encode(), "gzip, br", "its Content-Encoding is not one of gzip and deflate"),
        (zip_members(LIGHT_BODY)[:-9], "gzip", "its compressed body is broken or incomplete"),
        (zip_members(LIGHT_BODY) + b"{}", "gzip", "its compressed body is broken or incomplete"),
        (
            zip_members(" " * 5_000_000) + gzip.compress(b" " * 5_000_000),
            "gzip",
            "it exceeds a size limit",
        ),
        (gzip.compress(b"") * 200, "gzip", "its compressed body is broken or incomplete"),
        (LIGHT_BODY.encode("utf-16"), "UTF-8", "it is not UTF-8"),
    ],
    ids=["br", "gzip and br", "cut off", "other data", "too large", "too many members", "UTF-16"],
)
async def test_a_body_that_cannot_be_read_says_why(
    read: Any, body: bytes, coding: str, problem: str
) -> None:
    with pytest.raises(ProviderBadResponse, match=problem):
        await read("light", body, {"content-encoding": coding})


@pytest.mark.parametrize("provider", ["light", "layer"])
async def test_a_whole_number_is_read_in_any_notation(read: Any, provider: str) -> None:
    """``12345.0`` was refused as no integer; none of these passes through a float."""
    large = "9007199254740993.000"

    figures = [
        await read(provider, BODIES[provider].replace("12345", number).encode())
        for number in ("12345.0", "1.2345e4", "1234500E-2", "-0.0", "0e999", large)
    ]

    assert figures == [12345, 12345, 12345, 0, 0, 9007199254740993]


@pytest.mark.parametrize("provider", ["light", "layer"])
@pytest.mark.parametrize(
    "number", ["12345.5", "1e400", "1e-400", "0.1", "NaN", "12345.0000000000000000001", '"12345"']
)
async def test_a_number_that_is_not_whole_is_refused(read: Any, provider: str, number: str) -> None:
    with pytest.raises(ProviderBadResponse):
        await read(provider, BODIES[provider].replace("12345", number).encode())


async def test_a_whole_number_confirms_a_write(make: Any, fake_light: Any) -> None:
    echo = {"bankAccountId": fake_servers.LIGHT_ID, "balanceAt": "2026-01-01T00:00:00Z"}
    body = json.dumps(echo | {"balance": 5.0}).encode()
    fake_light.reply_with(Reply(200, body))

    stored = await make.light(fake_light.url).set_opening_balance(make_write(LIGHT, 5))

    assert b"5.0" in body
    assert stored.amount.minor_units == 5


@pytest.mark.parametrize("code", ["eur", "Eur"])
async def test_a_currency_is_read_in_any_case(read: Any, code: str) -> None:
    """Light's ``eur`` was refused as another currency."""
    assert await read("light", LIGHT_BODY.replace("EUR", code).encode()) == 12345


@pytest.mark.parametrize("code", ["usd", "eu", "\u017fek"])
async def test_another_currency_is_refused_in_any_case(read: Any, code: str) -> None:
    with pytest.raises(ProviderBadResponse, match="currency differs"):
        await read("light", LIGHT_BODY.replace("EUR", code).encode())
