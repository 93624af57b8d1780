"""Parses the URL of a PostgreSQL database with the parameters of libpq, PostgreSQL's own client.

Source: PostgreSQL 17, "34.1.1.2. Connection URIs" and "34.1.2. Parameter Key Words". Parameters
that are not supported are refused by name: ignored, they would weaken what they were written for.
"""

import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

FORM = "storage.url must be postgresql://user@host:port/name"

_ESCAPES = "in a password, write @ as %40, / as %2F, ? as %3F and # as %23"

#: The parameters that take the place of a part of the URL.
_PARTS = ("host", "port", "user", "password", "dbname")

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
#: The modes that check the server's certificate if ``sslrootcert`` is set.
_CHECKING_MODES = _SSL_MODES[3:]

#: The gateway writes, so that a server for reading only is none.
_SESSIONS = ("any", "read-write", "primary")

_CONNECT_TIMEOUT_MAX_S = 600
_STATEMENTS_MAX = 10_000
_DEFAULT_PORT = 5432

#: ``postgresql://user:password@one:5432,two:5432/name``.
_SEVERAL_HOSTS = re.compile(r"(postgresql://(?:[^@/?]*@)?)([^@/?]*,[^@/?]*)(.*)", re.DOTALL)


class UrlError(ValueError):
    """The URL is invalid; the text is one line that names the parameter and shows no secret."""


def parse_postgresql_url(text: str) -> tuple[URL, Mapping[str, Any]]:
    """Parse the URL of a PostgreSQL database.

    Args:
        text: ``postgresql://user:password@host:port/name?parameter=value``. Several hosts are
            separated by commas.

    Returns:
        The URL for SQLAlchemy's dialect of asyncpg, and the further arguments of a connection.

    Raises:
        UrlError: the URL is malformed, or a parameter is unknown or has an invalid value.
    """
    base, _, query = text.partition("?")
    parameters = _parse_query(query)
    hosts = _SEVERAL_HOSTS.fullmatch(base)
    try:
        url = make_url(f"{hosts[1]}{hosts[3]}" if hosts else base)
    except (ArgumentError, ValueError):
        raise UrlError(f"{FORM}; {_ESCAPES}") from None
    if "@" in f"{url.host}{url.database}":
        raise UrlError(f"{FORM}; {_ESCAPES}")
    parts = {name: parameters.pop(name) for name in _PARTS if name in parameters}
    url = url.set(drivername="postgresql+asyncpg", query={}, database=url.database or None)
    if "dbname" in parts:
        url = url.set(database=parts.pop("dbname"))
    if hosts:
        parts["host"] = unquote(hosts[2])
    return url.update_query_dict(_list_hosts(parts)), _build_arguments(parameters)


def _parse_query(query: str) -> dict[str, str]:
    if "@" in query:
        # A "?" of the password began the query: its names and values are parts of the password.
        raise UrlError(f"{FORM}; {_ESCAPES}")
    parameters: dict[str, str] = {}
    # A plus sign is itself in libpq, and not a space as in a form.
    for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        if name not in _PARTS and name not in _CHECKS:
            raise UrlError(_describe_unknown(name, query))
        if name in parameters:
            raise UrlError(f"storage.url: {name} must be given once")
        if not value:
            raise UrlError(f"storage.url: {name} must not be empty")
        parameters[name] = value
    return parameters


def _describe_unknown(name: str, query: str) -> str:
    # The rest of a password with "&" looks like a name.
    is_plain = re.fullmatch(r"[A-Za-z_]{1,40}", name) and "password" not in query
    known = ", ".join([*_CHECKS, *_PARTS])
    return f"storage.url: {name if is_plain else 'a parameter'} is not supported; known: {known}"


def _list_hosts(parts: dict[str, str]) -> Mapping[str, str | tuple[str, ...]]:
    """Return the parts with several hosts as SQLAlchemy takes them: each with its port."""
    hosts = parts.get("host", "").split(",")
    if len(hosts) == 1:
        return parts
    port = parts.get("port", str(_DEFAULT_PORT))
    listed = [host if re.search(r":\d+\Z", host) else f"{host}:{port}" for host in hosts]
    others = {name: value for name, value in parts.items() if name not in ("host", "port")}
    return {**others, "host": tuple(listed)}


