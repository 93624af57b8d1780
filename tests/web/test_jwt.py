"""Tokens: the good ones are their principals, and every way to be bad is answered alike."""

import json
import logging

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web import jwt
from tests.web.issuer import (
    AUDIENCE,
    ISSUER,
    NOW_S,
    as_json,
    b64,
    claims,
    ec_key,
    ed448_key,
    ed_key,
    header,
    issuing,
    jwk,
    pem,
    rsa_key,
    signature,
    token,
)

ALGORITHMS = {"RS256": rsa_key, "PS256": rsa_key, "ES256": ec_key, "EdDSA": ed_key}


async def refused(credential: str, *keys: object) -> None:
    """Asserts that it is nobody's; a good token beside it is still good."""
    async with issuing(jwk(rsa_key()), *keys) as parts:
        with pytest.raises(Unauthenticated) as caught:
            await parts.who(credential)
        assert await parts.who(token()) == ADA
    assert caught.value.message == "This credential is not known, or no longer good."
    assert caught.value.__cause__ is None


ADA = Principal("ada", "acme", frozenset({Scope.BALANCES_READ}))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("says_alg", [False, True])
async def test_a_token_of_each_algorithm_is_its_principal(algorithm, says_alg):
    key = ALGORITHMS[algorithm]()
    members = {"alg": algorithm, "use": "sig", "key_ops": ["verify"]} if says_alg else {}

    async with issuing(jwk(key, **members)) as parts:
        assert await parts.who(token(head=header(alg=algorithm), key=key)) == ADA


@pytest.mark.parametrize(
    "head",
    [
        header(typ=...),
        header(typ="at+jwt"),
        header(typ="AT+JWT"),
        header(typ="application/at+jwt"),
        header(cty="whatever", x5t="ignored", unheard_of=[1]),
        header(jku="https://evil.example/jwks.json", x5u="https://evil.example/c"),
        header(jwk=jwk(rsa_key("evil")), x5c=["AAAA"]),
    ],
)
async def test_headers_that_say_nothing_of_the_key_change_nothing(head):
    async with issuing() as parts:
        assert await parts.who(token(head=head)) == ADA
        assert parts.issuer.requests == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {Scope.BALANCES_READ}),
        ({"scope": "balances:read balances:write"}, {Scope.BALANCES_READ, Scope.BALANCES_WRITE}),
        ({"scope": " balances:read  openid "}, {Scope.BALANCES_READ}),
        ({"scope": ..., "scopes": ["audit:read", "x"]}, {Scope.AUDIT_READ}),
        ({"scopes": ["accounts:admin"]}, {Scope.BALANCES_READ}),
        ({"scope": "balances:read\tbalances:write"}, set()),
        ({"scope": "BALANCES:READ *"}, set()),
        ({"scope": ""}, set()),
        ({"scope": ..., "scopes": []}, set()),
        ({"scope": ...}, set()),
    ],
)
async def test_scopes_are_the_known_ones_of_what_it_says(changes, expected):
    async with issuing() as parts:
        principal = await parts.who(token(claims(**changes)))

    assert principal == Principal("ada", "acme", frozenset(expected))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [AUDIENCE]},
        {"aud": ["other", AUDIENCE]},
        {"exp": NOW_S - 29},
        {"exp": NOW_S + 0.5},
        {"iat": NOW_S + 30},
        {"iat": 0},
        {"nbf": NOW_S + 30},
        {"nbf": NOW_S - 1e6},
        {"sub": "Ada Lovelace <ada@example.org>"},
        {"sub": "Zoë 王"},
        {"unheard_of": {"a": [1.5, None]}},
    ],
)
async def test_claims_within_the_rules_are_taken(changes):
    async with issuing() as parts:
        assert (await parts.who(token(claims(**changes)))).tenant == "acme"


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
    {"exp": 10**999},
    {"iat": NOW_S + 31},
    {"iat": str(NOW_S)},
    {"iat": False},
    {"iat": -5},
    {"nbf": NOW_S + 31},
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
    {"scope": ["balances:read"]},
    {"scope": 1},
    {"scope": {"balances:read": True}},
    {"scope": ..., "scopes": "balances:read"},
    {"scope": ..., "scopes": [["balances:read"]]},
    {"scope": ..., "scopes": None},
]


@pytest.mark.parametrize("changes", WRONG_CLAIMS, ids=repr)
async def test_a_wrong_claim_is_nobody(changes):
    await refused(token(claims(**changes)))


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
async def test_a_payload_that_cannot_be_read_one_way_is_nobody(payload):
    await refused(token(payload))


