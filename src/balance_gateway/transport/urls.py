"""Parses http and https URLs, and resolves the references of redirects against them.

A URL is refused when it is ambiguous or cannot be requested: a user, a port outside of 1 to 65535,
a host name with characters that host names cannot have, a control character.
"""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote, urljoin

from balance_gateway.transport.errors import InvalidURL

URL_CHARACTERS_MAX = 65_536

DEFAULT_PORTS = {"http": 80, "https": 443}

# RFC 3986, appendix B, for URLs with an authority.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^/?#@:\[\]]+)(?::(?P<port>[0-9]*))?"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.ASCII | re.IGNORECASE,
)
_COLON_FIRST = re.compile(r"[^/?#]*:")
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII | re.IGNORECASE)
_HOST_NAME = re.compile(r"[a-z0-9._-]+", re.ASCII)
_IPV4_LIKE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# The percent-encode sets of the URL standard; "%" stays, so that nothing is encoded twice.
_QUERY_SAFE = "!$%&'()*+,-./:;=?@[\\]^_`{|}~"
_PATH_SAFE = "!$%&'()*+,-./:;=@[\\]^_|~"


class URL(NamedTuple):
    """An http or https URL without its fragment.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name in lower case and in its ASCII form, or IP address without brackets.
        port: From 1 to 65535, the scheme's default included.
        origin: Scheme, host and port unless it is the scheme's default: ``https://api.example``.
        target: Path and query, percent-encoded; begins with ``/``.
    """

    scheme: str
    host: str
    port: int
    origin: str
    target: str

    @property
    def host_header(self) -> str:
        """Value of the ``Host`` header: the origin without its scheme."""
        return self.origin.partition("://")[2]

    def with_target(self, target: str) -> "URL":
        """Return the URL of another path and query on the same origin."""
        return URL(self.scheme, self.host, self.port, self.origin, target)

    def __str__(self) -> str:
        return self.origin + self.target


def parse_url(text: str) -> URL:
    """Parse an absolute URL.

    Raises:
        InvalidURL: The URL is not an http or https URL with a host and without a user. The text
            contains no part of it.
    """
    found = _URL.fullmatch(_require_printable(text))
    if found is None:
        raise InvalidURL("The URL must be an http or https URL with a host and without a user.")
    scheme = found["scheme"].lower()
    default_port = DEFAULT_PORTS[scheme]
    port = _parse_port(found["port"]) if found["port"] else default_port
    host = _normalize_host(found["host"].lower())
    shown_host = f"[{host}]" if ":" in host else host
    shown_port = "" if port == default_port else f":{port}"
    path = _remove_dot_segments(found["path"] or "/")
    query = found["query"]
    try:
        target = quote(path, safe=_PATH_SAFE)
        if query is not None:
            target += "?" + quote(query, safe=_QUERY_SAFE)
    except UnicodeEncodeError:
        raise InvalidURL("The URL must be Unicode text.") from None
    return URL(scheme, host, port, f"{scheme}://{shown_host}{shown_port}", target)


def join_url(base: URL, reference: str) -> URL:
    """Resolve an absolute or relative reference, such as a ``Location`` header (RFC 3986, 5.2).

    Raises:
        InvalidURL: The result is not an http or https URL with a host and without a user.
    """
    reference = _require_printable(reference)
    if _COLON_FIRST.match(reference) and not _ABSOLUTE.match(reference):
        # Some parsers take "https:a" for relative, others for a URL without a host.
        raise InvalidURL("The URL's scheme must be followed by //.")
    # urljoin would strip a space at the beginning.
    reference = reference.replace(" ", "%20")
    try:
        joined = urljoin(str(base), reference)
    except ValueError:
        raise InvalidURL("The reference must be a valid URL.") from None
    return parse_url(joined)


def _require_printable(text: str) -> str:
    if len(text) > URL_CHARACTERS_MAX:
        raise InvalidURL(f"The URL must not exceed {URL_CHARACTERS_MAX} characters.")
    if _CONTROL.search(text):
        raise InvalidURL("The URL must not contain control characters.")
    return text


def _parse_port(digits: str) -> int:
    port = int(digits) if len(digits) <= 5 else 0
    if not 1 <= port <= 65_535:
        raise InvalidURL("The URL's port must be from 1 to 65535.")
    return port


def _normalize_host(host: str) -> str:
    if host.startswith("["):
        host = host[1:-1]
        if _is_address(ipaddress.IPv6Address, host):
            return host
    elif not host.isascii():
        return _encode_international_name(host)
    elif _HOST_NAME.fullmatch(host) and (
        not _IPV4_LIKE.fullmatch(host) or _is_address(ipaddress.IPv4Address, host)
    ):
        return host
    raise InvalidURL("The URL's host must be a host name or an IP address.")


def _is_address(kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address], host: str) -> bool:
    try:
        kind(host)
    except ValueError:
        return False
    return True


def _encode_international_name(host: str) -> str:
    # Its tables take 20 ms to load, and hardly any host needs them.
    import idna

    try:
        return idna.encode(host).decode("ascii")
    except idna.IDNAError:
        raise InvalidURL("The URL's host must be a valid international name.") from None


def _remove_dot_segments(path: str) -> str:
    segments = path.split("/")
    if "." not in segments and ".." not in segments:
        return path
    kept: list[str] = []
    for segment in segments:
        if segment == ".." and kept not in ([], [""]):
            kept.pop()
        elif segment not in {".", ".."}:
            kept.append(segment)
    return "/".join(kept) or "/"
