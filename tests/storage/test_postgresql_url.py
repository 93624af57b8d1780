"""Tests the parameters of PostgreSQL's URLs against servers with TLS and with pgbouncer."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from sqlalchemy import text

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.domain.ledger import Book, Entry
from balance_gateway.storage.changes import open_storage_changes
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.ledger import SqlLedgerStore
from balance_gateway.storage.postgresql_url import UrlError, parse_postgresql_url
from tests.storage.postgresql_servers import (
    PACKAGES_ARE_INSTALLED,
    PASSWORD,
    TlsServer,
    run_pgbouncer,
    run_tls_server,
)
from tests.storage.test_import_interrupt import CONFIG, interrupt, wait_for

BASE = "postgresql://user@host/name"
needs_packages = pytest.mark.skipif(
    not PACKAGES_ARE_INSTALLED, reason="Debian's postgresql and pgbouncer are not installed"
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pg-tls") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[TlsServer]:
    with run_tls_server(folder) as server:
        yield server


@pytest.fixture(scope="module")
def pgbouncer_url(folder: Path, server: TlsServer) -> Iterator[str]:
    with run_pgbouncer(folder, server) as url:
        yield url


async def read(url: str, statement: str) -> object:
    database = await open_database(url)
    try:
        async with database.read_transaction() as connection:
            return await connection.scalar(text(statement))
    finally:
        await database.aclose()


DAY = date(2026, 1, 10)
SETTING = "?statement_cache_size=0"
IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@needs_packages
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?sslmode=allow",
        "?sslmode=prefer",
        "?sslmode=require",
        "?sslrootcert={certificate}",
        "?sslmode=require&sslrootcert={certificate}",
        "?sslmode=verify-ca&sslrootcert={certificate}",
        "?sslmode=verify-full&sslrootcert={certificate}",
        "?sslmode=require&sslcert={certificate}&sslkey={key}",
        "?connect_timeout=5&application_name=books&target_session_attrs=read-write",
        "?statement_cache_size=0&sslmode=require",
    ],
)
async def test_parameters_of_libpq_open_a_connection_with_tls(server: TlsServer, query: str):
    """``sslmode=require`` was an unexpected keyword, ``connect_timeout`` a TypeError."""
    key = server.certificate.with_suffix(".key")

    url = server.url(query.format(certificate=server.certificate, key=key))

    assert await read(url, IS_ENCRYPTED) is True


@needs_packages
@pytest.mark.parametrize(
    ("query", "host", "reason"),
    [
        ("?sslmode=disable", "localhost", "pg_hba.conf"),
        ("?sslmode=verify-ca&sslrootcert={stranger}", "localhost", "CERTIFICATE_VERIFY_FAILED"),
        ("?sslmode=require&sslrootcert={stranger}", "localhost", "CERTIFICATE_VERIFY_FAILED"),
        ("?sslrootcert={stranger}", "localhost", "CERTIFICATE_VERIFY_FAILED"),
        ("?sslrootcert=system", "localhost", "CERTIFICATE_VERIFY_FAILED"),
        ("?sslmode=verify-full&sslrootcert={certificate}", "127.0.0.1", "IP address mismatch"),
    ],
)
async def test_a_failed_check_of_tls_says_why(
    server: TlsServer, query: str, host: str, reason: str
):
    url = server.url(query.format(certificate=server.certificate, stranger=server.stranger), host)

    with pytest.raises(DatabaseError, match=reason) as caught:
        await open_database(url)

    assert PASSWORD not in str(caught.value)


@needs_packages
async def test_parts_of_the_url_may_be_parameters(server: TlsServer):
    query = f"host=localhost&port={server.port}&user=postgres&password={PASSWORD}&dbname=postgres"

    assert (
        await read(f"postgresql://?{query}&application_name=a+b%20c", "SHOW application_name")
        == "a+b c"
    )


@needs_packages
async def test_of_several_hosts_the_one_that_answers_serves(server: TlsServer):
    hosts = f"localhost:1,localhost:{server.port}"
    authority = f"postgres:{PASSWORD}@{hosts}"

    for url in (
        f"postgresql://{authority}/postgres?target_session_attrs=primary",
        f"postgresql://postgres:{PASSWORD}@/postgres?host={hosts}",
    ):
        assert await read(url, IS_ENCRYPTED) is True


@asynccontextmanager
async def open_both(url: str):
    one, two = await open_database(url), await open_database(url)
    try:
        yield one, two
    finally:
        await one.aclose()
        await two.aclose()


@needs_packages
async def test_statement_cache_size_0_works_behind_pgbouncer_in_transaction_mode(
    pgbouncer_url: str,
):
    """Prepared statements of other clients had the same names: most statements failed."""
    async with (
        open_both(f"{pgbouncer_url}?statement_cache_size=0") as databases,
        open_storage_changes(databases[0]) as first,
        open_storage_changes(databases[1]) as second,
    ):

        async def use(number: int) -> int:
            database = databases[number % 2]
            async with database.write_transaction() as connection:
                await database.lock(connection, "lock")
                one = await connection.scalar(text("SELECT CAST(:n AS int)"), {"n": number})
            await (first, second)[number % 2].look()
            return int(one)

        found = await asyncio.gather(*(use(number) for number in range(60)))

    assert found == list(range(60))


def make_account(account_id: str) -> Account:
    zone = ZoneInfo("UTC")
    return Account(account_id, "acme", "books", ProviderKind.LOCAL, account_id, "EUR", zone)


@needs_packages
@pytest.mark.parametrize("query", ["", "?statement_cache_size=100", "?application_name=books"])
async def test_a_pooler_that_loses_statements_is_refused_at_the_start(
    pgbouncer_url: str, query: str
) -> None:
    """The start succeeded, and 338 statements failed in the first five seconds."""
    with pytest.raises(DatabaseError) as caught:
        await open_database(pgbouncer_url + query)

    assert "?statement_cache_size=0" in str(caught.value)
    assert "pgbouncer" in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_packages
async def test_a_pooler_in_session_mode_needs_no_setting(folder: Path, server: TlsServer) -> None:
    with run_pgbouncer(folder, server, "session", 9) as url:
        database = await open_database(url)
        try:
            await database.ping()
        finally:
            await database.aclose()


@needs_packages
async def test_a_pooler_in_statement_mode_is_refused(folder: Path, server: TlsServer) -> None:
    with (
        run_pgbouncer(folder, server, "statement") as url,
        pytest.raises(DatabaseError, match="statement pooling mode"),
    ):
        await open_database(url + SETTING)


@needs_packages
async def test_imports_at_once_behind_a_pooler_keep_their_entries(pgbouncer_url: str) -> None:
    """An import's second transaction found no staged entries, or those of another import."""
    accounts = [make_account(f"till-{number}") for number in range(8)]
    entries = [
        [Entry(f"{day}", Book.BANK, DAY, number, None) for day in range(10)] for number in range(8)
    ]
    database = await open_database(pgbouncer_url + SETTING)
    try:
        store = SqlLedgerStore(database, lambda: datetime.now(UTC))
        await store.record_currencies(accounts)
        await asyncio.gather(*map(store.add_entries, accounts, entries))
        found = await store.sums([BalanceQuery(one, DAY) for one in accounts])
        async with database.read_transaction() as connection:
            rows = await connection.execute(
                text("SELECT account_id, minor_units FROM ledger_entries")
            )
            stored = sorted((account_id, int(units)) for account_id, units in rows)
    finally:
        await database.aclose()

    assert [one.bank for one in found] == [number * 10 for number in range(8)]
    assert stored == [(f"till-{number}", number) for number in range(8) for _ in range(10)]