def _build_arguments(parameters: Mapping[str, str]) -> Mapping[str, Any]:
    """Return asyncpg's arguments; what it understands by itself stays in its own ``dsn``."""
    for name, value in parameters.items():
        problem = _CHECKS[name](value)
        if problem:
            raise UrlError(f"storage.url: {name} {problem}")
    rest = dict(parameters)
    arguments: dict[str, Any] = {}
    if "connect_timeout" in rest:
        arguments["timeout"] = float(rest.pop("connect_timeout"))
    if "statement_cache_size" in rest:
        size = int(rest.pop("statement_cache_size"))
        arguments |= {"statement_cache_size": size, "prepared_statement_cache_size": size}
        if size == 0:
            # Behind pgbouncer another server connection may know, or not know, a statement's name.
            arguments["prepared_statement_name_func"] = lambda: ""
    if "sslkey" in rest and "sslcert" not in rest:
        raise UrlError("storage.url: sslkey needs sslcert, the certificate of the key")
    if "sslrootcert" in rest:
        mode = rest.setdefault("sslmode", "verify-ca")
        if mode not in _CHECKING_MODES:
            raise UrlError(
                f"storage.url: sslrootcert checks nothing with sslmode={mode}; set sslmode to"
                " verify-full or verify-ca"
            )
        if rest["sslrootcert"] == "system":
            arguments["ssl"] = _trust_system(rest, parameters.get("sslmode"))
    if rest:
        arguments["dsn"] = f"postgresql://?{urlencode(rest)}"
    return arguments


def _trust_system(rest: dict[str, str], mode: str | None) -> ssl.SSLContext:
    """Take the TLS parameters for a server with a public certificate out of the rest."""
    if mode not in (None, "verify-full"):
        raise UrlError("storage.url: sslrootcert=system needs sslmode=verify-full")
    context = ssl.create_default_context()
    if "sslcert" in rest:
        try:
            context.load_cert_chain(rest["sslcert"], rest.get("sslkey"), password="")
        except (ssl.SSLError, OSError):
            raise UrlError("storage.url: sslcert and sslkey must be a pair in PEM") from None
    for name in ("sslmode", "sslrootcert", "sslcert", "sslkey"):
        rest.pop(name, None)
    return context


def _check_choice(*choices: str) -> Callable[[str], str | None]:
    problem = f"must be one of {', '.join(choices)}"
    return lambda value: None if value in choices else problem


def _check_number(minimum: int, maximum: int) -> Callable[[str], str | None]:
    problem = f"must be a whole number from {minimum} to {maximum}"

    def check(value: str) -> str | None:
        is_number = re.fullmatch(r"[0-9]{1,9}", value) is not None
        return None if is_number and minimum <= int(value) <= maximum else problem

    return check


def _check_file(value: str) -> str | None:
    try:
        with Path(value).open("rb"):
            return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a valid path"
        return f"cannot be read: {reason}"


def _check_root(value: str) -> str | None:
    return None if value == "system" else _check_certificates(value)


def _check_certificates(value: str) -> str | None:
    problem = _check_file(value)
    if problem is None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
        except ssl.SSLError:
            problem = "must be a file of certificates in PEM"
    return problem


def _check_label(value: str) -> str | None:
    # PostgreSQL: "less than NAMEDATALEN characters (64 …)"; others are replaced by "?".
    is_label = re.fullmatch(r"[\x20-\x7e]{1,63}", value) is not None
    return None if is_label else "must be 1 to 63 printable ASCII characters"


#: What is wrong with a parameter's value, or None; by the parameters that are no part of the URL.
_CHECKS: Mapping[str, Callable[[str], str | None]] = {
    "sslmode": _check_choice(*_SSL_MODES),
    "sslrootcert": _check_root,
    "sslcert": _check_certificates,
    "sslkey": _check_file,
    "connect_timeout": _check_number(1, _CONNECT_TIMEOUT_MAX_S),
    "application_name": _check_label,
    "target_session_attrs": _check_choice(*_SESSIONS),
    "statement_cache_size": _check_number(0, _STATEMENTS_MAX),
}
