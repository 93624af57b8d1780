"""A token issuer for tests: keys, valid and invalid tokens, and an HTTP server of its JWKS.

Tokens are signed with cryptography directly: so they are verified by other code than the code that
made them, and can be invalid in any way.
"""

import asyncio
import functools
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from balance_gateway.web.jwks import Jwks
from balance_gateway.web.jwt import JwtAuthenticator
from tests.api.fakes import run_server

ISSUER, AUDIENCE = "https://issuer.example/", "balance-gateway"
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())


def to_base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return to_base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@functools.cache
def rsa_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@functools.cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


@functools.cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@functools.cache
def ed448_key() -> ed448.Ed448PrivateKey:
    return ed448.Ed448PrivateKey.generate()


def jwk(key: Any, kid: Any = "one", **members: Any) -> dict[str, Any]:
    """Return the public JWK of a private key."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        facts = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        size = (public.key_size + 7) // 8
        curve = {"secp256r1": "P-256", "secp384r1": "P-384"}[public.curve.name]
        point = public.public_numbers()
        facts = {
            "kty": "EC",
            "crv": curve,
            "x": number(point.x, size),
            "y": number(point.y, size),
        }
    else:
        curve = "Ed448" if isinstance(public, ed448.Ed448PublicKey) else "Ed25519"
        facts = {"kty": "OKP", "crv": curve, "x": to_base64url(public.public_bytes_raw())}
    return {**facts, "kid": kid, **members}


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signature(algorithm: str, key: Any, signed: bytes) -> bytes:
    """Sign with an algorithm; ``key`` is a private key, or bytes for HS256."""
    hashed = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}.get(algorithm[2:])
    if algorithm.startswith("HS"):
        return hmac.digest(key, signed, "sha256")
    if algorithm.startswith("RS"):
        return key.sign(signed, padding.PKCS1v15(), hashed())
    if algorithm.startswith("PS"):
        salted = padding.PSS(padding.MGF1(hashed()), hashed.digest_size)
        return key.sign(signed, salted, hashed())
    if algorithm.startswith("ES"):
        size = (key.key_size + 7) // 8
        r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashed())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(signed)


def claims(**changes: Any) -> dict[str, Any]:
    """Return valid claims with changes; ``...`` removes a claim."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "tenant": "acme",
        "scope": "balances:read",
        "iat": NOW_S,
        "exp": NOW_S + 3600,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def header(**changes: Any) -> dict[str, Any]:
    good = {"alg": "RS256", "kid": "one", "typ": "JWT"}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def as_json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def token(
    payload: Mapping[str, Any] | bytes | None = None,
    head: Mapping[str, Any] | bytes | None = None,
    key: Any = None,
    algorithm: str | None = None,
) -> str:
    """Return a token, valid by default. Bytes replace the JSON of a part."""
    head = header() if head is None else head
    parts = (
        to_base64url(as_json(head)),
        to_base64url(as_json(claims() if payload is None else payload)),
    )
    signed = ".".join(parts).encode()
    name = algorithm or head["alg"]  # type: ignore[call-overload,index]
    return f"{signed.decode()}.{to_base64url(signature(name, key or rsa_key(), signed))}"


@dataclass
class ManualClocks:
    """A wall clock and a monotonic clock that tests advance."""

    now: datetime = NOW
    monotonic_s: float = 1000.0

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.monotonic_s += seconds


@dataclass
class Issuer:
    """The JWKS server; tests change its responses while it runs."""

    keys: list[Any] = field(default_factory=lambda: [jwk(rsa_key())])
    document: bytes | None = None
    status: int = 200
    redirect: bool = False
    requests: int = 0
    gate: asyncio.Event | None = None
    received: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def serve_keys(self, _request: Request) -> Response:
        self.requests += 1
        self.received.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.redirect:
            return RedirectResponse("/elsewhere.json")
        body = json.dumps({"keys": self.keys}).encode() if self.document is None else self.document
        return Response(body, self.status, media_type="application/json")

    async def serve_redirect_target(self, _request: Request) -> Response:
        return Response(json.dumps({"keys": self.keys}), media_type="application/json")


@dataclass
class TokenHarness:
    """An authenticator and its dependencies."""

    issuer: Issuer
    clocks: ManualClocks
    jwks: Jwks
    authenticator: JwtAuthenticator

    async def authenticate(self, credential: str) -> Any:
        return await self.authenticator.authenticate(credential)

    async def wait_for_fetch(self) -> None:
        """Wait for the background fetch, if one is running."""
        if self.jwks._fetch_task is not None:
            await asyncio.wait([self.jwks._fetch_task])


@asynccontextmanager
async def run_issuer(*keys: Any, **settings: Any) -> AsyncIterator[TokenHarness]:
    """Run an issuer of these JWKs and an authenticator with these settings that trusts it."""
    issuer, clocks = Issuer(), ManualClocks()
    if keys:
        issuer.keys = list(keys)
    routes = [
        Route("/jwks.json", issuer.serve_keys),
        Route("/elsewhere.json", issuer.serve_redirect_target),
    ]
    async with run_server(Starlette(routes=routes)) as url:
        issuer.url = f"{url}/jwks.json"
        jwks = Jwks(issuer.url, lambda: clocks.monotonic_s)
        authenticator = JwtAuthenticator(
            issuer=ISSUER, audience=AUDIENCE, jwks=jwks, clock=lambda: clocks.now, **settings
        )
        try:
            yield TokenHarness(issuer, clocks, jwks, authenticator)
        finally:
            if issuer.gate is not None:
                issuer.gate.set()
            await jwks.aclose()
