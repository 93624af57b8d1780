"""The issuer's keys: fetched once for all, found soon when they change, kept when it is down."""

import asyncio
import json
import logging
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web import jwks
from balance_gateway.web.jwks import Jwks, JwksError, parse_key_set
from tests.servers import free_port
from tests.web.issuer import (
    NOW_S,
    Parts,
    b64,
    claims,
    ec_key,
    ed448_key,
    ed_key,
    header,
    issuing,
    jwk,
    number,
    rsa_key,
    token,
)

LONG = claims(exp=NOW_S + 30 * 86_400)
OLD = token(LONG)
NEW = token(LONG, header(kid="two"), rsa_key("second"))


async def is_good(parts: Parts, credential: str) -> bool:
    try:
        await parts.who(credential)
    except Unauthenticated:
        return False
    return True


async def test_nothing_is_fetched_before_a_token_needs_it():
    async with issuing() as parts:
        no_id = token(head=header(kid=""))
        for junk in ("..", "a.b.c", "A" * 40 + ".A.A", token()[5:], no_id):
            assert not await is_good(parts, junk)
        assert parts.issuer.requests == 0

        assert await is_good(parts, token())
        assert parts.issuer.requests == 1


async def test_one_fetch_serves_all_who_wait():
    async with issuing() as parts:
        parts.issuer.gate = asyncio.Event()
        waiting = [
            asyncio.create_task(is_good(parts, token(claims(sub=f"u{n}")))) for n in range(50)
        ]
        await parts.issuer.asked.wait()
        waiting[0].cancel()
        parts.issuer.gate.set()

        assert await asyncio.gather(*waiting[1:]) == [True] * 49
        assert waiting[0].cancelled()
        assert parts.issuer.requests == 1


async def test_a_hundred_unknown_key_ids_are_few_requests():
    async with issuing() as parts:
        assert await is_good(parts, token())
        for n in range(100):
            assert not await is_good(parts, token(head=header(kid=f"made up {n}")))
            parts.times.pass_by(0.3)

        assert parts.issuer.requests == 3


async def test_a_hundred_unknown_key_ids_at_once_are_one_request():
    async with issuing() as parts:
        assert await is_good(parts, token())
        parts.times.pass_by(10)
        made_up = [token(head=header(kid=f"made up {n}")) for n in range(100)]

        assert not any(await asyncio.gather(*(is_good(parts, each) for each in made_up)))
        assert parts.issuer.requests == 2


async def test_a_known_key_id_with_another_algorithm_asks_nobody():
    async with issuing() as parts:
        assert await is_good(parts, token())
        parts.times.pass_by(60)
        assert not await is_good(parts, token(head=header(alg="ES256"), key=ec_key()))

        assert parts.issuer.requests == 1


async def test_a_new_key_is_taken_within_seconds_even_under_made_up_ids():
    async with issuing() as parts:
        assert await is_good(parts, OLD)
        parts.times.pass_by(60)
        assert not await is_good(parts, token(head=header(kid="made up")))
        parts.issuer.keys.append(jwk(rsa_key("second"), "two"))
        began_s = parts.times.monotonic_s
        while not await is_good(parts, NEW):
            parts.times.pass_by(1)
            assert not await is_good(parts, token(head=header(kid="made up")))

        assert parts.times.monotonic_s - began_s <= 10
        assert await is_good(parts, OLD)


async def test_a_key_that_was_taken_back_ends_its_tokens_remembered_ones_too():
    async with issuing() as parts:
        assert await is_good(parts, OLD)
        parts.issuer.keys = [jwk(rsa_key("second"), "two")]
        parts.times.pass_by(10)
        assert await is_good(parts, NEW)

        assert not await is_good(parts, OLD)
        assert not await is_good(parts, token(head=header(kid="two")))


async def test_a_key_that_was_taken_back_ends_its_tokens_without_any_other_traffic():
    async with issuing() as parts:
        assert await is_good(parts, OLD)
        parts.issuer.keys = []
        parts.times.pass_by(599)
        await is_good(parts, OLD)
        await parts.renewed()

        assert not await is_good(parts, OLD)


async def test_after_a_long_silence_the_keys_are_asked_for_before_they_are_used():
    async with issuing() as parts:
        assert await is_good(parts, OLD)
        parts.issuer.keys = []
        parts.times.pass_by(600)

        assert not await is_good(parts, OLD)


async def test_other_numbers_under_the_same_id_are_another_key():
    async with issuing() as parts:
        assert await is_good(parts, OLD)
        parts.issuer.keys = [jwk(rsa_key("second"))]
        parts.times.pass_by(600)

        assert not await is_good(parts, OLD)
        assert await is_good(parts, token(LONG, key=rsa_key("second")))


