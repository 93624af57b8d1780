"""JWTs: valid ones authenticate their principals, all invalid ones get the same error."""

import contextlib
import json
import logging
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web import jwt
from balance_gateway.web.auth import INVALID_CREDENTIAL
from tests.web.issuer import (
    AUDIENCE,
    ISSUER,
    NOW_S,
    as_json,
    claims,
    ec_key,
    ed448_key,
    ed_key,
    header,
    jwk,
    pem,
    rsa_key,
    run_issuer,
    signature,
    to_base64url,
    token,
)

ALGORITHMS = {"RS256": rsa_key, "PS256": rsa_key, "ES256": ec_key, "EdDSA": ed_key}


async def assert_rejected(credential: str, *keys: object) -> None:
    """Assert that a credential is rejected, and that a valid token is still accepted."""
    async with run_issuer(jwk(rsa_key()), *keys) as harness:
        with pytest.raises(Unauthenticated) as caught:
            await harness.authenticate(credential)
        assert await harness.authenticate(token()) == ADA
    assert caught.value.message == INVALID_CREDENTIAL
    assert caught.value.__cause__ is None


ADA = Principal("ada", "acme", frozenset({Scope.BALANCES_READ}))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("declares_alg", [False, True])
async def test_a_token_of_each_algorithm_authenticates_its_principal(algorithm, declares_alg):
    key = ALGORITHMS[algorithm]()
    members = {"alg": algorithm, "use": "sig", "key_ops": ["verify"]} if declares_alg else {}

    async with run_issuer(jwk(key, **members)) as harness:
        assert await harness.authenticate(token(head=header(alg=algorithm), key=key)) == ADA


@pytest.mark.parametrize(
    "head",
    [
        header(typ=...),
        header(typ="at+jwt"),
        header(typ="AT+JWT"),
        header(typ="application/at+jwt"),
        header(cty="whatever", x5t="ignored", unheard_of=[1]),
        header(jku=1, x5u="no URL", jwk="no object", x5c="no list", x5t=1, cty=1),
        header(x5c=["A" * 2000]),
        header(jku="https://evil.example/jwks.json", x5u="https://evil.example/c"),
        header(jwk=jwk(rsa_key("evil")), x5c=["AAAA"]),
    ],
)
async def test_other_header_parameters_are_ignored(head):
    async with run_issuer() as harness:
        assert await harness.authenticate(token(head=head)) == ADA
        assert harness.issuer.requests == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {Scope.BALANCES_READ}),
        ({"scope": "balances:read balances:write"}, {Scope.BALANCES_READ, Scope.BALANCES_WRITE}),
        ({"scope": " balances:read  openid "}, {Scope.BALANCES_READ}),
        ({"scope": ..., "scopes": ["audit:read", "x"]}, {Scope.AUDIT_READ}),
        ({"scopes": ["accounts:admin"]}, {Scope.BALANCES_READ}),
        ({"scope": ["balances:read", "openid"]}, {Scope.BALANCES_READ}),
        ({"scope": ..., "scopes": "balances:read x"}, {Scope.BALANCES_READ}),
        (
            {"scope": ..., "scp": ["balances:read", "audit:read"]},
            {Scope.BALANCES_READ, Scope.AUDIT_READ},
        ),
        (
            {"scope": ..., "scp": "balances:read audit:read"},
            {Scope.BALANCES_READ, Scope.AUDIT_READ},
        ),
        ({"scope": ..., "permissions": ["balances:write"]}, {Scope.BALANCES_WRITE}),
        ({"scope": "openid", "permissions": ["balances:write"]}, set()),
        (
            {"scope": ..., "scp": ["audit:read"], "permissions": ["balances:write"]},
            {Scope.AUDIT_READ},
        ),
        ({"scope": ..., "https://x.example/scope": "balances:read"}, set()),
        ({"scope": "balances:read\tbalances:write"}, set()),
        ({"scope": "BALANCES:READ *"}, set()),
        ({"scope": ""}, set()),
        ({"scope": ..., "scopes": []}, set()),
        ({"scope": ...}, set()),
    ],
)
async def test_unknown_scopes_are_ignored(changes, expected):
    async with run_issuer() as harness:
        principal = await harness.authenticate(token(claims(**changes)))

    assert principal == Principal("ada", "acme", frozenset(expected))


NAMESPACED = "https://company.example/tenant"


