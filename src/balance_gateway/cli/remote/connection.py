"""Finds the gateway and the key that options and profiles choose."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from balance_gateway.cli.remote.profiles import Profile, find_path, read_profiles
from balance_gateway.cli.usage import UsageError, require_utf8
from balance_gateway.config.http_urls import HttpUrl, is_loopback_or_https, parse_http_url
from balance_gateway.config.value_types import ValueParser
from balance_gateway.domain.secret import Secret

_GRAPHQL_PATH = "/graphql"
_NOT_THE_KEY = (
    "must be a reference, env:NAME or file:PATH, not the key itself, which the list of processes"
    " would show: write the key into a file that only you can read, and give file:PATH"
)


@dataclass(frozen=True, slots=True)
class Connection:
    """Where and how to reach a gateway.

    Attributes:
        url: the address of its GraphQL endpoint.
        key: the key.
        key_reference: where the key comes from, for messages.
        ca_file: a PEM file with further authorities; None for none.
        timeout_s: how long to wait for a response.
    """

    url: str
    key: Secret
    key_reference: str
    ca_file: Path | None
    timeout_s: float


def build_profile(url: str, key: str, ca_file: Path | None, *, allow_plain_http: bool) -> Profile:
    """Build a profile from options, with absolute paths.

    Raises:
        UsageError: an option is wrong. The key is not read.
    """
    check_reference("--key", key)
    kind, _, target = _expand(key).partition(":")
    if kind == "file":
        key = f"file:{Path(target).absolute()}"
    parsed = _parse_url("--url", url)
    _refuse_plain_http("--url", parsed, allow=allow_plain_http)
    path = None if ca_file is None else ca_file.absolute()
    require_utf8("--key", key)
    require_utf8("--ca-file", str(path))
    return Profile(parsed, key, path, allow_plain_http)


def check_reference(name: str, key: str) -> None:
    """Check that a key is a reference.

    Raises:
        UsageError: it is not; the message does not show it.
    """
    kind, _, target = key.partition(":")
    if kind not in ("env", "file") or not target:
        raise UsageError(f"{name} {_NOT_THE_KEY}.")


def _expand(reference: str) -> str:
    """Return a reference with the folder of a user for ``~``, which shells leave after a colon."""
    kind, _, target = reference.partition(":")
    if kind != "file" or not target.startswith("~"):
        return reference
    try:
        return f"file:{Path(target).expanduser()}"
    except RuntimeError:
        return reference


def connect(
    url: str | None,
    key: str | None,
    profile_name: str | None,
    ca_file: Path | None,
    timeout_s: float,
    *,
    allow_plain_http: bool,
) -> Connection:
    """Choose the gateway and read the key.

    Args:
        url: the address; it needs a key. None for that of a profile.
        key: the reference to the key; None for that of the profile.
        profile_name: the profile; None for the default one.
        ca_file: a PEM file with further authorities; None for that of the profile.
        timeout_s: how long to wait for a response.
        allow_plain_http: whether the key may be sent unencrypted to another machine.

    Raises:
        UsageError: an option, a profile or a reference is wrong.
    """
    if key is not None:
        check_reference("--key", key)
    if url is not None:
        # The key of a profile is never sent to another address than the profile's.
        if key is None:
            raise UsageError("--url needs --key: env:NAME or file:PATH.")
        parsed = _parse_url("--url", url)
        _refuse_plain_http("--url", parsed, allow=allow_plain_http)
        secret = _read_key("--key", key, Path())
        return _build(parsed, secret, key, ca_file, timeout_s)
    profiles = read_profiles()
    name = profile_name or profiles.default
    if name is None:
        raise UsageError(
            "No gateway is chosen. Give --url and --key, or add a profile: balance-gateway"
            " profiles add NAME --url https://… --key file:PATH."
        )
    profile, place = profiles.find(name), f"{find_path()}: profiles.{name}"
    if key is None:
        check_reference(f"{place}.key", profile.key)
        secret = _read_key(f"{place}.key", profile.key, find_path().parent)
    else:
        secret = _read_key("--key", key, Path())
    parsed = _parse_url(f"{place}.url", profile.url)
    _refuse_plain_http(f"{place}.url", parsed, allow=allow_plain_http or profile.allow_plain_http)
    return _build(parsed, secret, key or profile.key, ca_file or profile.ca_file, timeout_s)


def _build(
    url: HttpUrl, key: Secret, key_reference: str, ca_file: Path | None, timeout_s: float
) -> Connection:
    if ca_file is not None:
        _check_ca_file(ca_file)
    return Connection(f"{url}{_GRAPHQL_PATH}", key, key_reference, ca_file, timeout_s)


def _parse_url(name: str, text: str) -> HttpUrl:
    try:
        # Both the address of the gateway and that of its endpoint are in use.
        url = HttpUrl(parse_http_url(text).removesuffix(_GRAPHQL_PATH))
    except ValueError as error:
        raise UsageError(f"{name} {error}.") from None
    try:
        text.encode()
        (urlsplit(url).hostname or "").encode("idna")
    except UnicodeError:
        raise UsageError(
            f"{name} must name a host such as balances.example, with parts of 1 to 63 characters."
        ) from None
    return url


def _refuse_plain_http(name: str, url: HttpUrl, *, allow: bool) -> None:
    if not allow and not is_loopback_or_https(url):
        raise UsageError(
            f"{name} must start with https://, since the key would be sent unencrypted; in a"
            " network that you trust give --allow-plain-http."
        )


def _read_key(name: str, reference: str, directory: Path) -> Secret:
    try:
        secret = ValueParser(directory)(Secret, _expand(reference))
    except ValueError as error:
        problem = str(error)
        separator = "" if problem.startswith(":") else " "
        raise UsageError(f"{name}{separator}{problem}.") from None
    assert isinstance(secret, Secret)
    return secret


def _check_ca_file(path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, ValueError):
        # A path with a NUL is a ValueError.
        raise UsageError(
            f"--ca-file must be a PEM file with certificates; {str(path)!r} is not."
        ) from None
    except OSError as error:
        raise UsageError(f"--ca-file cannot be read: {path}: {error.strerror}.") from None
