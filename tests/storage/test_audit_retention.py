"""Retention of the audit log: what goes, what stays, and that file and rest can be verified."""

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from balance_gateway.domain.audit import AuditEvent, RemovedRows
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.money import Money
from balance_gateway.domain.opening_balance_plans import RowOutcome
from balance_gateway.domain.writes import SettledBy, Settlement, WriteOutcome
from balance_gateway.ports.audit_log import AuditFilter
from balance_gateway.storage.audit_export import UnreadableExport, format_header, format_removed
from balance_gateway.storage.audit_pages import SqlAuditPages
from balance_gateway.storage.audit_retention import RetentionRefused, prune
from balance_gateway.storage.audit_verification import verify_chains, verify_export, verify_in
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_settlements import SqlWriteSettlements
from balance_gateway.storage.plans import SqlPlanStore
from tests.storage.test_audit_chain import LEASE_S, _drop_triggers, _hash, end, intent
from tests.storage.test_plans import make_ready, row

APPLIED = OpeningBalance(Money(12345, "EUR"), None, OpeningBalanceSource.PROVIDER)

#: Removes with the arguments URL and file, and stops before or after the row of the removal.
PRUNE_AND_HANG = """
import asyncio, sys
from datetime import datetime, UTC
from pathlib import Path
from balance_gateway.storage import audit_retention
from balance_gateway.storage.database import open_database

async def hang(*_arguments):
    print("removed", flush=True)
    sys.stdin.readline()

async def main():
    audit_retention.add_seals = hang
    database = await open_database(sys.argv[1])
    now = datetime.now(UTC)
    await audit_retention.prune(database, before=now, export=Path(sys.argv[2]), now=now)

asyncio.run(main())
"""


#: Seals the two rows of a write as if the removal had been of them too.
MADE_UP_SEAL = """INSERT INTO audit_seals SELECT a.tenant, a.sequence, b.sequence, a.previous_hash,
    b.hash, (SELECT max(sequence) FROM write_audit WHERE event = 'pruned' AND tenant = 'acme')
    FROM write_audit AS a JOIN write_audit AS b ON b.write_id = a.write_id AND b.number > a.number
    WHERE a.write_id = 'a3-only'"""


async def forge(database, write_id, event):
    """Return the statement that changes a row and gives it the right hash."""
    look = text("SELECT * FROM write_audit WHERE write_id = :write_id AND event = :event")
    async with database.read_transaction() as connection:
        row = (await connection.execute(look, {"write_id": write_id, "event": event})).one()
    new_hash = _hash({**row._mapping, "principal": "eve"})
    changes = f"principal = 'eve', hash = '{new_hash}'"
    return f"UPDATE write_audit SET {changes} WHERE number = {row.number}"


class Log:
    """Writes to a journal as callers do."""

    def __init__(self, database, clock):
        self.database, self.clock = database, clock
        self.journal = SqlWriteJournal(database, clock)

    async def write(self, write_id, outcome, account="cash", **more):
        record = await self.journal.begin(
            intent(write_id, account=account, **more), lease_s=LEASE_S
        )
        if outcome is WriteOutcome.APPLIED:
            record = replace(record, applied=APPLIED, finished_at=self.clock(), outcome=outcome)
        else:
            record = end(record, outcome)
        await self.journal.finish(record)

    async def prune(self, path):
        now = self.clock()
        return await prune(self.database, before=now - timedelta(days=30), export=path, now=now)

    async def list_writes(self):
        async with self.database.read_transaction() as connection:
            rows = await connection.execute(text("SELECT id FROM writes ORDER BY id"))
            return [row.id for row in rows]

    async def list_entries(self, page=3):
        pages, after = SqlAuditPages(self.database), None
        entries = []
        while found := await pages.page("acme", AuditFilter(), page, after, oldest_first=True):
            entries += found
            after = found[-1].number
        return entries


@pytest.fixture
async def log(database, clock):
    """Old writes of every kind, and a new one after 40 days."""
    log = Log(database, clock)
    await log.write("a1", WriteOutcome.APPLIED)
    await log.write("a2-last", WriteOutcome.APPLIED)
    await log.write("r1", WriteOutcome.REJECTED)
    await log.write("u1-unsettled", WriteOutcome.UNCERTAIN, "card")
    await log.write("a3-only", WriteOutcome.APPLIED, "savings")
    await log.write("r2", WriteOutcome.REJECTED, "savings")
    await log.write("o1", WriteOutcome.REJECTED, "theirs", tenant="other")
    await log.write("o2", WriteOutcome.REJECTED, "theirs", tenant="other")
    clock.advance(40 * 86_400)
    await log.write("r3-new", WriteOutcome.REJECTED)
    return log


