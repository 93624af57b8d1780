"""Checks the settings of outbound connections: certificates, and http only where it is allowed."""

import ssl
from pathlib import Path
from typing import Protocol

from balance_gateway.config.errors import InvalidSetting
from balance_gateway.config.http_urls import HttpUrl, is_loopback_or_https
from balance_gateway.config.value_types import format_name

_MISMATCHES = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"})


class _NetworkSettings(Protocol):
    @property
    def ca_file(self) -> Path | None: ...
    @property
    def client_cert(self) -> Path | None: ...
    @property
    def client_key(self) -> Path | None: ...
    @property
    def allow_plain_http(self) -> bool: ...


def check_network(settings: _NetworkSettings, **urls: HttpUrl | str | None) -> None:
    """Check the files by loading them as a connection does, and the scheme of each URL.

    Args:
        settings: The settings of the table.
        urls: The table's URLs by key; None for one that is not set.

    Raises:
        InvalidSetting: A file is missing or cannot be used, or a URL is plain http.
    """
    for key, url in urls.items():
        if url is not None and not settings.allow_plain_http and not is_loopback_or_https(url):
            raise InvalidSetting(
                key,
                "must start with https://; http:// is only for loopback, or with"
                " allow_plain_http = true",
            )
    if settings.ca_file is not None:
        _read("ca_file", settings.ca_file)
        _check_certificates("ca_file", settings.ca_file)
    if settings.client_cert is not None:
        _check_client_certificate(settings.client_cert, settings.client_key)
    elif settings.client_key is not None:
        raise InvalidSetting("client_key", "is set alone: set client_cert to its certificate")


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a valid path"
        problem = f"cannot be read: {format_name(str(path))}: {reason}; set it to a PEM file"
        raise InvalidSetting(key, problem) from None


def _check_certificates(key: str, path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
        is_certificate = context.cert_store_stats()["x509"] > 0
    except ssl.SSLError:
        is_certificate = False
    if not is_certificate:
        problem = f"must be a PEM file with certificates, and {format_name(str(path))} is not"
        raise InvalidSetting(key, problem)


def _check_client_certificate(cert: Path, key: Path | None) -> None:
    _read("client_cert", cert)
    _check_certificates("client_cert", cert)
    name, path = ("client_cert", cert) if key is None else ("client_key", key)
    content = _read(name, path)
    if b"PRIVATE KEY-----" not in content:
        if key is None:
            problem = "is missing: set it, or append the private key to client_cert"
            raise InvalidSetting("client_key", problem)
        raise InvalidSetting(name, "must be a PEM file with a private key")
    if b"ENCRYPTED" in content:
        problem = "must contain a private key without a passphrase: decrypt it with openssl pkey"
        raise InvalidSetting(name, problem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # The password prevents that OpenSSL asks for one.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            problem = "must contain the private key of the first certificate in client_cert"
        else:
            problem = f"cannot be used: OpenSSL reports {error.reason or 'no usable key'}"
        raise InvalidSetting(name, problem) from None