@needs_packages
async def test_an_interrupted_import_behind_a_pooler_ends_its_session(
    pgbouncer_url: str, server: TlsServer, tmp_path: Path
) -> None:
    """PostgreSQL was asked to end a session by a number that the pooler had invented."""
    config, entries = tmp_path / "gateway.toml", tmp_path / "entries.csv"
    (tmp_path / "url").write_text(pgbouncer_url + SETTING)
    config.write_text(CONFIG.format(url="file:url"))
    rows = (f"{number},bank,2026-01-{number % 28 + 1:02},1.00\n" for number in range(200_000))
    entries.write_text("id,book,date,amount\n" + "".join(rows))
    arguments = ["local", "import", "--config", str(config), "--account", "till", str(entries)]
    person = await asyncpg.connect(server.url(), ssl="require")
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "balance_gateway", *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        await wait_for(person, "query LIKE 'INSERT INTO staged_entries%'")
        async with person.transaction():
            await person.execute("LOCK TABLE ledger_entries IN ACCESS EXCLUSIVE MODE")
            await wait_for(person, "wait_event_type = 'Lock'")
            await interrupt(process)
            waiting = await person.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
    finally:
        process.kill()
        process.communicate()
        await person.close()

    assert (process.returncode, waiting) == (130, 0)