def write_export(path, entries, at):
    """Write the file as a client does, from the fields of the API."""
    lines = [format_header(at)]
    for entry in entries:
        lines += [format_removed("acme", seal) for seal in entry.removed_before]
        row = {**json.loads(entry.record), "number": entry.number, "hash": entry.hash}
        lines.append(json.dumps({"row": row}).encode() + b"\n")
    path.write_bytes(b"".join(lines))


async def test_what_is_old_is_exported_and_removed_and_the_rest_verifies(log, tmp_path):
    before = {entry.number: entry for entry in await log.list_entries()}
    heads = [chain.head for chain in (await verify_chains(log.database)).chains]
    acme, other = await log.prune(tmp_path / "1.jsonl")
    kept = await log.list_writes()
    entries = await log.list_entries(page=2)
    found = await verify_chains(log.database, heads=heads)
    exported = verify_export(tmp_path / "1.jsonl")

    assert kept == ["a2-last", "a3-only", "o2", "r2", "r3-new", "u1-unsettled"]
    assert (acme.rows, acme.writes, other.rows, other.writes) == (4, 2, 2, 1)
    assert [(one.rows, one.removed_rows, one.broken) for one in found.chains] == [
        (11, 4, None),
        (3, 2, None),
    ]
    assert (found.missing_heads, found.differing_writes) == ([], [])
    assert (await log.journal.last_applied("remote cash")).intent.id == "a2-last"
    assert [(one.rows, one.broken, one.begins_at) for one in exported.chains] == [
        (6, None, None),
        (2, None, None),
    ]
    rows = [json.loads(line) for line in (tmp_path / "1.jsonl").read_bytes().splitlines()[1:]]
    rows = [line["row"] for line in rows if line["row"]["tenant"] == "acme"]
    assert [row["hash"] for row in rows] == [entry.hash for entry in before.values()][:6]

    removal = entries[-1]
    assert (removal.event, removal.account_id, removal.write_id) == (AuditEvent.PRUNED, None, None)
    content = (tmp_path / "1.jsonl").read_bytes()
    assert hashlib.sha256(content).hexdigest() in removal.note
    assert {hashlib.sha256(one.record.encode()).hexdigest(): one.sequence for one in entries} == {
        one.hash: one.sequence for one in entries
    }

    # Once more, after the last applied write has a successor.
    await log.write("a4", WriteOutcome.APPLIED)
    log.clock.advance(40 * 86_400)
    again = await log.prune(tmp_path / "2.jsonl")
    nothing = await log.prune(tmp_path / "3.jsonl")
    found = await verify_chains(log.database, heads=heads[1:])

    assert "a2-last" not in await log.list_writes()
    assert [one.broken for one in found.chains] == [None, None]
    assert found.missing_heads == []
    assert [one.tenant for one in again] == ["acme"]
    assert (nothing, (tmp_path / "3.jsonl").exists()) == ([], False)
    exported = verify_export(tmp_path / "2.jsonl").chains[0]
    assert (exported.broken, exported.rows, exported.removed_rows) == (None, 10, 4)
    entries = await log.list_entries(page=2)
    assert [seal.last_sequence for seal in entries[0].removed_before] == [2, 4, 6]
    write_export(tmp_path / "log.jsonl", entries, log.clock())
    (exported,) = verify_export(tmp_path / "log.jsonl").chains
    assert (exported.broken, exported.removed_rows, exported.begins_at) == (None, 8, None)
    async with log.database.connect() as connection:
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.execute(text("DELETE FROM write_audit"))
    await log.write("r4", WriteOutcome.REJECTED)
    log.clock.advance(40 * 86_400)
    with pytest.raises(FileExistsError):
        await log.prune(tmp_path / "2.jsonl")
    # The newest row of all goes.
    (last,) = await log.prune(tmp_path / "4.jsonl")
    assert (last.writes, (await verify_chains(log.database)).chains[0].broken) == (1, None)


async def test_a_removal_waits_for_no_write_in_progress(
    postgresql_url, open_test_database, clock, tmp_path
):
    """It once waited for the write that its own row referred to, which waited for the chain."""
    async with open_test_database(postgresql_url) as database:
        log = Log(database, clock)
        await log.write("r1", WriteOutcome.REJECTED)
        await log.write("r2", WriteOutcome.REJECTED)
        clock.advance(40 * 86_400)
        await log.write("r3", WriteOutcome.REJECTED)
        async with database.write_transaction() as connection:
            await connection.execute(text("SELECT id FROM writes WHERE id = 'r3' FOR UPDATE"))
            async with asyncio.timeout(20):
                (pruned,) = await log.prune(tmp_path / "1.jsonl")

    assert (pruned.rows, pruned.writes) == (2, 1)


