"""Parses the URLs of providers, of issuers and of proxies."""

import ipaddress
import re
from urllib.parse import SplitResult, unquote, urlsplit

from balance_gateway.domain.secret import Secret

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?", re.ASCII)

#: The default port of each scheme, which a URL omits.
DEFAULT_PORTS = {"https": 443, "http": 80}


class HttpUrl(str):
    """A normalised URL; ``network.check_network`` decides where http is allowed.

    Scheme and host are in lower case; the default port and trailing slashes are removed.
    """

    __slots__ = ()


class ProxyUrl(Secret):
    """The URL of a proxy, http or https, which may contain a user and a password."""


def parse_http_url(text: str) -> HttpUrl:
    """Normalise an http or https URL.

    Raises:
        ValueError: the text is no such URL; the message does not contain it.
    """
    # Two spellings of one address must not be treated as two addresses.
    parts = split_url(text)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("must be a URL such as https://api.example.com")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must not contain a user, a query or a fragment")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if parts.port is not None and parts.port != DEFAULT_PORTS[parts.scheme]:
        host = f"{host}:{parts.port}"
    return HttpUrl(f"{parts.scheme}://{host}{parts.path.rstrip('/')}")


def is_loopback_or_https(url: str) -> bool:
    """Return whether requests to this URL are encrypted, or do not leave the machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in {"localhost", "127.0.0.1", "::1"}


def parse_proxy_url(text: str) -> ProxyUrl:
    """Check the URL of a proxy.

    Args:
        text: The URL; special characters of user and password are percent-encoded.

    Raises:
        ValueError: The text is no such URL; the message completes a sentence and shows no part of
            the URL.
    """
    parts = split_url(text)
    # urlsplit drops line breaks and tabs.
    if not text.isprintable() or " " in text:
        raise ValueError("must be one line of printable characters without spaces")
    if parts.scheme not in {"http", "https"}:
        raise ValueError("must start with http:// or https://; other proxies are not supported")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(
            "must be a URL such as http://proxy.example:3128, without path, query and fragment;"
            " percent-encode special characters of its password"
        )
    if not _is_host(parts.hostname or "") or parts.port == 0:
        raise ValueError("must name a host, such as http://proxy.example:3128")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not (user + password).isprintable() or ":" in user or (password and not user):
        raise ValueError("must have a user without a colon, and a password, or neither")
    return ProxyUrl(text)


def split_url(text: str) -> SplitResult:
    """Split a URL.

    Raises:
        ValueError: It is malformed; the message does not contain it.
    """
    try:
        parts = urlsplit(text)
        # Reading the port validates it.
        _ = parts.port
    except ValueError:
        # Without the text, which may contain a password.
        raise ValueError(
            "is not a valid URL: check host and port, and percent-encode special characters of a"
            " password"
        ) from None
    return parts


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST_NAME.fullmatch(host) is not None
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