async def refuse(url: str) -> str:
    with pytest.raises(UrlError):
        parse_postgresql_url(url)
    with pytest.raises(DatabaseError) as caught:
        await open_database(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sslmode=on", "sslmode must be one of disable, allow, prefer, require, verify-ca, "),
        ("sslmode=", "sslmode must not be empty"),
        ("sslmode=require&sslmode=disable", "sslmode must be given once"),
        ("sslrootcert=/no/such/file", "sslrootcert cannot be read: No such file"),
        ("sslrootcert=/tmp", "sslrootcert cannot be read: Is a directory"),
        (f"sslrootcert={__file__}", "sslrootcert must be a file of certificates in PEM"),
        ("sslrootcert=system&sslmode=require", "sslrootcert=system needs sslmode=verify-full"),
        ("sslcert=/no/such/file", "sslcert cannot be read: No such file"),
        (f"sslkey={__file__}", "sslkey needs sslcert"),
        ("connect_timeout=0", "connect_timeout must be a whole number from 1 to 600"),
        ("connect_timeout=2.5", "connect_timeout must be a whole number"),
        ("connect_timeout=9999999999", "connect_timeout must be a whole number"),
        ("statement_cache_size=-1", "statement_cache_size must be a whole number from 0 to 10000"),
        ("target_session_attrs=standby", "target_session_attrs must be one of any, read-write, "),
        ("application_name=%C3%A9", "application_name must be 1 to 63 printable ASCII"),
        *[(f"{name}=1", f"{name} is not supported; known: sslmode, sslrootcert, ") for name in (
            "options", "channel_binding", "sslcrl", "gssencmode", "keepalives", "ssl", "timeout",
            "command_timeout", "prepared_statement_cache_size", "foo", "SSLMODE", "sslmod")],
    ],
)  # fmt: skip
async def test_a_wrong_parameter_is_refused_by_its_name(query: str, expected: str):
    assert (await refuse(f"{BASE}?{query}")).startswith(f"storage.url: {expected}")


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_a_root_certificate_that_would_check_nothing_is_refused(folder: Path, mode: str):
    """libpq accepts it, and connects without TLS to whoever refuses TLS."""
    message = await refuse(f"{BASE}?sslmode={mode}&sslrootcert=system")

    assert f"sslrootcert checks nothing with sslmode={mode}" in message


async def test_no_part_of_a_password_is_taken_for_a_parameter_and_shown():
    for url in (
        "postgresql://user:pass?hunter@host/name",
        "postgresql://user:pass?a=b&hunter@host/name",
        "postgresql:///name?password=pass&hunter=1",
    ):
        assert "hunter" not in await refuse(url)
