"""The issuer's keys: fetched once, refreshed when they change, used while it is unavailable."""

import asyncio
import json
import logging
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from balance_gateway.config.http_urls import HttpUrl, parse_proxy_url
from balance_gateway.config.settings import JwtSettings
from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web import jwks
from balance_gateway.web.jwks import Jwks, JwksError, parse_key_set
from tests.certificates import Authority
from tests.providers.fake_proxy import FakeProxy, run_proxy
from tests.providers.fake_servers import FakeServer, Reply
from tests.providers.fake_servers import run_server as run_raw_server
from tests.servers import free_port
from tests.web.issuer import (
    NOW_S,
    TokenHarness,
    claims,
    ec_key,
    ed448_key,
    ed_key,
    header,
    jwk,
    number,
    rsa_key,
    run_issuer,
    to_base64url,
    token,
)

LONG = claims(exp=NOW_S + 30 * 86_400)
OLD = token(LONG)
NEW = token(LONG, header(kid="two"), rsa_key("second"))


async def is_valid(harness: TokenHarness, credential: str) -> bool:
    try:
        await harness.authenticate(credential)
    except Unauthenticated:
        return False
    return True


async def test_keys_are_not_fetched_before_a_token_needs_them():
    async with run_issuer() as harness:
        no_id = token(head=header(kid=""))
        for junk in ("..", "a.b.c", "A" * 40 + ".A.A", token()[5:], no_id):
            assert not await is_valid(harness, junk)
        assert harness.issuer.requests == 0

        assert await is_valid(harness, token())
        assert harness.issuer.requests == 1


async def test_concurrent_tokens_share_one_fetch():
    async with run_issuer() as harness:
        harness.issuer.gate = asyncio.Event()
        waiting = [
            asyncio.create_task(is_valid(harness, token(claims(sub=f"u{n}")))) for n in range(50)
        ]
        await harness.issuer.received.wait()
        waiting[0].cancel()
        harness.issuer.gate.set()

        assert await asyncio.gather(*waiting[1:]) == [True] * 49
        assert waiting[0].cancelled()
        assert harness.issuer.requests == 1


async def test_unknown_key_ids_cause_one_fetch_per_interval():
    async with run_issuer() as harness:
        assert await is_valid(harness, token())
        for n in range(100):
            assert not await is_valid(harness, token(head=header(kid=f"made up {n}")))
            harness.clocks.advance(0.3)

        assert harness.issuer.requests == 3


async def test_concurrent_unknown_key_ids_cause_one_fetch():
    async with run_issuer() as harness:
        assert await is_valid(harness, token())
        harness.clocks.advance(10)
        made_up = [token(head=header(kid=f"made up {n}")) for n in range(100)]

        assert not any(await asyncio.gather(*(is_valid(harness, each) for each in made_up)))
        assert harness.issuer.requests == 2


async def test_a_known_key_id_with_another_algorithm_causes_no_fetch():
    async with run_issuer() as harness:
        assert await is_valid(harness, token())
        harness.clocks.advance(60)
        assert not await is_valid(harness, token(head=header(alg="ES256"), key=ec_key()))

        assert harness.issuer.requests == 1


async def test_a_new_key_is_found_soon_despite_unknown_key_ids():
    async with run_issuer() as harness:
        assert await is_valid(harness, OLD)
        harness.clocks.advance(60)
        assert not await is_valid(harness, token(head=header(kid="made up")))
        harness.issuer.keys.append(jwk(rsa_key("second"), "two"))
        started_s = harness.clocks.monotonic_s
        while not await is_valid(harness, NEW):
            harness.clocks.advance(1)
            assert not await is_valid(harness, token(head=header(kid="made up")))

        assert harness.clocks.monotonic_s - started_s <= 10
        assert await is_valid(harness, OLD)


async def test_a_withdrawn_key_invalidates_its_cached_tokens():
    async with run_issuer() as harness:
        assert await is_valid(harness, OLD)
        harness.issuer.keys = [jwk(rsa_key("second"), "two")]
        harness.clocks.advance(10)
        assert await is_valid(harness, NEW)

        assert not await is_valid(harness, OLD)
        assert not await is_valid(harness, token(head=header(kid="two")))