async def test_keys_in_use_are_renewed_before_they_are_old_and_nobody_waits():
    async with issuing() as parts:
        assert await is_good(parts, OLD)
        parts.times.pass_by(479)
        assert await is_good(parts, OLD)
        assert parts.issuer.requests == 1

        parts.issuer.gate = asyncio.Event()
        parts.issuer.asked.clear()
        parts.times.pass_by(1)
        assert all([await is_good(parts, OLD) for _ in range(20)])
        await parts.issuer.asked.wait()
        parts.issuer.gate.set()
        await parts.renewed()
        parts.times.pass_by(479)
        assert await is_good(parts, OLD)

        assert parts.issuer.requests == 2


async def test_equal_keys_leave_the_remembered_tokens_as_they_are():
    async with issuing() as parts:
        first = await parts.who(OLD)
        parts.issuer.keys = [dict(reversed(parts.issuer.keys[0].items()))]
        parts.times.pass_by(600)

        assert await parts.who(OLD) is first
        assert parts.issuer.requests == 2


def broken_in_some_way(way: str, issuer: Any) -> None:
    documents = {
        "html": b"<html>",
        "empty": b"",
        "a list": b"[]",
        "no keys": b"{}",
        "keys twice": b'{"keys": [], "keys": []}',
        "keys no list": b'{"keys": {}}',
        "no UTF-8": b'{"keys": ["\xff"]}',
        "deep": b'{"keys": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        "too large": b'{"keys": [], "x": "' + b"x" * 262_144 + b'"}',
    }
    if way in documents:
        issuer.document = documents[way]
    elif way == "redirect":
        issuer.redirect = True
    else:
        issuer.status = int(way)


WAYS = ["500", "404", "204", "redirect", "html", "empty", "a list", "no keys", "keys twice",
        "keys no list", "no UTF-8", "deep", "too large"]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
async def test_a_broken_answer_at_first_is_nobody_s_key_and_then_is_made_good(way):
    async with issuing() as parts:
        broken_in_some_way(way, parts.issuer)
        assert not await is_good(parts, token())
        assert not await is_good(parts, token())
        assert parts.issuer.requests == 1

        parts.issuer.document, parts.issuer.status, parts.issuer.redirect = None, 200, False
        parts.times.pass_by(10)
        assert await is_good(parts, token())


@pytest.mark.parametrize("way", WAYS)
async def test_a_broken_answer_later_leaves_the_keys_in_use_for_a_day(way, caplog):
    caplog.set_level(logging.INFO)
    async with issuing() as parts:
        assert await is_good(parts, OLD)
        broken_in_some_way(way, parts.issuer)
        parts.times.pass_by(600)
        assert await is_good(parts, OLD)
        parts.times.pass_by(86_400 - 601)
        assert await is_good(parts, OLD)
        assert await is_good(parts, token(claims(sub="grace", exp=NOW_S + 30 * 86_400)))
        await parts.renewed()
        parts.times.pass_by(1)
        assert not await is_good(parts, OLD)

    assert [record.message for record in caplog.records].count("jwks.fetch_failed") == 1


async def test_an_issuer_that_is_back_is_heard_again(caplog):
    caplog.set_level(logging.INFO)
    async with issuing() as parts:
        assert await is_good(parts, OLD)
        parts.issuer.status = 500
        parts.times.pass_by(600)
        assert await is_good(parts, OLD)
        parts.issuer.status, parts.issuer.keys = 200, [jwk(rsa_key("second"), "two")]
        parts.times.pass_by(10)
        await is_good(parts, OLD)
        await parts.renewed()

        assert not await is_good(parts, OLD)
        assert await is_good(parts, NEW)
    assert "jwks.fetch_recovered" in caplog.text


async def test_while_the_issuer_hangs_known_keys_make_nobody_wait():
    async with issuing() as parts:
        assert await is_good(parts, OLD)
        parts.issuer.status = 500
        parts.times.pass_by(600)
        assert await is_good(parts, OLD)
        parts.issuer.gate = asyncio.Event()
        for _ in range(5):
            parts.times.pass_by(60)
            async with asyncio.timeout(1):
                assert await is_good(parts, OLD)

        assert parts.issuer.requests <= 3


async def test_an_issuer_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(jwks, "TIMEOUT_S", 0.05)
    async with issuing() as parts:
        parts.issuer.gate = asyncio.Event()
        async with asyncio.timeout(2):
            assert not await is_good(parts, token())


async def test_nobody_listening_is_no_key():
    keys = Jwks(f"http://127.0.0.1:{free_port()}/jwks.json")

    assert (await keys.keys("one")).kids == frozenset()
    await keys.aclose()


async def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with issuing() as parts:
        assert await is_good(parts, token())


