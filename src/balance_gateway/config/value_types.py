"""Defines the types of values in the configuration file that are written as strings.

msgspec checks numbers, lists, choices and dates by itself. It hands the strings of the types in
this module to a ``ValueParser``, which raises a ``ValueError`` with the end of the sentence that
begins with the key's name.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

from balance_gateway.config.file_secrets import FileSecret
from balance_gateway.config.http_urls import (
    DEFAULT_PORTS,
    HttpUrl,
    ProxyUrl,
    parse_http_url,
    parse_proxy_url,
    split_url,
)
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.money import currency_exponent
from balance_gateway.domain.secret import Secret

#: Text in any language that is not blank. ``must_be`` completes the error "KEY must be …".
Text = Annotated[
    str, Meta(pattern=r"\S", max_length=10_000, extra={"must_be": "a string that is not empty"})
]

#: One line of text for pages; may be empty. The lookahead refuses a line break at the end.
ShortText = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,40}$(?!\n)",
        extra={"must_be": "one line of at most 40 characters"},
    ),
]

#: The name of a claim; may be empty, but not blank.
ClaimName = Annotated[
    str, Meta(pattern=r"^$(?!\n)|\S", max_length=10_000, extra={"must_be": "a name, or empty"})
]

#: A path without a slash at its end; empty for none. Browsers would resolve ``.`` and ``..``.
RootPath = Annotated[
    str,
    Meta(
        pattern=r"^(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]{1,100}){0,10}$(?!\n)",
        extra={"must_be": "a path such as /balances, without a slash at its end, or empty"},
    ),
]

#: A host and a port; empty for none.
SocketAddress = Annotated[
    str,
    Meta(
        pattern=r"^((\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}"
        r"|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$(?!\n)",
        extra={"must_be": "a host and a port, such as 127.0.0.1:9100, or empty"},
    ),
]

#: ``*`` is no name: as a wildcard it would not include Authorization.
HeaderName = Annotated[
    str,
    Meta(
        pattern=r"^(?!\*$)[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$(?!\n)",
        extra={"must_be": "the name of one header, such as x-tenant"},
    ),
]

Seconds = Annotated[float, Meta(ge=0, le=1e9)]

#: Schemes of apps and extensions have origins as well: capacitor://localhost.
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?)"
    r"(:(?P<port>[1-9][0-9]{0,4}))?",
    re.ASCII,
)

#: A last label that browsers read as a part of an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


#: How to make an API key; ends an error.
_MAKE_KEY = "make one with: balance-gateway keys new NAME --tenant TENANT --scope balances:read"

#: Secrets are pasted and saved by editors: their ends may have white space or a byte order mark.
_MARGIN = re.compile(r"^[\s\ufeff]+|[\s\ufeff]+\Z")

#: What the gateway accepts as a bearer token; the maximum leaves room for the rest of the header.
_API_KEY = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,8000}")

#: 22 characters of ``secrets.token_urlsafe`` are 128 random bits.
API_KEY_LENGTH_MIN = 22


class Origin(str):
    """The origin of a page, as browsers send it; ``*`` for all, ``null`` for opaque ones."""

    __slots__ = ()


class ProxyNetwork(str):
    """An IP address, or a network such as 10.0.0.0/8."""

    __slots__ = ()


class CurrencyCode(str):
    """An ISO 4217 code of a currency with minor units."""

    __slots__ = ()


class CallerKey(Secret):
    """An API key that callers send as their bearer token."""


class StorageUrl(Secret):
    """The URL of a database, which may contain a password."""

    schemes: ClassVar = ("sqlite", "postgresql")
    must_start_with: ClassVar = "sqlite:/// or postgresql://"


class CacheUrl(Secret):
    """The URL of a cache, which may contain a password."""

    schemes: ClassVar = ("memory", "redis", "rediss", "unix")
    must_start_with: ClassVar = "memory://, redis://, rediss:// or unix://"


#: The JSON Schema of each type.
JSON_SCHEMAS: Mapping[type, Mapping[str, Any]] = {
    Secret: {"type": "string", "pattern": "^(env|file):.+"},
    CallerKey: {"type": "string", "pattern": "^(env|file):.+"},
    StorageUrl: {"type": "string", "pattern": "^(sqlite:|postgresql:|env:.|file:.)"},
    CacheUrl: {"type": "string", "pattern": "^(memory:|rediss?:|unix:|env:.|file:.)"},
    ProxyUrl: {"type": "string", "pattern": "^(https?:|env:.|file:.)"},
    HttpUrl: {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://."},
    Origin: {"type": "string", "pattern": "^(\\*|null|[a-z][a-z0-9+.-]*://[^/?#@*\\s]+)$"},
    ProxyNetwork: {"type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"},
    CurrencyCode: {"type": "string", "pattern": "^[A-Z]{3}$"},
    ZoneInfo: {"type": "string"},
    Path: {"type": "string", "minLength": 1},
}


def format_name(name: str) -> str:
    """Return a name from the file in a form that fits on one line."""
    return name if name.isprintable() and name else repr(name)


class ValueParser:
    """Parses a string of the file as one of the types above; msgspec's ``dec_hook``.

    Args:
        directory: the base directory of relative paths.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parsers: dict[type, Callable[[str], object]] = {
            Secret: self._read_credential,
            CallerKey: lambda text: _parse_api_key(self._read_reference(text)),
            StorageUrl: lambda text: self._parse_secret_url(text, StorageUrl),
            CacheUrl: lambda text: self._parse_secret_url(text, CacheUrl),
            ProxyUrl: lambda text: parse_proxy_url(self._resolve_url(text)),
            HttpUrl: parse_http_url,
            Origin: parse_origin,
            ProxyNetwork: _parse_network,
            CurrencyCode: _parse_currency,
            ZoneInfo: _parse_time_zone,
            Path: lambda text: self._directory / text,
        }

    def __call__(self, kind: type, value: object) -> object:
        """Parse a value.

        Raises:
            ValueError: the value is invalid; the text completes a sentence and shows no secret.
        """
        if not isinstance(value, str) or not value.strip():
            raise ValueError("must be a string that is not empty")
        return self._parsers[kind](value)

    def _read_credential(self, text: str) -> Secret:
        read = partial(self._read_reference, text)
        secret = _parse_credential(read())
        return FileSecret(secret.reveal(), read) if text.startswith("file:") else secret

    def _read_reference(self, text: str) -> str:
        kind, _, target = text.partition(":")
        if kind == "env" and target:
            source = f"the environment variable {format_name(target)}"
            value = os.environ.get(target)
            if not value:
                raise ValueError(f": {source} is not set")
        elif kind == "file" and target:
            source = format_name(target)
            value = self._read_file(target)
        else:
            raise ValueError("must be a reference, 'env:NAME' or 'file:PATH', not the secret")
        value = _MARGIN.sub("", value)
        if not value:
            raise ValueError(f": {source} is empty")
        return value

    def _read_file(self, path: str) -> str:
        try:
            return (self._directory / path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not a valid path or not UTF-8 text"
            raise ValueError(f": {format_name(path)} cannot be read: {reason}") from None

    def _parse_secret_url(self, text: str, kind: type[StorageUrl] | type[CacheUrl]) -> Secret:
        text = self._resolve_url(text)
        if not text.isprintable():
            raise ValueError("must be one line of printable characters")
        if split_url(text).scheme not in kind.schemes:
            raise ValueError(f"must start with {kind.must_start_with}")
        return kind(text)

    def _resolve_url(self, text: str) -> str:
        """Return a URL: literal, or by reference, which a URL with a password must be."""
        if text.startswith(("env:", "file:")):
            return self._read_reference(text)
        if _has_password(text):
            raise ValueError("contains a password; use a reference such as 'env:NAME'")
        return text


def parse_origin(text: str) -> Origin:
    """Check that a browser can send this as the header Origin.

    Raises:
        ValueError: no origin is written like that, so it would never match.
    """
    if text in ("*", "null"):
        return Origin(text)
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError("must be an origin such as https://app.example, in lower case, no path")
    port = match["port"]
    if port and (int(port) > 65_535 or DEFAULT_PORTS.get(match["scheme"]) == int(port)):
        raise ValueError("must have a port that is not the scheme's default, or none")
    if not _is_canonical_host(match["host"]):
        raise ValueError("must name the host as browsers do, such as 127.0.0.1 or [::1]")
    return Origin(text)


def _is_canonical_host(host: str) -> bool:
    """Return whether a host is a name, or an address in the form that browsers give it."""
    is_version_6 = host.startswith("[")
    if not is_version_6 and not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.version == (6 if is_version_6 else 4) and str(address) == host.strip("[]")


def _parse_credential(text: str) -> Secret:
    secret = Secret(text)
    if not secret.is_header_safe():
        raise ValueError(
            "must be printable ASCII characters without spaces, at most 16384: an HTTP header"
            " carries no others"
        )
    return secret


def _parse_api_key(text: str) -> CallerKey:
    if not _API_KEY.fullmatch(text):
        raise ValueError(
            "must be letters, digits and . _ ~ + / = : @ - only, at most 8000: a bearer token"
            f" has no others; {_MAKE_KEY}"
        )
    if len(text) < API_KEY_LENGTH_MIN:
        raise ValueError(f"must have at least {API_KEY_LENGTH_MIN} characters; {_MAKE_KEY}")
    return CallerKey(text)


def _parse_network(text: str) -> ProxyNetwork:
    try:
        return ProxyNetwork(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError("must be an IP address or a network, such as 10.0.0.0/8") from None


def _has_password(text: str) -> bool:
    parts = split_url(text)
    # An empty one is no secret: parse_qsl leaves out what has no value.
    return bool(parts.password) or any("password" in name for name, _ in parse_qsl(parts.query))


def _parse_currency(text: str) -> CurrencyCode:
    try:
        currency_exponent(text)
    except BadInput as error:
        raise ValueError(f": {error.message}") from None
    return CurrencyCode(text)


def _parse_time_zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f": {text!r} is not an IANA time zone, such as Asia/Tokyo") from None