async def test_a_withdrawn_key_is_noticed_by_the_background_refresh():
    async with run_issuer() as harness:
        assert await is_valid(harness, OLD)
        harness.issuer.keys = []
        harness.clocks.advance(599)
        await is_valid(harness, OLD)
        await harness.wait_for_fetch()

        assert not await is_valid(harness, OLD)


async def test_expired_keys_are_refreshed_before_they_are_used():
    async with run_issuer() as harness:
        assert await is_valid(harness, OLD)
        harness.issuer.keys = []
        harness.clocks.advance(600)

        assert not await is_valid(harness, OLD)


async def test_a_replaced_key_under_the_same_id_is_noticed():
    async with run_issuer() as harness:
        assert await is_valid(harness, OLD)
        harness.issuer.keys = [jwk(rsa_key("second"))]
        harness.clocks.advance(600)

        assert not await is_valid(harness, OLD)
        assert await is_valid(harness, token(LONG, key=rsa_key("second")))


async def test_keys_in_use_are_refreshed_in_the_background():
    async with run_issuer() as harness:
        assert await is_valid(harness, OLD)
        harness.clocks.advance(479)
        assert await is_valid(harness, OLD)
        assert harness.issuer.requests == 1

        harness.issuer.gate = asyncio.Event()
        harness.issuer.received.clear()
        harness.clocks.advance(1)
        assert all([await is_valid(harness, OLD) for _ in range(20)])
        await harness.issuer.received.wait()
        harness.issuer.gate.set()
        await harness.wait_for_fetch()
        harness.clocks.advance(479)
        assert await is_valid(harness, OLD)

        assert harness.issuer.requests == 2


async def test_equal_keys_leave_the_cached_tokens_valid():
    async with run_issuer() as harness:
        first = await harness.authenticate(OLD)
        harness.issuer.keys = [dict(reversed(harness.issuer.keys[0].items()))]
        harness.clocks.advance(600)

        assert await harness.authenticate(OLD) is first
        assert harness.issuer.requests == 2


def break_issuer(way: str, issuer: Any) -> None:
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
async def test_a_failed_first_fetch_is_repeated(way):
    async with run_issuer() as harness:
        break_issuer(way, harness.issuer)
        assert not await is_valid(harness, token())
        assert not await is_valid(harness, token())
        assert harness.issuer.requests == 1

        harness.issuer.document, harness.issuer.status, harness.issuer.redirect = None, 200, False
        harness.clocks.advance(10)
        assert await is_valid(harness, token())


@pytest.mark.parametrize("way", WAYS)
async def test_a_failed_later_fetch_leaves_the_keys_valid_for_a_day(way, caplog):
    caplog.set_level(logging.INFO)
    async with run_issuer() as harness:
        assert await is_valid(harness, OLD)
        break_issuer(way, harness.issuer)
        harness.clocks.advance(600)
        assert await is_valid(harness, OLD)
        harness.clocks.advance(86_400 - 601)
        assert await is_valid(harness, OLD)
        assert await is_valid(harness, token(claims(sub="grace", exp=NOW_S + 30 * 86_400)))
        await harness.wait_for_fetch()
        harness.clocks.advance(1)
        assert not await is_valid(harness, OLD)

    assert [record.message for record in caplog.records].count("jwks.fetch_failed") == 1


async def test_a_recovered_issuer_is_used_again(caplog):
    caplog.set_level(logging.INFO)
    async with run_issuer() as harness:
        assert await is_valid(harness, OLD)
        harness.issuer.status = 500
        harness.clocks.advance(600)
        assert await is_valid(harness, OLD)
        harness.issuer.status, harness.issuer.keys = 200, [jwk(rsa_key("second"), "two")]
        harness.clocks.advance(10)
        await is_valid(harness, OLD)
        await harness.wait_for_fetch()

        assert not await is_valid(harness, OLD)
        assert await is_valid(harness, NEW)
    assert "jwks.fetch_recovered" in caplog.text