async def test_closing_ends_a_fetch_and_those_who_wait_for_it():
    async with issuing() as parts:
        parts.issuer.gate = asyncio.Event()
        waiting = asyncio.create_task(is_good(parts, token()))
        await parts.issuer.asked.wait()
        await parts.jwks.aclose()

        assert not await waiting
        ended = parts.jwks._fetching
        parts.times.pass_by(100)
        assert not await is_good(parts, token())
        assert parts.jwks._fetching is ended
        assert parts.issuer.requests == 1


@pytest.mark.parametrize(
    "url",
    ["http://issuer.example/jwks.json", "http://127.0.0.1.evil.example/", "file:///etc/passwd",
     "ftp://127.0.0.1/", "//127.0.0.1/", "https:///x", "http://169.254.169.254/", ""],
)  # fmt: skip
def test_beyond_this_machine_only_https_is_asked(url):
    with pytest.raises(ValueError, match="https"):
        Jwks(url)


def changed(key: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {name: value for name, value in {**key, **members}.items() if value is not ...}


RSA, EC, ED = jwk(rsa_key(), "x"), jwk(ec_key(), "x"), jwk(ed_key(), "x")

MALFORMED = [
    None, 1, "key", [], {}, {"kid": "x"},
    changed(RSA, kid=...), changed(RSA, kid=""), changed(RSA, kid=1), changed(RSA, kid=["x"]),
    changed(RSA, kty=...), changed(RSA, kty="rsa"), changed(RSA, kty=["RSA"]), changed(RSA, kty={}),
    changed(RSA, n=...), changed(RSA, n=1), changed(RSA, n=""), changed(RSA, n="*"),
    changed(RSA, n=RSA["n"] + "="), changed(RSA, n="A" * 100_000), changed(RSA, n="_" * 100_000),
    changed(RSA, e=...), changed(RSA, e="AQ"), changed(RSA, e="Ag"), changed(RSA, e=65537),
    changed(RSA, n=number(2**1023 + 1)), changed(RSA, n=number(2**8192 + 1)),
    changed(RSA, d=number(3)), changed(RSA, use="enc"), changed(RSA, alg="HS256"),
    changed(RSA, alg="none"), changed(RSA, alg="ES256"), changed(RSA, alg=1),
    changed(RSA, key_ops=["sign"]), changed(RSA, key_ops={"verify": 1}),
    changed(EC, crv="P-384"), changed(EC, crv="P-999"), changed(EC, crv=["P-256"]),
    changed(EC, x=b64(b"\x01" * 32)), changed(EC, y=...), changed(EC, x="", y=""),
    changed(EC, x=b64(bytes(32)), y=b64(bytes(32))), changed(EC, d="AA"),
    changed(ED, x=b64(b"short")), changed(ED, x="*"), changed(ED, crv="X25519"), changed(ED, d="A"),
    jwk(ed448_key(), "x"), jwk(ec_key(ec.SECP384R1), "x"),
    {"kty": "oct", "k": b64(b"s" * 32), "kid": "x"},
    {"kty": "AKP", "kid": "x", "alg": "ML-DSA-44", "pub": "AAAA"},
]  # fmt: skip


@pytest.mark.parametrize("malformed", MALFORMED, ids=lambda key: str(key)[:60])
def test_a_malformed_key_is_left_out_and_the_others_stay(malformed):
    good = jwk(ed_key(), "good")
    document = json.dumps({"keys": [malformed, good, malformed]}).encode()

    assert parse_key_set(document).by_use.keys() == {("good", "EdDSA")}


def test_a_weak_key_is_left_out_without_a_word():
    weak = jwk(rsa_key("weak", 1024), "weak")

    assert parse_key_set(json.dumps({"keys": [weak]}).encode()).kids == frozenset()


def test_a_key_is_under_every_algorithm_it_is_for_and_no_other():
    document = {
        "keys": [
            jwk(rsa_key(), "a", x5c=["ignored"], unheard_of=1),
            jwk(rsa_key(), "b", alg="PS256"),
            jwk(ec_key(), "a"),
            jwk(ed_key(), "c", key_ops=["verify"]),
            jwk(rsa_key("second"), "a"),
        ]
    }
    found = parse_key_set(json.dumps(document).encode())

    assert found.by_use.keys() == {
        ("a", "RS256"), ("a", "PS256"), ("a", "ES256"), ("b", "PS256"), ("c", "EdDSA"),
    }  # fmt: skip
    assert found.by_use["a", "RS256"].thumbprint() == found.by_use["b", "PS256"].thumbprint()


def test_no_keys_at_all_is_a_document_too():
    assert parse_key_set(b'{"keys": []}').kids == frozenset()
    with pytest.raises(JwksError, match="no list of keys"):
        parse_key_set(b'{"key": []}')