async def test_an_export_from_the_api_is_verified_by_itself(log, tmp_path):
    await log.prune(tmp_path / "pruned.jsonl")
    entries = await log.list_entries(page=2)
    path, head = tmp_path / "log.jsonl", entries[-1].hash
    changed = entries[3].record.replace('"the key of', '"the kex of')
    cases = {
        "whole": entries,
        "begun in the middle": entries[4:],
        "cut": entries[:-1],
        "a row changed": [*entries[:3], replace(entries[3], record=changed), *entries[4:]],
        "a row left out": [*entries[:3], *entries[4:]],
        "seals left out": [replace(one, removed_before=()) for one in entries],
        "a seal made up": [
            *entries[:4],
            replace(
                entries[5],
                removed_before=(replace_seal(entries[4], removed_in=entries[-1].sequence),),
            ),
            *entries[6:],
        ],
    }
    results = {}
    for name, some in cases.items():
        write_export(path, some, log.clock())
        result = verify_export(path, heads=[head])
        (chain,) = result.chains
        results[name] = (chain.broken and chain.broken.number, bool(result.missing_heads))

    assert results == {
        "whole": (None, False),
        "begun in the middle": (None, False),
        "cut": (None, True),
        "a row changed": (entries[3].number, True),
        "a row left out": (entries[4].number, True),
        "seals left out": (entries[2].number, True),
        "a seal made up": (entries[-1].number, True),
    }
    write_export(path, entries[4:], log.clock())
    assert verify_export(path).chains[0].begins_at == entries[4].number


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"row":{"number":1,"number":2,"tenant":"acme"}}\n', "line 2 is not a whole line"),
        (b'{"row":{"number":1}}\n', "line 2 is neither a row nor a seal"),
        (b'{"removed":{"tenant":"acme","first_sequence":"1"}}\n', "line 2 is not a seal"),
        (b'{"row":{}', "line 2 is not a whole line"),
    ],
)
def test_a_malformed_line_of_an_export_is_named(tmp_path, line, problem):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"format":"balance-gateway-audit","version":1}\n' + line)
    other = tmp_path / "other.jsonl"
    other.write_bytes(line)

    with pytest.raises(UnreadableExport, match=problem):
        verify_export(path)
    with pytest.raises(UnreadableExport, match="line 1 is not"):
        verify_export(other)


def replace_seal(entry, **changes):
    """Return a seal for one entry that is still there."""
    values = (entry.sequence, entry.sequence, entry.previous_hash, entry.hash)
    return replace(RemovedRows(*values, 0), **changes)


async def test_changed_seals_and_kept_rows_are_named(log, tmp_path):
    await log.prune(tmp_path / "1.jsonl")
    numbers = {entry.event: entry.number for entry in await log.list_entries()}
    removal = numbers[AuditEvent.PRUNED]
    forged = await forge(log.database, "a2-last", "finished")
    tampered = {
        "a seal's end": "UPDATE audit_seals SET last_hash = previous_hash WHERE tenant = 'acme'",
        "a seal's place": "UPDATE audit_seals SET removed_in = 4 WHERE tenant = 'acme'",
        "a lost seal": "DELETE FROM audit_seals WHERE tenant = 'acme'",
        "a kept row": "UPDATE write_audit SET principal = 'eve' WHERE write_id = 'a3-only'",
        "a kept row with a new hash": forged,
        "a made-up seal": f"{MADE_UP_SEAL}; DELETE FROM write_audit WHERE write_id = 'a3-only'",
        "a removed kept row": "DELETE FROM write_audit WHERE write_id = 'a3-only'",
        "the removal": f"UPDATE write_audit SET note = '{{}}' WHERE number = {removal}",
        "no removal": f"DELETE FROM write_audit WHERE number = {removal}",
    }
    found = {}
    for name, statement in tampered.items():
        async with log.database.connect() as connection, connection.begin() as transaction:
            await _drop_triggers(log.database, connection)
            for change in ("update", "delete"):
                if log.database.is_sqlite:
                    await connection.execute(text(f"DROP TRIGGER audit_seals_no_{change}"))
            if not log.database.is_sqlite:
                await connection.execute(text("DROP TRIGGER audit_seals_no_change ON audit_seals"))
            for each in statement.split(";"):
                await connection.execute(text(each))
            found[name] = (await verify_in(connection, tenant="acme")).chains[0].broken
            await transaction.rollback()
    refused = []
    for statement in ("DELETE FROM audit_seals", "UPDATE audit_seals SET removed_in = 1"):
        async with log.database.connect() as connection:
            with pytest.raises(DBAPIError, match="append-only"):
                await connection.execute(text(statement))
            refused.append(statement)

    assert {name: broken is not None for name, broken in found.items()} == dict.fromkeys(
        tampered, True
    )
    assert (found["the removal"].number, found["a made-up seal"].number) == (removal, removal)
    assert len(refused) == 2