async def test_a_hanging_issuer_does_not_delay_known_keys():
    async with run_issuer() as harness:
        assert await is_valid(harness, OLD)
        harness.issuer.status = 500
        harness.clocks.advance(600)
        assert await is_valid(harness, OLD)
        harness.issuer.gate = asyncio.Event()
        for _ in range(5):
            harness.clocks.advance(60)
            async with asyncio.timeout(1):
                assert await is_valid(harness, OLD)

        assert harness.issuer.requests <= 3


async def test_a_hanging_issuer_times_out(monkeypatch):
    monkeypatch.setattr(jwks, "TIMEOUT_S", 0.05)
    async with run_issuer() as harness:
        harness.issuer.gate = asyncio.Event()
        async with asyncio.timeout(2):
            assert not await is_valid(harness, token())


async def test_a_refused_connection_yields_no_keys():
    keys = Jwks(f"http://127.0.0.1:{free_port()}/jwks.json")

    assert (await keys.keys("one")).kids == frozenset()
    await keys.aclose()


async def test_keys_are_fetched_in_a_private_network(tmp_path):
    """With an authority of its own, a client certificate and a proxy with a password."""
    authority, proxy = Authority(tmp_path), FakeProxy("egress:secret")
    tls = authority.build_server_context(requires_client=True)
    server = FakeServer()
    server.respond = lambda request: Reply(body={"keys": [RSA]})
    cert, key = authority.issue("client")
    async with run_raw_server(server, tls), run_proxy(proxy):
        url = f"{server.url}/jwks.json"
        network = {
            "ca_file": authority.ca_file,
            "client_cert": cert,
            "client_key": key,
            "proxy": parse_proxy_url(proxy.url_with("egress:secret")),
        }
        found = []
        for settings in ({}, network):
            jwt = JwtSettings(issuer="i", audience="a", jwks_url=HttpUrl(url), **settings)
            keys = Jwks(url, network=jwt)
            found.append((await keys.keys("x")).kids)
            await keys.aclose()

    assert found == [frozenset(), {"x"}]
    assert [head[0].split(" ")[0] for head in proxy.heads] == ["CONNECT"]


async def test_http_beyond_loopback_is_fetched_where_it_is_allowed():
    keys = Jwks("http://issuer.example/jwks.json", allow_plain_http=True)

    with pytest.raises(ValueError, match="https"):
        Jwks("file:///etc/passwd", allow_plain_http=True)

    await keys.aclose()