async def test_claims_of_tenant_and_scopes_can_be_configured():
    """Auth0 and others only pass on claims whose name is a URL; such tokens got a 401."""
    configured = {"tenant_claim": NAMESPACED, "scope_claim": "permissions"}
    changes = {NAMESPACED: "globex", "tenant": 7, "permissions": ["audit:read"]}
    async with run_issuer(**configured) as harness:
        principal = await harness.authenticate(token(claims(**changes)))
        without_permissions = await harness.authenticate(token(claims(**{NAMESPACED: "globex"})))
        with pytest.raises(Unauthenticated):
            await harness.authenticate(token())

    assert principal == Principal("ada", "globex", frozenset({Scope.AUDIT_READ}))
    assert without_permissions.scopes == frozenset()


@pytest.mark.parametrize(
    ("changes", "event", "facts"),
    [
        ({"tenant": ...}, "jwt.refused", {"reason": "invalid_claim tenant"}),
        ({"aud": "other"}, "jwt.refused", {"reason": "invalid_claim aud"}),
        ({"exp": 1}, "jwt.refused", {"reason": "expired_token exp"}),
        ({"scope": 7}, "jwt.refused", {"reason": "invalid_claim scope"}),
        ({"scope": "openid"}, "jwt.without_scopes", {"claim": "scope"}),
        ({"scope": ...}, "jwt.without_scopes", {"claim": "scope, scopes, scp, permissions"}),
    ],
)
async def test_the_reason_is_logged_once_in_a_while(caplog, changes, event, facts):
    """An operator saw only 401 or FORBIDDEN, and nothing in the log."""
    caplog.set_level(logging.INFO)
    async with run_issuer() as harness:
        for subject in ("ada", "grace"):
            with contextlib.suppress(Unauthenticated):
                await harness.authenticate(token(claims(sub=subject, **changes)))

    [record] = [one for one in caplog.records if one.name == "balance_gateway.web.jwt"]
    assert (record.message, record.levelname) == (event, "WARNING")
    assert facts.items() <= record.__dict__.items()


@pytest.mark.parametrize("fraction", [0, 0.5])
async def test_principal_has_the_expiry_of_its_token(fraction):
    """The claim itself: the leeway is the gateway's own matter."""
    expires_s = claims()["exp"] + fraction
    async with run_issuer() as harness:
        principal = await harness.authenticate(token(claims(exp=expires_s)))

    assert principal.expires_at == datetime.fromtimestamp(expires_s, UTC)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [AUDIENCE]},
        {"aud": ["other", AUDIENCE]},
        {"exp": NOW_S - 29},
        {"exp": NOW_S + 0.5},
        {"exp": 253_402_300_799},
        {"iat": NOW_S + 30},
        {"iat": 0},
        {"nbf": NOW_S + 30},
        {"nbf": NOW_S - 1e6},
        {"sub": "Ada Lovelace <ada@example.org>"},
        {"sub": "Zoë 王"},
        {"unheard_of": {"a": [1.5, None]}},
        {"jti": 7},
    ],
)
async def test_valid_claims_are_accepted(changes):
    async with run_issuer() as harness:
        assert (await harness.authenticate(token(claims(**changes)))).tenant == "acme"


WRONG_CLAIMS = [
    *({name: ...} for name in ("iss", "aud", "exp", "iat", "sub", "tenant")),
    *({name: None} for name in ("iss", "aud", "exp", "iat", "nbf", "sub", "tenant", "scope")),
    {"iss": "https://evil.example"},
    {"iss": ISSUER.rstrip("/")},
    {"iss": ISSUER.upper()},
    {"iss": [ISSUER]},
    {"iss": {"iss": ISSUER}},
    {"aud": "other"},
    {"aud": ""},
    {"aud": []},
    {"aud": ["other"]},
    {"aud": [AUDIENCE, 1]},
    {"aud": [[AUDIENCE]]},
    {"aud": {AUDIENCE: True}},
    {"aud": AUDIENCE + " "},
    {"aud": f"{AUDIENCE} other"},
    {"aud": AUDIENCE.upper()},
    {"aud": 0},
    {"exp": NOW_S - 30},
    {"exp": 0},
    {"exp": -1},
    {"exp": str(NOW_S + 3600)},
    {"exp": True},
    {"exp": [NOW_S + 3600]},
    {"exp": {}},
    {"exp": (NOW_S + 3600) * 1000},
    {"exp": 253_402_300_800},
    {"exp": 10**999},
    {"iat": NOW_S + 31},
    {"iat": str(NOW_S)},
    {"iat": False},
    {"iat": -5},
    {"nbf": NOW_S + 31},
    {"nbf": -1},
    {"nbf": "0"},
    {"nbf": True},
    {"sub": ""},
    {"sub": 7},
    {"sub": ["ada"]},
    {"sub": "a" * 256},
    {"sub": "a\nb"},
    {"sub": "\u202eada"},
    {"sub": "\x00"},
    {"sub": "\ud800"},
    {"sub": " "},
    {"tenant": ""},
    {"tenant": 1},
    {"tenant": ["acme"]},
    {"tenant": {"id": "acme"}},
    {"tenant": "acme\x00"},
    {"scope": [["balances:read"]]},
    {"scope": ..., "permissions": {"balances:read": True}},
    {"scope": ..., "scp": [1]},
    {"scope": 1},
    {"scope": {"balances:read": True}},
    {"scope": ["balances:read", None]},
    {"scope": ..., "scopes": [["balances:read"]]},
    {"scope": ..., "scopes": None},
]


