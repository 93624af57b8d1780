"""Responses that contradict Light's page: each is rejected, and none is shown or guessed."""

import json
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import (
    ProviderBadResponse,
)
from tests.providers import fake_servers
from tests.providers.conftest import assert_contains_no_secret, make_account, make_query, make_write
from tests.providers.fake_servers import (
    FakeLightServer,
    Reply,
)

LIGHT = make_account(ProviderKind.LIGHT)
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
    "whole fraction past int64": raw("9223372036854775808.0"),
    "exponent below one": raw("1e-2"),
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
    "other currency": light_body(currency="USD"),
    "no currency": light_body(currency=...),
    "null currency": light_body(currency=None),
    "other day": light_body(asOf="2026-05-08"),
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
    "two BOMs": b"\xef\xbb\xbf" * 2 + json.dumps(light_body()).encode(),
    "similar currency": light_body(currency="\u20acUR"),
    "padded currency": light_body(currency=" EUR"),
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
    "echo",
    [{"bankAccountId": 5}, {"asOf": "2026-05-07T00:00:00Z"}, {"asOf": "2026-02-30"}, {"asOf": 7}],
    ids=str,
)
async def test_unreadable_light_echo_costs_no_figure(
    make: Any, fake_light: FakeLightServer, caplog: pytest.LogCaptureFixture, echo: dict[str, Any]
) -> None:
    """The page has neither as a required field: the request had named account and day."""
    fake_light.reply_with(Reply(200, light_body(**echo)))

    [figures] = await make.light(fake_light.url).balances([make_query(LIGHT, "2026-05-07")])

    assert (figures.bank.minor_units, figures.ledger.minor_units) == (1, 2)
    [record] = [one for one in caplog.records if one.message == "provider.field_dropped"]
    assert (record.account_id, [record.field]) == (LIGHT.id, list(echo))  # type: ignore[attr-defined]


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