async def test_a_log_that_is_not_whole_is_not_pruned(log, tmp_path):
    async with log.database.write_transaction() as connection:
        await connection.execute(text("UPDATE writes SET memo = 'x' WHERE id = 'r1'"))

    with pytest.raises(RetentionRefused, match="is not whole"):
        await log.prune(tmp_path / "1.jsonl")

    assert not (tmp_path / "1.jsonl").exists()


async def test_a_kill_before_the_commit_removes_nothing(
    log, url, child, open_test_database, tmp_path
):
    writes, entries = await log.list_writes(), await log.list_entries()
    await log.database.aclose()
    path = tmp_path / "1.jsonl"
    pruning = child(PRUNE_AND_HANG, url, str(path))
    assert pruning.read_line() == "removed"
    pruning.kill()

    async with open_test_database(url) as database:
        log = Log(database, log.clock)
        assert (await log.list_writes(), await log.list_entries()) == (writes, entries)
        assert [one.broken for one in (await verify_chains(database)).chains] == [None, None]
        async with database.connect() as connection:
            with pytest.raises(DBAPIError, match="append-only"):
                await connection.execute(text("DELETE FROM write_audit"))
        assert [one.broken for one in verify_export(path).chains] == [None, None]
        await log.prune(tmp_path / "2.jsonl")
        assert len(await log.list_writes()) == 6


async def test_the_writes_of_a_plan_that_is_applied_stay_with_its_entries(log, clock, tmp_path):
    """Without its key in the journal, a row of a plan would be sent again."""
    store = SqlPlanStore(log.database, clock)
    rows = [row(line, str(line)) for line in (1, 2, 3, 4)]
    ready = await make_ready(store, clock, *rows, needs_approval=False)
    plan = await store.start(ready, "carol", clock())
    await log.write("begun", WriteOutcome.REJECTED, "1", key="plan:p1:1")
    await log.write("recorded", WriteOutcome.REJECTED, "2")
    await log.write("settled", WriteOutcome.UNCERTAIN, "3")
    done = replace(rows[1], outcome=RowOutcome.REJECTED, write_id="recorded")
    await store.record_outcome("p1", done)
    await store.record_outcome(
        "p1", replace(rows[2], outcome=RowOutcome.UNCERTAIN, write_id="settled")
    )
    settlements = SqlWriteSettlements(log.database)
    unsettled = {each.intent.id: each for each in await settlements.unsettled()}["settled"]
    settlement = Settlement(SettledBy.PERSON, clock(), "bob", "Seen.")
    rejected = replace(unsettled, outcome=WriteOutcome.REJECTED, settlement=settlement)
    assert await settlements.settle(rejected, last=None)
    of_plan = {"begun", "recorded", "settled"}
    clock.advance(40 * 86_400)
    await log.prune(tmp_path / "1.jsonl")
    while_applied = await log.list_writes()
    for line in (1, 4):
        await store.record_outcome("p1", replace(rows[line - 1], outcome=RowOutcome.REJECTED))
    await store.finish(plan, clock())
    await log.prune(tmp_path / "2.jsonl")
    entries = await log.list_entries()
    write_export(tmp_path / "3.jsonl", entries, clock())
    head = entries[-1].hash
    found = await verify_chains(log.database, heads=[head])
    exported = verify_export(tmp_path / "3.jsonl", heads=[head])

    assert of_plan <= set(while_applied)
    # The report shows how the uncertain row was settled.
    assert of_plan & set(await log.list_writes()) == {"settled"}
    steps = [entry.event.value for entry in entries if entry.plan_id == "p1"]
    assert steps == ["plan_made", "plan_applied", "plan_finished"]
    for result in (found, exported):
        assert [chain.broken for chain in result.chains if chain.tenant == "acme"] == [None]
        assert result.missing_heads == []
