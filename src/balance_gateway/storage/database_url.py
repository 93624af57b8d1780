"""Parses ``storage.url``, and finds the SQLite file or the PostgreSQL database that it names."""

import importlib.util
import os.path
import shlex
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from balance_gateway.storage.postgresql_url import UrlError, parse_postgresql_url

_EXPECTED = "storage.url must be sqlite:///path, sqlite:// or postgresql://user@host/name"


def check_url(url: str) -> None:
    """Check a URL without opening its database.

    Raises:
        UrlError: the URL is malformed, or a parameter is unknown or has an invalid value.
    """
    parse_database_url(url)


def parse_database_url(url: str) -> tuple[URL, str, Mapping[str, Any]]:
    """Return the driver's URL, the database's label, and further arguments of connections.

    Raises:
        UrlError: as for ``check_url``.
    """
    if url.startswith("postgresql:"):
        parsed, options = parse_postgresql_url(url)
        if importlib.util.find_spec("asyncpg") is None:
            hint = "pip install balance-gateway[postgres]"
            raise UrlError(f"storage.url names PostgreSQL, which needs asyncpg: {hint}")
        return parsed, _format_label(parsed), options
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UrlError(_EXPECTED) from None
    if parsed.drivername != "sqlite":
        raise UrlError(_EXPECTED)
    if parsed.database in (None, "", ":memory:"):
        name = f"file:balance-gateway-{uuid.uuid4().hex}"
        memory = {"mode": "memory", "cache": "shared", "uri": "true"}
        return URL.create("sqlite+aiosqlite", database=name, query=memory), "sqlite://", {}
    return parsed.set(drivername="sqlite+aiosqlite"), f"sqlite:///{parsed.database}", {}


def find_sqlite_path(parsed: URL) -> str | None:
    """Return the absolute path of a parsed URL's SQLite file, without links.

    SQLite resolves links too: the log of a database lies beside the file itself.

    Returns:
        The path; None for a database in memory and for PostgreSQL.
    """
    if parsed.get_backend_name() != "sqlite" or parsed.query.get("mode") == "memory":
        return None
    name = str(parsed.database)
    return os.path.realpath(unquote(urlsplit(name).path) if "uri" in parsed.query else name)


def format_client_options(parsed: URL) -> str:
    """Format the options of PostgreSQL's own programs for a parsed URL, without the password."""
    hosts = parsed.host or parsed.query.get("host", ())
    if not isinstance(hosts, str):
        hosts = hosts[0] if hosts else ""
    options = [("-h", hosts), ("-p", parsed.port), ("-U", parsed.username)]
    return shlex.join(word for name, value in options if value for word in (name, str(value)))


def _format_label(url: URL) -> str:
    hosts = url.query.get("host", ()) if url.host is None else url.host
    where = hosts if isinstance(hosts, str) else ",".join(hosts)
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{where}{port}/{url.database or ''}"