@pytest.mark.parametrize("changes", WRONG_CLAIMS, ids=repr)
async def test_an_invalid_claim_is_rejected(changes):
    await assert_rejected(token(claims(**changes)))


GOOD = as_json(claims())
HEAD = as_json(header())
UNREADABLE = {
    "empty": b"",
    "no JSON": b"ada",
    "a list": b"[" + GOOD + b"]",
    "null": b"null",
    "two objects": GOOD + GOOD,
    "cut off": GOOD[:-1],
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "no UTF-8": GOOD.replace(b"ada", b"\xff\xfe"),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "the same member twice": GOOD[:-1] + b', "tenant": "globex"}',
    "the same member twice, escaped": GOOD[:-1] + b', "tenan\\u0074": "globex"}',
    "NaN": GOOD.replace(str(NOW_S + 3600).encode(), b"NaN"),
    "Infinity": GOOD.replace(str(NOW_S + 3600).encode(), b"Infinity"),
    "1e400": GOOD.replace(str(NOW_S + 3600).encode(), b"1e400"),
    "5000 digits": GOOD.replace(str(NOW_S + 3600).encode(), b"9" * 5000),
    "deep": GOOD[:-1] + b', "x": ' + b"[" * 2000 + b"]" * 2000 + b"}",
}


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
async def test_an_ambiguous_or_malformed_payload_is_rejected(payload):
    await assert_rejected(token(payload))


WRONG_HEADERS = {
    "empty": b"",
    "null": b"null",
    "a list": b"[]",
    "a list of names": b'["alg", "kid", "b64"]',
    "a string of names": b'"alg kid b64"',
    "NaN": HEAD[:-1] + b', "x": NaN}',
    "UTF-16": HEAD.decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + HEAD,
    "alg twice": HEAD[:-1] + b', "alg": "RS256"}',
    "kid twice": HEAD[:-1] + b', "kid": "one"}',
    "no UTF-8": HEAD.replace(b"one", b"\xff"),
    "deep": HEAD[:-1] + b', "x": ' + b"[" * 900 + b"]" * 900 + b"}",
    "deeper": HEAD[:-1] + b', "x": ' + b"[" * 2500 + b"]" * 2500 + b"}",
    "alg missing": header(alg=...),
    "alg null": header(alg=None),
    "alg a list": header(alg=["RS256"]),
    "kid missing": header(kid=...),
    "kid null": header(kid=None),
    "kid empty": header(kid=""),
    "kid a number": header(kid=1),
    "kid a list": header(kid=["one"]),
    "kid unknown": header(kid="two"),
    "kid a path": header(kid="../../../dev/null"),
    "kid a query": header(kid="one' UNION SELECT 'key"),
    "kid in another case": header(kid="ONE"),
    "kid with NUL": header(kid="one\x00"),
    "kid half a surrogate": header(kid="\ud800"),
    "kid huge": header(kid="k" * 5000),
    "crit": header(crit=["exp"]),
    "crit unknown": header(crit=["b64"], b64=False),
    "crit empty": header(crit=[]),
    "b64": header(b64=False),
    "b64 true": header(b64=True),
    "typ of another kind": header(typ="logout+jwt"),
    "typ a number": header(typ=1),
    "typ a list": header(typ=["JWT"]),
    "typ null": header(typ=None),
}


