"""The two roles of docs/operations.md, made by the SQL of that page on a real PostgreSQL."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from balance_gateway.domain.opening_balance_plans import PlanState
from balance_gateway.domain.writes import WriteOutcome
from balance_gateway.storage.audit_retention import RetentionRefused, prune
from balance_gateway.storage.audit_verification import verify_chains
from balance_gateway.storage.database import DatabaseError, open_database
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.ledger import SqlLedgerStore
from balance_gateway.storage.plans import SqlPlanStore
from balance_gateway.storage.write_probe import WriteProbe
from tests.storage.test_audit_chain import LEASE_S, end, intent
from tests.storage.test_plans import build_plan, part, row

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
#: The SQL of the administrator, and that of the owner.
BLOCKS = [
    block
    for block in re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if "gateway_writer" in block
]


def _url(server: str, user: str) -> str:
    url = make_url(server).set(username=user, database="gateway")
    return url.render_as_string(hide_password=False)


async def _run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in filter(None, map(str.strip, sql.split(";\n"))):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def server(postgresql_server: str) -> AsyncIterator[str]:
    """The URL of a server with the administrator's part done; undone afterwards."""
    await _run(postgresql_server, BLOCKS[0])
    yield postgresql_server
    await _run(
        postgresql_server,
        "DROP DATABASE gateway WITH (FORCE);\nDROP ROLE gateway_writer;\nDROP ROLE gateway_owner",
    )


async def test_the_writer_s_role_writes_and_cannot_tamper(
    server: str, clock: Any, account: Any
) -> None:
    await (await open_database(_url(server, "gateway_owner"))).aclose()
    await _run(_url(server, "gateway_owner"), BLOCKS[1])
    refused = (
        "UPDATE write_audit SET principal = 'eve'",
        "DELETE FROM write_audit",
        "TRUNCATE write_audit",
        "TRUNCATE writes CASCADE",
        "DELETE FROM writes",
        "DELETE FROM plan_rows",
        "DELETE FROM plans",
        "INSERT INTO write_audit SELECT * FROM write_audit"
        " ON CONFLICT (number) DO UPDATE SET principal = 'eve'",
        "ALTER TABLE write_audit DISABLE TRIGGER ALL",
        "ALTER TABLE write_audit ADD COLUMN x text",
        "DROP TRIGGER write_audit_no_change ON write_audit",
        "DROP FUNCTION write_audit_is_append_only CASCADE",
        "CREATE OR REPLACE FUNCTION write_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'",
        "DROP TABLE write_audit",
        "CREATE TABLE public.x (x text)",
        "UPDATE alembic_version SET version_num = '0001'",
        "SET session_replication_role = replica",
        "UPDATE audit_seals SET removed_in = 1",
        "DELETE FROM audit_seals",
        "INSERT INTO audit_seals VALUES ('acme', 1, 1, '', '', 1)",
    )

    database = await open_database(_url(server, "gateway_writer"))
    try:
        await WriteProbe(database).check()
        journal = SqlWriteJournal(database, clock)
        await journal.finish(end(await journal.begin(intent("w1"), lease_s=LEASE_S)))
        refused_plan = await SqlPlanStore(database, clock).add_part(
            build_plan(clock), part(row(1), row(2))
        )
        assert refused_plan.state is PlanState.REFUSED
        assert await SqlLedgerStore(database, clock).opening_balance(account) is None
        for statement in refused:
            async with database.connect() as connection:
                with pytest.raises(DBAPIError) as caught:
                    async with connection.begin():
                        await connection.execute(text(statement))
                assert getattr(caught.value.orig, "sqlstate", "") == "42501", statement
        async with database.connect() as connection:
            await connection.execute(text("SET balance_gateway.retention = 'on'"))
            with pytest.raises(DBAPIError, match="permission denied"):
                await connection.execute(text("DELETE FROM write_audit"))
        (chain,) = (await verify_chains(database)).chains
    finally:
        await database.aclose()

    assert (chain.rows, chain.broken) == (3, None)


async def test_only_the_owner_s_role_prunes_the_audit_log(
    server: str, clock: Any, tmp_path: Path
) -> None:
    owner = await open_database(_url(server, "gateway_owner"))
    await _run(_url(server, "gateway_owner"), BLOCKS[1])
    writer = await open_database(_url(server, "gateway_writer"))
    try:
        journal = SqlWriteJournal(writer, clock)
        for write_id in ("w1", "w2"):
            await journal.finish(
                end(await journal.begin(intent(write_id), lease_s=LEASE_S), WriteOutcome.REJECTED)
            )
        now = clock.advance(60)
        with pytest.raises(RetentionRefused, match="run this command with their owner"):
            await prune(writer, before=now, export=tmp_path / "1", now=now)
        (pruned,) = await prune(owner, before=now, export=tmp_path / "2", now=now)
        await journal.begin(intent("w3"), lease_s=LEASE_S)
        (chain,) = (await verify_chains(writer)).chains
    finally:
        await writer.aclose()
        await owner.aclose()

    assert (pruned.rows, chain.removed_rows, chain.rows, chain.broken) == (2, 2, 4, None)
    assert not (tmp_path / "1").exists()
    assert (tmp_path / "2").exists()


async def test_a_writer_before_the_owner_has_migrated_is_refused_with_advice(server: str) -> None:
    await _run(_url(server, "gateway_owner"), BLOCKS[1].splitlines()[0])

    with pytest.raises(DatabaseError, match="run 'balance-gateway migrate' as their owner"):
        await open_database(_url(server, "gateway_writer"))