WRONG_HEADERS = {
    "empty": b"",
    "null": b"null",
    "a list": b"[]",
    "alg twice": HEAD[:-1] + b', "alg": "RS256"}',
    "kid twice": HEAD[:-1] + b', "kid": "one"}',
    "no UTF-8": HEAD.replace(b"one", b"\xff"),
    "deep": HEAD[:-1] + b', "x": ' + b"[" * 900 + b"]" * 900 + b"}",
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
    "typ of another kind": header(typ="logout+jwt"),
    "typ a number": header(typ=1),
}


@pytest.mark.parametrize("head", WRONG_HEADERS.values(), ids=WRONG_HEADERS)
async def test_a_wrong_header_is_nobody_although_its_signature_is_right(head):
    await refused(token(head=head, algorithm="RS256"))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", " none", "none "])
@pytest.mark.parametrize("kind", ["unsigned", "signed"])
async def test_no_spelling_of_none_is_an_algorithm(name, kind):
    good = token(head=header(alg=name), algorithm="RS256")
    await refused(good if kind == "signed" else good.rpartition(".")[0] + ".")


@pytest.mark.parametrize("name", ["HS256", "hs256", "HS384", "HS512"])
@pytest.mark.parametrize("secret", ["pem", "pem, stripped", "modulus", "empty"])
async def test_a_public_key_is_no_secret(name, secret):
    n = rsa_key().public_key().public_numbers().n
    bytes_of = {
        "pem": pem(rsa_key()),
        "pem, stripped": pem(rsa_key()).strip(),
        "modulus": n.to_bytes(256, "big"),
        "empty": b"",
    }
    forged = token(head=header(alg=name), key=bytes_of[secret] or b"\x00", algorithm="HS256")
    await refused(forged)


async def test_a_secret_in_the_jwks_is_no_key():
    shared = {"kty": "oct", "k": b64(b"s" * 32), "kid": "shared", "alg": "HS256"}
    await refused(token(head=header(alg="HS256", kid="shared"), key=b"s" * 32), shared)


@pytest.mark.parametrize(
    ("name", "key"),
    [("RS384", rsa_key), ("RS512", rsa_key), ("PS384", rsa_key), ("rs256", rsa_key),
     ("RS256 ", rsa_key), ("RS\u0662\u0665\u0666", rsa_key)],
)  # fmt: skip
async def test_no_other_algorithm_is_taken_although_its_signature_is_right(name, key):
    algorithm = name if name in ("RS384", "RS512", "PS384") else "RS256"
    await refused(token(head=header(alg=name), algorithm=algorithm))


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
    ],
)
async def test_a_key_is_only_for_its_type_and_its_own_use(algorithm, key, published):
    await refused(token(head=header(alg=algorithm, kid="k"), key=key), published)


EVIL = rsa_key("evil")


@pytest.mark.parametrize(
    "head",
    [
        header(jwk=jwk(EVIL)),
        header(jwk=jwk(EVIL, "evil"), kid="evil"),
        header(jku="https://evil.example/jwks.json", kid="evil"),
        header(jku="http://127.0.0.1:1/jwks.json"),
        header(x5u="https://evil.example/chain.pem"),
        header(x5c=[b64(b"certificate")]),
        header(kid="evil"),
        header(),
    ],
    ids=str,
)
async def test_a_key_that_the_token_brings_along_is_nobody_s(head):
    await refused(token(head=head, key=EVIL))


def parts_of(credential: str) -> list[str]:
    return credential.split(".")


HEAD_PART, PAYLOAD_PART, SIGNATURE_PART = parts_of(token())
OTHER_PAYLOAD = b64(as_json(claims(tenant="globex")))
OTHER_HEAD = b64(as_json(header(typ="at+jwt")))


def flipped(part: str) -> str:
    return part[:10] + ("A" if part[10] != "A" else "B") + part[11:]


