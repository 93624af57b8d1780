"""Tests the hash chain of the audit log: writing it, refusing changes, and finding forced ones."""

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import (
    SettledBy,
    Settlement,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.storage.audit import SqlAuditLog
from balance_gateway.storage.audit_chain import EMPTY_HASH, lock_chains
from balance_gateway.storage.audit_verification import verify_chains, verify_in
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_settlements import SqlWriteSettlements
from tests.storage.release_rows import FILES, open_with_rows

LEASE_S = 60
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def intent(write_id, *, tenant="acme", account="cash", key=None):
    return WriteIntent(
        id=write_id,
        tenant=tenant,
        account_id=f"acct_{account}",
        remote_account=f"remote {account}",
        connector="books",
        principal="the key of Søren",
        amount=Money(12345, "EUR"),
        effective_at=None,
        memo="Åbning ✓",
        reference_number=None,
        idempotency_key=key,
        fingerprint="f",
        previous=None,
        started_at=NOW,
    )


def end(record, outcome=WriteOutcome.UNCERTAIN):
    return replace(record, outcome=outcome, finished_at=NOW, error_code="PROVIDER_TIMEOUT")


@pytest.fixture
def journal(database, clock):
    return SqlWriteJournal(database, clock)


@pytest.fixture
async def five_rows(journal):
    """Rows 1, 2, 4, 5 and 6 are of acme, row 3 of another tenant."""
    first = await journal.begin(intent("w1"), lease_s=LEASE_S)
    await journal.finish(end(first, WriteOutcome.REJECTED))
    await journal.begin(intent("o1", tenant="other", account="theirs"), lease_s=LEASE_S)
    second = await journal.begin(intent("w2"), lease_s=LEASE_S)
    await journal.finish(end(second))
    await journal.begin(intent("w3"), lease_s=LEASE_S)


async def _drop_triggers(database, connection):
    names = ["no_change"]
    if database.is_sqlite:
        names = ["no_update", "no_delete", "no_replace", "numbers"]
    for name in names:
        of_table = "" if database.is_sqlite else " ON write_audit"
        await connection.execute(text(f"DROP TRIGGER write_audit_{name}{of_table}"))


async def _copy_row(connection, original, changes):
    """Insert a copy with changes; its hash is computed if it should have one and none is given."""
    statement = text(f"SELECT * FROM write_audit WHERE number = {original}")
    values = {**(await connection.execute(statement)).one()._mapping, **changes}
    if values["hash"] == "computed":
        values["hash"] = _hash(values)
    columns, names = ", ".join(values), ", ".join(f":{name}" for name in values)
    await connection.execute(text(f"INSERT INTO write_audit ({columns}) VALUES ({names})"), values)


async def _run(connection, *statements):
    for statement in statements:
        await connection.execute(text(statement))


def _hash(row):
    """Hash a row as the documentation says, without the code of the product."""
    members = {k: v for k, v in row.items() if v is not None and k not in ("hash", "number")}
    members["verified"] = bool(members["verified"])
    form = json.dumps(dict(sorted(members.items())), separators=(",", ":"))
    return hashlib.sha256(form.encode()).hexdigest()


#: Changes by force: the first broken row of acme, and a word of the reason.
_TAMPERED = {
    "an amount": ("UPDATE write_audit SET intended = replace(intended, '123', '124')"
                  " WHERE number = 2", 2, "changed"),
    "a principal": ("UPDATE write_audit SET principal = 'eve' WHERE number = 4", 4, "changed"),
    "a time": ("UPDATE write_audit SET at = '' WHERE number = 6", 6, "changed"),
    "a flag": ("UPDATE write_audit SET verified = NOT verified WHERE number = 1", 1, "changed"),
    "an added value": ("UPDATE write_audit SET note = 'x' WHERE number = 5", 5, "changed"),
    "a lost value": ("UPDATE write_audit SET error_code = NULL WHERE number = 2", 2, "changed"),
    "a tenant": ("UPDATE write_audit SET tenant = 'third' WHERE number = 2", 4, "removed"),
    "a hash": (f"UPDATE write_audit SET hash = '{EMPTY_HASH}' WHERE number = 4", 4, "changed"),
    "no hash": ("UPDATE write_audit SET hash = NULL, sequence = NULL"
                " WHERE number = 4", 4, "no hash"),
    "a removed row": ("DELETE FROM write_audit WHERE number = 4", 5, "removed"),
    "a removed first row": ("DELETE FROM write_audit WHERE number = 1", 2, "removed"),
    "two swapped rows": ("UPDATE write_audit SET number = -2 WHERE number = 2;"
                         "UPDATE write_audit SET number = 2 WHERE number = 4;"
                         "UPDATE write_audit SET number = 4 WHERE number = -2", 2, "moved"),
    "a swapped sequence": ("UPDATE write_audit SET sequence = 99 WHERE number = 2;"
                           "UPDATE write_audit SET sequence = 2 WHERE number = 4;"
                           "UPDATE write_audit SET sequence = 3 WHERE number = 2", 2, "moved"),
}  # fmt: skip


async def test_every_forced_change_of_a_row_is_named(database, five_rows):
    found = {}
    for name, (statements, _, _) in _TAMPERED.items():
        async with database.connect() as connection, connection.begin() as transaction:
            await _drop_triggers(database, connection)
            await _run(connection, *statements.split(";"))
            result = await verify_in(connection)
            (chain,) = (chain for chain in result.chains if chain.tenant == "acme")
            found[name] = chain.broken
            await transaction.rollback()
    whole = await verify_chains(database)

    assert {name: broken and broken.number for name, broken in found.items()} == {
        name: number for name, (_, number, _) in _TAMPERED.items()
    }
    for name, (_, _, reason) in _TAMPERED.items():
        assert reason in found[name].reason, name
    assert [(chain.tenant, chain.rows, chain.broken) for chain in whole.chains] == [
        ("acme", 5, None),
        ("other", 1, None),
    ]


async def test_an_inserted_row_is_named_wherever_it_is_inserted(database, five_rows):
    unchained = {"sequence": None, "hash": None, "previous_hash": None}
    forged = {"number": 7, "sequence": 6, "principal": "eve", "hash": "computed"}
    inserted = {
        "without a hash": {"number": 7, **unchained},
        "with a copied hash": {"number": 7, "sequence": 6},
        "of another chain": {**forged, "previous_hash": EMPTY_HASH},
        "before the chain": {"number": -7, **unchained},
    }
    found = {}
    for name, changes in inserted.items():
        async with database.connect() as connection, connection.begin() as transaction:
            await _drop_triggers(database, connection)
            await _copy_row(connection, 6, changes)
            found[name] = (await verify_in(connection, tenant="acme")).chains[0].broken
            await transaction.rollback()

    assert {name: broken and broken.number for name, broken in found.items()} == {
        "without a hash": 7,
        "with a copied hash": 7,
        "of another chain": 7,
        "before the chain": 1,
    }


async def test_a_cut_end_is_found_by_a_head_that_was_noted(database, five_rows):
    before = await verify_chains(database)
    heads = [chain.head for chain in before.chains]

    async with database.connect() as connection, connection.begin() as transaction:
        await _drop_triggers(database, connection)
        await _run(connection, "DELETE FROM write_audit WHERE number > 4")
        unnoticed = await verify_in(connection)
        cut = await verify_in(connection, heads=heads)
        await _run(connection, "DELETE FROM write_audit")
        gone = await verify_in(connection, heads=heads)
        await transaction.rollback()

    assert [chain.broken for chain in unnoticed.chains] == [None, None]
    assert cut.missing_heads == [heads[0]]
    assert (gone.chains, gone.missing_heads) == ([], sorted(heads))
    assert (await verify_chains(database, heads=heads)).missing_heads == []


async def test_a_write_that_differs_from_its_audit_row_is_named(database, five_rows):
    """Repeats of an idempotency key and comparisons read the journal, which can be updated."""
    changes = {
        "outcome": "UPDATE writes SET outcome = 'applied' WHERE id = 'w2'",
        "amount": "UPDATE writes SET minor_units = '99999' WHERE id = 'w2'",
        "no amount": "UPDATE writes SET minor_units = 'x' WHERE id = 'w2'",
        "currency": "UPDATE writes SET currency = 'SEK' WHERE id = 'w2'",
        "memo": "UPDATE writes SET memo = NULL WHERE id = 'w2'",
        "applied": "UPDATE writes SET applied = '{}' WHERE id = 'w2'",
        "account": "UPDATE writes SET account_id = 'x' WHERE id = 'w2'",
        "an audit row is gone": "DELETE FROM write_audit WHERE number = 5",
        "all are gone": "DELETE FROM write_audit WHERE write_id = 'w2'",
    }
    found = {}
    for name, statement in changes.items():
        async with database.connect() as connection, connection.begin() as transaction:
            await _drop_triggers(database, connection)
            await _run(connection, statement)
            found[name] = (await verify_in(connection)).differing_writes
            await transaction.rollback()

    assert found == {name: ["w2"] for name in changes}
    assert (await verify_chains(database)).differing_writes == []


async def test_an_auditor_can_verify_the_rows_without_the_gateway(database, five_rows):
    async with database.read_transaction() as connection:
        rows = await connection.execute(text("SELECT * FROM write_audit ORDER BY number"))
        ours = [dict(row._mapping) for row in rows if row.tenant == "acme"]

    assert [row["sequence"] for row in ours] == [1, 2, 3, 4, 5]
    assert [row["hash"] for row in ours] == [_hash(row) for row in ours]
    assert [row["previous_hash"] for row in ours] == [EMPTY_HASH, *(row["hash"] for row in ours)][
        :5
    ]
    assert {row["principal"] for row in ours} == {"the key of Søren"}


async def test_a_settlement_is_in_the_chain_with_its_principal(database, journal, five_rows):
    settled = replace(
        end(WriteRecord(intent("w2"), WriteOutcome.UNCERTAIN), WriteOutcome.REJECTED),
        settlement=Settlement(SettledBy.PERSON, NOW, "the key of Bob", "seen at the bank"),
    )

    assert await SqlWriteSettlements(database).settle(settled, last=None)

    newest, *_ = await SqlAuditLog(database).rows("acme")
    assert (newest.sequence, newest.principal) == (6, "the key of Bob")
    chain, _ = (await verify_chains(database)).chains
    assert (chain.rows, chain.head, chain.broken) == (6, newest.hash, None)


async def test_the_first_row_seals_the_rows_of_an_earlier_release(url, clock):
    changes = {
        "changed": "UPDATE write_audit SET principal = 'eve' WHERE number = 3",
        "removed": "DELETE FROM write_audit WHERE number = 1",
    }
    found = {}
    path = FILES[0]
    async with open_with_rows(url, path) as database:
        before = await verify_chains(database, tenant="acme")
        await SqlWriteJournal(database, clock).begin(intent("new"), lease_s=LEASE_S)
        newest, *_ = await SqlAuditLog(database).rows("acme")
        after = await verify_chains(database, tenant="acme")
        assert (await verify_chains(database)).differing_writes == []
        for name, statement in changes.items():
            async with database.connect() as connection, connection.begin() as transaction:
                await _drop_triggers(database, connection)
                await _run(connection, statement)
                found[name] = (await verify_in(connection, tenant="acme")).chains[0].broken
                await transaction.rollback()

    (old,), (chain,) = before.chains, after.chains
    assert (old.rows, old.head, old.broken) == (0, None, None)
    assert (chain.rows, chain.earlier_rows, chain.broken) == (1, old.earlier_rows, None)
    assert old.earlier_rows > 20
    assert {broken and broken.number for broken in found.values()} == {newest.number}
    assert "earlier rows" in found["changed"].reason


async def test_writers_of_several_processes_do_not_fork_a_chain(
    database, other_database, journal, clock
):
    """Accounts that two tenants share have expired leases, so that writers lock both chains."""
    shared = range(6)
    for number in shared:
        tenant = ("acme", "other")[number % 2]
        await journal.begin(intent(f"o{number}", tenant=tenant, account=number), lease_s=LEASE_S)
    clock.advance(LEASE_S + 1)
    journals = (journal, SqlWriteJournal(other_database, clock))

    async def write(number):
        tenant = ("other", "acme")[number % 2]
        new = intent(f"n{number}", tenant=tenant, account=number, key=f"key {number}")
        began = await journals[number % 2].begin(replace(new, started_at=clock()), lease_s=LEASE_S)
        await journals[(number + 1) % 2].finish(end(began, WriteOutcome.REJECTED))

    await asyncio.gather(*(write(number) for number in range(20)))

    chains = (await verify_chains(database)).chains
    assert [chain.broken for chain in chains] == [None, None]
    # Begun and finished of 20, and begun and expired of the shared ones.
    assert sum(chain.rows for chain in chains) == 20 * 2 + len(shared) * 2


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_other_tenants_do_not_wait_for_a_locked_chain(database, other_database, clock):
    async with database.write_transaction() as connection:
        await lock_chains(database, connection, ["acme"])
        other = SqlWriteJournal(other_database, clock)
        ours = asyncio.create_task(other.begin(intent("w1"), lease_s=LEASE_S))

        theirs = intent("o1", tenant="other", account="theirs")
        await other.begin(theirs, lease_s=LEASE_S)
        was_done = ours.done()

    assert not was_done
    assert (await ours).intent.id == "w1"


_COPY = "SELECT {columns} FROM write_audit WHERE number = 2"
_COLUMNS = (
    "number, at, event, tenant, account_id, principal, write_id, intended, outcome, verified,"
    " sequence, hash"
)
_INSERT = f"INTO write_audit ({_COLUMNS}) " + _COPY.format(columns=_COLUMNS)
_RENUMBERED = _INSERT.replace("SELECT number,", "SELECT 70,")
_UPSERT = "ON CONFLICT ({}) DO UPDATE SET principal = 'eve'"
_REFUSED = {
    "both": (
        "UPDATE write_audit SET principal = 'eve' WHERE number = 1",
        "DELETE FROM write_audit WHERE number = 1",
        f"INSERT {_INSERT} AND true {_UPSERT.format('number')}",
        f"INSERT {_RENUMBERED} AND true {_UPSERT.format('tenant, sequence')}",
    ),
    "sqlite": (
        f"INSERT OR REPLACE {_INSERT}",
        f"REPLACE {_INSERT}",
        f"REPLACE {_INSERT.replace('number,', 'rowid,', 1)}",
        f"REPLACE {_INSERT.replace(', sequence', '')}",
        f"REPLACE {_RENUMBERED}",
        "UPDATE OR REPLACE write_audit SET number = 1 WHERE number = 2",
        f"INSERT {_INSERT.replace('SELECT number,', 'SELECT -1,').replace(', sequence', '')}",
    ),
    "postgresql": (
        "TRUNCATE write_audit",
        "TRUNCATE writes CASCADE",
        "SET LOCAL session_replication_role = replica; DELETE FROM write_audit",
    ),
}


async def test_the_database_refuses_every_way_to_change_a_row(database, five_rows):
    """REPLACE deletes a row without firing SQLite's DELETE trigger."""
    kind = "sqlite" if database.is_sqlite else "postgresql"
    for statements in (*_REFUSED["both"], *_REFUSED[kind]):
        async with database.connect() as connection:
            with pytest.raises(DBAPIError) as caught:
                async with connection.begin():
                    await _run(connection, *statements.split("; "))
            assert "the audit log" in str(caught.value.orig), statements

    chain, _ = (await verify_chains(database)).chains
    assert (chain.rows, chain.broken) == (5, None)