async def test_proxies_of_the_environment_are_ignored(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with run_issuer() as harness:
        assert await is_valid(harness, token())


async def test_closing_cancels_a_fetch_and_releases_its_waiters():
    async with run_issuer() as harness:
        harness.issuer.gate = asyncio.Event()
        waiting = asyncio.create_task(is_valid(harness, token()))
        await harness.issuer.received.wait()
        await harness.jwks.aclose()

        assert not await waiting
        cancelled = harness.jwks._fetch_task
        harness.clocks.advance(100)
        assert not await is_valid(harness, token())
        assert harness.jwks._fetch_task is cancelled
        assert harness.issuer.requests == 1


@pytest.mark.parametrize(
    "url",
    ["http://issuer.example/jwks.json", "http://127.0.0.1.evil.example/", "file:///etc/passwd",
     "ftp://127.0.0.1/", "//127.0.0.1/", "https:///x", "http://169.254.169.254/", ""],
)  # fmt: skip
def test_http_is_rejected_except_on_loopback(url):
    with pytest.raises(ValueError, match="https"):
        Jwks(url)


def change(key: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {name: value for name, value in {**key, **members}.items() if value is not ...}


RSA, EC, ED = jwk(rsa_key(), "x"), jwk(ec_key(), "x"), jwk(ed_key(), "x")

MALFORMED = [
    None, 1, "key", [], {}, {"kid": "x"},
    change(RSA, kid=...), change(RSA, kid=""), change(RSA, kid=1), change(RSA, kid=["x"]),
    change(RSA, kty=...), change(RSA, kty="rsa"), change(RSA, kty=["RSA"]), change(RSA, kty={}),
    change(RSA, n=...), change(RSA, n=1), change(RSA, n=""), change(RSA, n="*"),
    change(RSA, n=RSA["n"] + "="), change(RSA, n="A" * 100_000), change(RSA, n="_" * 100_000),
    change(RSA, e=...), change(RSA, e="AQ"), change(RSA, e="Ag"), change(RSA, e=65537),
    change(RSA, n=number(2**1023 + 1)), change(RSA, n=number(2**8192 + 1)),
    change(RSA, d=number(3)), change(RSA, use="enc"), change(RSA, alg="HS256"),
    change(RSA, alg="none"), change(RSA, alg="ES256"), change(RSA, alg=1), change(RSA, alg=""),
    change(RSA, alg=None), change(RSA, use=""), change(RSA, use=[]), change(RSA, use=["sig"]),
    change(RSA, use=[], key_ops=["verify"]), change(RSA, key_ops="verify"),
    change(RSA, key_ops=["sign"]), change(RSA, key_ops={"verify": 1}),
    change(EC, crv="P-384"), change(EC, crv="P-999"), change(EC, crv=["P-256"]),
    change(EC, x=to_base64url(b"\x01" * 32)), change(EC, y=...), change(EC, x="", y=""),
    change(EC, x=to_base64url(bytes(32)), y=to_base64url(bytes(32))), change(EC, d="AA"),
    change(ED, x=to_base64url(b"short")), change(ED, x="*"), change(ED, crv="X25519"),
    change(ED, d="A"),
    jwk(ed448_key(), "x"), jwk(ec_key(ec.SECP384R1), "x"),
    {"kty": "oct", "k": to_base64url(b"s" * 32), "kid": "x"},
    {"kty": "AKP", "kid": "x", "alg": "ML-DSA-44", "pub": "AAAA"},
]  # fmt: skip


# Numbered, because the numbers of a key differ from run to run.
@pytest.mark.parametrize("malformed", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_key_is_skipped_and_the_others_are_used(malformed):
    good = jwk(ed_key(), "good")
    document = json.dumps({"keys": [malformed, good, malformed]}).encode()

    assert parse_key_set(document).by_kid_and_algorithm.keys() == {("good", "EdDSA")}


def test_a_weak_key_is_skipped_without_a_warning():
    weak = jwk(rsa_key("weak", 1024), "weak")

    assert parse_key_set(json.dumps({"keys": [weak]}).encode()).kids == frozenset()


def test_a_key_is_listed_for_its_allowed_algorithms_only():
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

    assert found.by_kid_and_algorithm.keys() == {
        ("a", "RS256"), ("a", "PS256"), ("a", "ES256"), ("b", "PS256"), ("c", "EdDSA"),
    }  # fmt: skip
    assert (
        found.by_kid_and_algorithm["a", "RS256"].thumbprint()
        == found.by_kid_and_algorithm["b", "PS256"].thumbprint()
    )


@pytest.mark.parametrize(
    "members",
    [
        {"key_ops": ["verify", "unheard of"]},
        {"key_ops": ["verify", "encrypt"], "use": "sig"},
        {"x5u": "no URL", "x5c": "no list", "x5t": 1},
        {"crv": "P-999", "k": "AAAA"},
        {"p": "AA", "oth": []},
    ],
    ids=str,
)
def test_other_members_of_a_key_are_ignored(members):
    document = json.dumps({"keys": [jwk(rsa_key(), "a", **members)]}).encode()

    found = parse_key_set(document).by_kid_and_algorithm

    assert found.keys() == {("a", "RS256"), ("a", "PS256")}
    assert not any(key.is_private for key in found.values())


def test_an_empty_key_set_is_valid():
    assert parse_key_set(b'{"keys": []}').kids == frozenset()
    with pytest.raises(JwksError, match="no list 'keys'"):
        parse_key_set(b'{"key": []}')