def padded_with_spare_bits(part: str) -> str:
    """The same bytes to a lax reader: the last character's unused bits are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) | 1]


TAMPERED = {
    "another payload": f"{HEAD_PART}.{OTHER_PAYLOAD}.{SIGNATURE_PART}",
    "another header": f"{OTHER_HEAD}.{PAYLOAD_PART}.{SIGNATURE_PART}",
    "another signature": f"{HEAD_PART}.{PAYLOAD_PART}.{flipped(SIGNATURE_PART)}",
    "no signature": f"{HEAD_PART}.{PAYLOAD_PART}.",
    "no payload": f"{HEAD_PART}..{SIGNATURE_PART}",
    "no header": f".{PAYLOAD_PART}.{SIGNATURE_PART}",
    "nothing": "..",
    "two parts": f"{HEAD_PART}.{PAYLOAD_PART}",
    "one part": HEAD_PART,
    "four parts": f"{HEAD_PART}.{PAYLOAD_PART}.{SIGNATURE_PART}.",
    "four parts, dot first": f".{HEAD_PART}.{PAYLOAD_PART}.{SIGNATURE_PART}",
    "five parts": f"{HEAD_PART}.{PAYLOAD_PART}.{SIGNATURE_PART}.AAAA.AAAA",
    "a dot too many": f"{HEAD_PART}..{PAYLOAD_PART}.{SIGNATURE_PART}",
    "truncated": token()[:-1],
    "truncated by half": token()[: len(token()) // 2],
    "one byte more": token() + "A",
    "zero bytes": f"{HEAD_PART}.{PAYLOAD_PART}.{b64(bytes(256))}",
    "padding": token() + "==",
    "the other alphabet": f"{HEAD_PART}.{PAYLOAD_PART}.{SIGNATURE_PART.replace('-', '+')}+",
    "spare bits": f"{HEAD_PART}.{PAYLOAD_PART}.{padded_with_spare_bits(SIGNATURE_PART)}",
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
async def test_a_token_that_was_changed_is_nobody(credential):
    await refused(credential)


@pytest.mark.parametrize(
    "forged",
    [bytes(64), b"", bytes(63), bytes(65), b"\x30\x06\x02\x01\x00\x02\x01\x00", b"\xff" * 64,
     bytes(31) + b"\x01" + bytes(31) + b"\x01"],
)  # fmt: skip
async def test_no_trivial_signature_is_one_of_a_curve(forged):
    for algorithm, key in (("ES256", ec_key()), ("EdDSA", ed_key())):
        signed = f"{b64(as_json(header(alg=algorithm, kid='k')))}.{PAYLOAD_PART}"
        await refused(f"{signed}.{b64(forged)}", jwk(key, "k"))


async def test_a_signature_in_der_is_not_in_its_form():
    from cryptography.hazmat.primitives import hashes

    signed = f"{b64(as_json(header(alg='ES256', kid='k')))}.{PAYLOAD_PART}"
    der = ec_key().sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    await refused(f"{signed}.{b64(der)}", jwk(ec_key(), "k"))
    right = b64(signature("ES256", ec_key(), signed.encode()))
    async with issuing(jwk(ec_key(), "k")) as parts:
        assert await parts.who(f"{signed}.{right}") == ADA


async def test_the_largest_token_is_taken():
    credential = token(claims(x=""))
    fill = (8192 - len(credential)) * 3 // 4
    largest = token(claims(x="x" * fill))

    assert 8180 < len(largest) <= 8192
    async with issuing() as parts:
        assert await parts.who(largest) == ADA


async def test_what_is_refused_leaves_no_trace_in_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    secret = token(claims(tenant="hush-tenant", iss="hush-issuer"))

    await refused(secret)
    await refused(token(head=header(kid="hush-kid")))

    told = "\n".join(json.dumps(vars(record), default=str) for record in caplog.records)
    assert "jwt.refused" in told
    assert "hush" not in told
    assert all(part not in told for part in parts_of(secret))


async def test_a_token_ends_when_it_expires_although_it_is_remembered():
    async with issuing() as parts:
        credential = token(claims(exp=NOW_S + 60))
        assert await parts.who(credential) == ADA
        parts.times.pass_by(89)
        assert await parts.who(credential) == ADA
        parts.times.pass_by(1)
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                await parts.who(credential)


async def test_a_token_is_verified_once_and_remembered(monkeypatch):
    judged = []
    plain = jwt._is_signed
    monkeypatch.setattr(jwt, "_is_signed", lambda *given: judged.append(1) or plain(*given))
    async with issuing() as parts:
        first = await parts.who(token())
        credential = token()
        assert all([await parts.who(credential) is first for _ in range(50)])
        assert len(judged) == 1

        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await parts.who(f"{HEAD_PART}.{OTHER_PAYLOAD}.{SIGNATURE_PART}")

        assert len(judged) == 4
        assert len(parts.authenticator._verified) == 1


async def test_no_more_tokens_are_remembered_than_allowed(monkeypatch):
    monkeypatch.setattr(jwt, "VERIFIED_MAX", 3)
    async with issuing() as parts:
        credentials = [token(claims(sub=f"user{n}")) for n in range(5)]
        for credential in credentials[:3]:
            await parts.who(credential)
        await parts.who(credentials[0])
        await parts.who(credentials[3])
        kept = {each.principal.name for each in parts.authenticator._verified.values()}

    assert kept == {"user0", "user2", "user3"}