@pytest.mark.parametrize("head", WRONG_HEADERS.values(), ids=WRONG_HEADERS)
async def test_an_invalid_header_is_rejected_despite_a_valid_signature(head):
    await assert_rejected(token(head=head, algorithm="RS256"))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", " none", "none "])
@pytest.mark.parametrize("kind", ["unsigned", "signed"])
async def test_no_spelling_of_the_algorithm_none_is_accepted(name, kind):
    good = token(head=header(alg=name), algorithm="RS256")
    await assert_rejected(good if kind == "signed" else good.rpartition(".")[0] + ".")


@pytest.mark.parametrize("name", ["HS256", "hs256", "HS384", "HS512"])
@pytest.mark.parametrize("secret", ["pem", "pem, stripped", "modulus", "empty"])
async def test_a_public_key_is_not_accepted_as_an_hmac_secret(name, secret):
    n = rsa_key().public_key().public_numbers().n
    secrets = {
        "pem": pem(rsa_key()),
        "pem, stripped": pem(rsa_key()).strip(),
        "modulus": n.to_bytes(256, "big"),
        "empty": b"",
    }
    forged = token(head=header(alg=name), key=secrets[secret] or b"\x00", algorithm="HS256")
    await assert_rejected(forged)


async def test_a_symmetric_key_in_the_jwks_is_ignored():
    shared = {"kty": "oct", "k": to_base64url(b"s" * 32), "kid": "shared", "alg": "HS256"}
    await assert_rejected(token(head=header(alg="HS256", kid="shared"), key=b"s" * 32), shared)


@pytest.mark.parametrize(
    ("name", "key"),
    [("RS384", rsa_key), ("RS512", rsa_key), ("PS384", rsa_key), ("rs256", rsa_key),
     ("RS256 ", rsa_key), ("RS\u0662\u0665\u0666", rsa_key)],
)  # fmt: skip
async def test_other_algorithms_are_rejected_despite_a_valid_signature(name, key):
    algorithm = name if name in ("RS384", "RS512", "PS384") else "RS256"
    await assert_rejected(token(head=header(alg=name), algorithm=algorithm))


@pytest.mark.parametrize(
    ("algorithm", "key", "published"),
    [
        ("ES256", ec_key(), jwk(rsa_key(), "k")),
        ("RS256", rsa_key("evil"), jwk(ec_key(), "k")),
        ("EdDSA", ed_key(), jwk(ec_key(), "k")),
        ("ES256", ec_key(), jwk(ed_key(), "k")),
        ("PS256", rsa_key(), jwk(rsa_key(), "k", alg="RS256")),
        ("RS256", rsa_key(), jwk(rsa_key(), "k", alg="PS256")),
        ("RS256", rsa_key(), jwk(rsa_key(), "k", alg="RSA-OAEP")),
        ("RS256", rsa_key(), jwk(rsa_key(), "k", alg=["RS256"])),
        ("RS256", rsa_key(), jwk(rsa_key(), "k", use="enc")),
        ("RS256", rsa_key(), jwk(rsa_key(), "k", use=None)),
        ("RS256", rsa_key(), jwk(rsa_key(), "k", key_ops=["encrypt"])),
        ("RS256", rsa_key(), jwk(rsa_key(), "k", key_ops="verify")),
        ("ES384", ec_key(ec.SECP384R1), jwk(ec_key(ec.SECP384R1), "k")),
        ("ES256", ec_key(ec.SECP384R1), jwk(ec_key(ec.SECP384R1), "k")),
        ("EdDSA", ed448_key(), jwk(ed448_key(), "k")),
        ("Ed25519", ed_key(), jwk(ed_key(), "k")),
        ("Ed25519", ed_key(), jwk(ed_key(), "k", alg="Ed25519")),
        ("EdDSA", ed_key(), jwk(ed_key(), "k", alg="Ed25519")),
    ],
)
async def test_a_key_is_used_only_for_its_type_and_declared_use(algorithm, key, published):
    await assert_rejected(token(head=header(alg=algorithm, kid="k"), key=key), published)


async def test_keys_of_several_types_may_share_an_id():
    async with run_issuer(*(jwk(make()) for make in (rsa_key, ec_key, ed_key))) as harness:
        for algorithm, make in ALGORITHMS.items():
            assert await harness.authenticate(token(head=header(alg=algorithm), key=make())) == ADA


