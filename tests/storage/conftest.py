"""Fixtures: every test that uses `url` runs on a real SQLite file and a real PostgreSQL."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.storage.database import Database, open_database
from balance_gateway.storage.ledger import SqlLedgerStore
from tests.preloaded_processes import PreloadedProcess
from tests.servers import run_postgresql


class FakeClock:
    """A clock that changes only through ``advance``."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


def _make_account(account_id: str = "acct_cash", currency: str = "EUR", **more: object) -> Account:
    fields = {
        "id": account_id,
        "tenant": "acme",
        "connector": "books",
        "provider": ProviderKind.LOCAL,
        "name": "Cash",
        "currency": currency,
        "time_zone": ZoneInfo("Europe/Copenhagen"),
    }
    return Account(**{**fields, **more})  # type: ignore[arg-type]


class Child:
    """A child process that runs Python code with the arguments in `sys.argv`."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = PreloadedProcess(arguments, environment=os.environ, code=code)

    def read_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send_line(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> int:
        self.process.communicate()
        return self.process.returncode


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def account() -> Account:
    return _make_account()


@pytest.fixture
def make_account() -> Callable[..., Account]:
    return _make_account


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(code: str, *arguments: str) -> Child:
        children.append(Child(code, *arguments))
        return children[-1]

    yield start

    for started in children:
        started.kill()


@pytest.fixture(scope="session")
def postgresql_process() -> Iterator[Any]:
    """A PostgreSQL server that runs until the tests end."""
    with run_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server(postgresql_process: Any) -> str:
    """The URL of the server's default database."""
    url: str = postgresql_process.get_uri()
    return url


async def _clear_database(url: str) -> None:
    """Drop all tables of a database and end all other connections."""
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.execute("DROP SCHEMA public CASCADE")
        await connection.execute("CREATE SCHEMA public")
    finally:
        await connection.close()


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """The URL of an empty PostgreSQL database."""
    asyncio.run(_clear_database(postgresql_server))
    return postgresql_server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    postgresql: str = request.getfixturevalue("postgresql_url")
    return postgresql


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file; copying it takes a tenth of the CPU time of migrating."""
    path: Path = tmp_path_factory.mktemp("template") / "gateway.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """The name of a migrated database on the server of the tests."""
    asyncio.run(_clear_database(postgresql_server))
    asyncio.run(_migrate(postgresql_server))
    asyncio.run(_run_beside(postgresql_server, "CREATE DATABASE template TEMPLATE postgres"))
    return "template"


async def _migrate(url: str) -> None:
    await (await open_database(url)).aclose()


async def _run_beside(url: str, *statements: str) -> None:
    """Run statements while connected to another database of the server."""
    import asyncpg

    connection = await asyncpg.connect(url, database="template1")
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def migrated_url(url: str, request: pytest.FixtureRequest) -> str:
    """The same URL; its database now has all tables, as a copy of one that was migrated."""
    if url.startswith("sqlite:///"):
        template: Path = request.getfixturevalue("sqlite_template")
        shutil.copyfile(template, url.removeprefix("sqlite:///"))
    else:
        name: str = request.getfixturevalue("postgresql_template")
        # To copy files takes half as long as the other strategy, to write them to the log.
        create = f"CREATE DATABASE postgres TEMPLATE {name} STRATEGY file_copy"
        asyncio.run(_run_beside(url, "DROP DATABASE postgres WITH (FORCE)", create))
    return url


@asynccontextmanager
async def _open_test_database(url: str) -> AsyncIterator[Database]:
    database = await open_database(url)
    try:
        yield database
    finally:
        await database.aclose()


@pytest.fixture
def open_test_database() -> Callable[..., object]:
    return _open_test_database


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    async with _open_test_database(migrated_url) as database:
        yield database


@pytest.fixture
async def other_database(url: str, database: Database) -> AsyncIterator[Database]:
    """The same database opened a second time, as by another process."""
    async with _open_test_database(url) as other:
        yield other


@pytest.fixture
def store(database: Database, clock: FakeClock) -> SqlLedgerStore:
    return SqlLedgerStore(database, clock)