async def test_a_large_rsa_key_verifies_its_tokens():
    # Built of two Mersenne primes, because generating a key of this size takes seconds.
    p, q, e = 2**4423 - 1, 2**3217 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    large = numbers.private_key(unsafe_skip_rsa_key_validation=True)

    async with run_issuer(jwk(large)) as harness:
        assert await harness.authenticate(token(key=large)) == ADA
        assert await harness.authenticate(token(head=header(alg="PS256"), key=large)) == ADA


EVIL = rsa_key("evil")


@pytest.mark.parametrize(
    "head",
    [
        header(jwk=jwk(EVIL)),
        header(jwk=jwk(EVIL, "evil"), kid="evil"),
        header(jku="https://evil.example/jwks.json", kid="evil"),
        header(jku="http://127.0.0.1:1/jwks.json"),
        header(x5u="https://evil.example/chain.pem"),
        header(x5c=[to_base64url(b"certificate")]),
        header(kid="evil"),
        header(),
    ],
    ids=["jwk", "jwk-evil", "jku-evil", "jku", "x5u", "x5c", "kid", "none"],
)
async def test_a_key_inside_the_token_is_ignored(head):
    await assert_rejected(token(head=head, key=EVIL))


def split_token(credential: str) -> list[str]:
    return credential.split(".")


HEAD_PART, PAYLOAD_PART, SIGNATURE_PART = split_token(token())
OTHER_PAYLOAD = to_base64url(as_json(claims(tenant="globex")))
OTHER_HEAD = to_base64url(as_json(header(typ="at+jwt")))


def flip_character(part: str) -> str:
    return part[:10] + ("A" if part[10] != "A" else "B") + part[11:]


def set_spare_bits(part: str) -> str:
    """Set the unused bits of the last character, which a lenient decoder ignores."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) | 1]


TAMPERED = {
    "another payload": f"{HEAD_PART}.{OTHER_PAYLOAD}.{SIGNATURE_PART}",
    "another header": f"{OTHER_HEAD}.{PAYLOAD_PART}.{SIGNATURE_PART}",
    "another signature": f"{HEAD_PART}.{PAYLOAD_PART}.{flip_character(SIGNATURE_PART)}",
    "no signature": f"{HEAD_PART}.{PAYLOAD_PART}.",
    "no payload": f"{HEAD_PART}..{SIGNATURE_PART}",
    "no header": f".{PAYLOAD_PART}.{SIGNATURE_PART}",
    "nothing": "..",
    "two parts": f"{HEAD_PART}.{PAYLOAD_PART}",
    "one part": HEAD_PART,
    "four parts": f"{HEAD_PART}.{PAYLOAD_PART}.{SIGNATURE_PART}.",
    "four harness, dot first": f".{HEAD_PART}.{PAYLOAD_PART}.{SIGNATURE_PART}",
    "five parts": f"{HEAD_PART}.{PAYLOAD_PART}.{SIGNATURE_PART}.AAAA.AAAA",
    "a dot too many": f"{HEAD_PART}..{PAYLOAD_PART}.{SIGNATURE_PART}",
    "truncated": token()[:-1],
    "truncated by half": token()[: len(token()) // 2],
    "one byte more": token() + "A",
    "zero bytes": f"{HEAD_PART}.{PAYLOAD_PART}.{to_base64url(bytes(256))}",
    "padding": token() + "==",
    "the other alphabet": f"{HEAD_PART}.{PAYLOAD_PART}.{SIGNATURE_PART.replace('-', '+')}+",
    "spare bits": f"{HEAD_PART}.{PAYLOAD_PART}.{set_spare_bits(SIGNATURE_PART)}",
    "a line end": token() + "\n",
    "a blank first": " " + token(),
    "unicode digits": token()[:-1] + "\u0663",
    "a fullwidth dot": token().replace(".", "\uff0e"),
    "a surrogate": token() + "\udc80",
    "huge": token(claims(x="x" * 8192)),
    "huge and unsigned": "A" * 9000 + ".A.A",
    "only dots": "." * 8000,
}


@pytest.mark.parametrize("credential", TAMPERED.values(), ids=TAMPERED)
async def test_a_tampered_token_is_rejected(credential):
    await assert_rejected(credential)


@pytest.mark.parametrize(
    "forged",
    [bytes(64), b"", bytes(63), bytes(65), b"\x30\x06\x02\x01\x00\x02\x01\x00", b"\xff" * 64,
     bytes(31) + b"\x01" + bytes(31) + b"\x01"],
)  # fmt: skip
async def test_trivial_elliptic_curve_signatures_are_rejected(forged):
    for algorithm, key in (("ES256", ec_key()), ("EdDSA", ed_key())):
        signed = f"{to_base64url(as_json(header(alg=algorithm, kid='k')))}.{PAYLOAD_PART}"
        await assert_rejected(f"{signed}.{to_base64url(forged)}", jwk(key, "k"))


async def test_a_der_encoded_signature_is_rejected():
    from cryptography.hazmat.primitives import hashes

    signed = f"{to_base64url(as_json(header(alg='ES256', kid='k')))}.{PAYLOAD_PART}"
    der = ec_key().sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    await assert_rejected(f"{signed}.{to_base64url(der)}", jwk(ec_key(), "k"))
    right = to_base64url(signature("ES256", ec_key(), signed.encode()))
    async with run_issuer(jwk(ec_key(), "k")) as harness:
        assert await harness.authenticate(f"{signed}.{right}") == ADA


async def test_a_token_of_the_maximum_size_is_accepted():
    credential = token(claims(x=""))
    fill = (8192 - len(credential)) * 3 // 4
    largest = token(claims(x="x" * fill))

    assert 8180 < len(largest) <= 8192
    async with run_issuer() as harness:
        assert await harness.authenticate(largest) == ADA


async def test_a_token_just_over_the_maximum_size_is_rejected():
    fill = (8192 - len(token(claims(x="")))) * 3 // 4 + 6
    too_large = token(claims(x="x" * fill))

    assert 8192 < len(too_large) < 8205
    await assert_rejected(too_large)


async def test_a_rejected_token_leaves_no_part_of_it_in_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    secret = token(claims(tenant="hush-tenant", iss="hush-issuer"))

    await assert_rejected(secret)
    await assert_rejected(token(head=header(kid="hush-kid")))
    await assert_rejected(token(head=header(alg="hush-alg"), algorithm="RS256"))
    await assert_rejected(token(head=header(crit=["hush-crit"])))

    logged = "\n".join(json.dumps(vars(record), default=str) for record in caplog.records)
    assert "jwt.refused" in logged
    assert "hush" not in logged
    assert all(part not in logged for part in split_token(secret))


async def test_a_cached_token_is_rejected_after_it_expires():
    async with run_issuer() as harness:
        credential = token(claims(exp=NOW_S + 60))
        assert await harness.authenticate(credential) == ADA
        harness.clocks.advance(89)
        assert await harness.authenticate(credential) == ADA
        harness.clocks.advance(1)
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                await harness.authenticate(credential)


async def test_fractions_of_a_second_count():
    async with run_issuer() as harness:
        expiring, early = token(claims(exp=NOW_S - 29.5)), token(claims(iat=NOW_S + 30.5))
        with pytest.raises(Unauthenticated):
            await harness.authenticate(early)
        harness.clocks.advance(0.75)

        assert await harness.authenticate(early) == ADA
        with pytest.raises(Unauthenticated):
            await harness.authenticate(expiring)


async def test_a_token_is_verified_once_and_cached(monkeypatch):
    verified = []
    original = jwt.validate_compact
    monkeypatch.setattr(
        jwt, "validate_compact", lambda *a, **named: verified.append(1) or original(*a, **named)
    )
    async with run_issuer() as harness:
        first = await harness.authenticate(token())
        credential = token()
        assert all([await harness.authenticate(credential) is first for _ in range(50)])
        assert len(verified) == 1

        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await harness.authenticate(f"{HEAD_PART}.{OTHER_PAYLOAD}.{SIGNATURE_PART}")

        assert len(verified) == 4
        assert len(harness.authenticator._verified) == 1


async def test_the_cache_of_tokens_is_bounded(monkeypatch):
    monkeypatch.setattr(jwt, "VERIFIED_MAX", 3)
    async with run_issuer() as harness:
        credentials = [token(claims(sub=f"user{n}")) for n in range(5)]
        for credential in credentials[:3]:
            await harness.authenticate(credential)
        await harness.authenticate(credentials[0])
        await harness.authenticate(credentials[3])
        cached = {each.principal.name for each in harness.authenticator._verified.values()}

    assert cached == {"user0", "user2", "user3"}
