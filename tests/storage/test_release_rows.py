"""Rows that earlier releases stored are read by this one, in place and completely."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.balances import OpeningBalanceSource
from balance_gateway.domain.writes import SettledBy, WriteOutcome
from balance_gateway.ports.audit_log import AuditFilter
from balance_gateway.storage.audit import SqlAuditLog
from balance_gateway.storage.audit_pages import SqlAuditPages
from balance_gateway.storage.audit_verification import verify_chains
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_format import IntendedValues
from balance_gateway.storage.journal_settlements import SqlWriteSettlements
from tests.storage.release_rows import (
    ASSET_KWD,
    CHANGES_0_1_0,
    FILES,
    LAYER_USD,
    LIGHT_EUR,
    LOCAL_CLF,
    SETTLED_0_1_0,
    WRITES_0_1_0,
    at,
    open_with_rows,
    read_file,
)

(FILE_0_1_0,) = (path for path in FILES if path.name == "release_0_1_0.json")
NOT_OF_WRITES = {"pruned", "plan_made", "plan_approved", "plan_applied", "plan_finished"}
RECORDS = {record.intent.id: record for record in WRITES_0_1_0}


@pytest.fixture
async def database(url):
    async with open_with_rows(url, FILE_0_1_0) as database:
        yield database


@pytest.fixture
def journal(database, clock):
    return SqlWriteJournal(database, clock)


async def test_every_write_has_its_values(journal):
    found = [await journal._read_record(write_id) for write_id in RECORDS]

    assert found == WRITES_0_1_0
    # Equal instants may differ in their offset, and equal decimals in their digits.
    assert repr(found) == repr(WRITES_0_1_0)


async def test_stored_writes_are_found_like_new_ones(journal):
    keys = ["key-1", "key-2", "key-4", "key-5", "nøgle-6", "key-3"]

    by_key = [await journal.by_key("acme", key) for key in keys]
    last = [await journal.last_applied(a) for a in (LIGHT_EUR, ASSET_KWD, LAYER_USD, LOCAL_CLF)]
    unfinished = await journal.unfinished()
    unsettled = await journal.unsettled_since(at(16))

    ids = ["light-applied-1", "light-rejected-1", "light-started-1", "asset-uncertain-1"]
    # The rejection of key-3 was retryable, so the key is free.
    assert by_key == [*(RECORDS[write_id] for write_id in (*ids, "layer-applied-1")), None]
    ids = ["light-applied-2", "asset-applied-1", "layer-applied-1", "local-applied-2"]
    assert last == [RECORDS[write_id] for write_id in ids]
    assert unfinished == [RECORDS["light-started-1"], RECORDS["asset-started-1"]]
    ids = ["asset-uncertain-1", "asset-expired-1", "asset-started-1"]
    assert [write.id for write in unsettled] == ids


async def test_a_stored_unfinished_write_can_be_finished(journal, database):
    started = RECORDS["light-started-1"]
    finished = replace(started, outcome=WriteOutcome.UNCERTAIN, finished_at=at(200))

    await journal.finish(finished)

    assert await journal.by_key("acme", "key-4") == finished
    (newest,) = await SqlAuditLog(database).rows("acme", limit=1)
    assert (newest.write_id, newest.event) == ("light-started-1", AuditEvent.FINISHED)


async def test_every_audit_row_has_its_values(database):
    log = SqlAuditLog(database)
    rows = sorted([*await log.rows("acme"), *await log.rows("other")], key=lambda row: row.number)

    assert [row.number for row in rows] == [*range(1, len(CHANGES_0_1_0) + 1)]
    assert [(row.write_id, row.event, row.at) for row in rows] == [
        (write_id, event, at(seconds)) for write_id, event, seconds in CHANGES_0_1_0
    ]
    for row in rows:
        record = RECORDS[row.write_id]
        intent = record.intent
        is_last = row.outcome is record.outcome and row.event is not AuditEvent.DISREGARDED
        assert (row.account_id, row.principal) == (intent.account_id, intent.principal)
        assert repr(row.previous) == repr(intent.previous)
        assert row.intended == IntendedValues(
            intent.amount, intent.effective_at, intent.memo, intent.reference_number
        )
        assert repr(row.applied) == repr(record.applied if is_last else None)
        assert row.verified == (record.verified and is_last)
        if is_last:
            assert (row.error_code, row.error_message) == (record.error_code, record.error_message)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_the_rows_of_every_release_are_readable(url: str, path: Path):
    document = read_file(path)

    async with open_with_rows(url, path) as database:
        journal = SqlWriteJournal(database)
        records = [await journal._read_record(row["id"]) for row in document["writes"]]
        tenants = {row["tenant"] for row in document["writes"]}
        audited = [await SqlAuditLog(database).rows(tenant) for tenant in tenants]

    assert all(records)
    of_writes = [row for row in document["write_audit"] if row["event"] not in NOT_OF_WRITES]
    assert sum(map(len, audited)) == len(of_writes)


async def test_settlements_have_their_values(url):
    path = FILE_0_1_0.with_name("release_0_1_0_settled.json")
    async with open_with_rows(url, path) as database:
        journal, settlements = SqlWriteJournal(database), SqlWriteSettlements(database)
        found = [await journal._read_record(record.intent.id) for record in SETTLED_0_1_0]
        unsettled = await settlements.unsettled()
        newest, *_ = await SqlAuditLog(database).rows("acme")

    assert repr(found) == repr(SETTLED_0_1_0)
    assert unsettled == SETTLED_0_1_0[:1]
    assert (newest.principal, newest.note, newest.found) == ("bob", "nøte", found[0].found)


async def test_uncertain_rows_of_tables_before_settlements_are_unsettled(database):
    found = await SqlWriteSettlements(database).unsettled()

    assert [record.intent.id for record in found] == ["asset-uncertain-1", "asset-expired-1"]


async def test_a_pruned_log_is_whole_and_shows_its_removal(url):
    async with open_with_rows(url, FILE_0_1_0.with_name("release_0_1_0_pruned.json")) as database:
        (chain,) = (await verify_chains(database)).chains
        newest, *_ = await SqlAuditPages(database).page("acme", AuditFilter(), 10, None)

    assert (chain.broken, chain.rows, chain.removed_rows) == (None, 3, 2)
    assert (newest.event, newest.account_id) == (AuditEvent.PRUNED, None)


@pytest.mark.parametrize("enum", [WriteOutcome, AuditEvent, OpeningBalanceSource, SettledBy])
def test_every_stored_enum_value_is_in_the_rows_of_a_release(enum):
    """A renamed value makes older rows unreadable; a new one needs a row in a new file."""
    stored = set()
    for document in map(read_file, FILES):
        for row in (*document["writes"], *document["write_audit"]):
            stored |= {row["outcome"], row.get("event"), row.get("settled_how")}
            for opening in (row["previous"], row["applied"]):
                stored |= set() if opening is None else {json.loads(opening)["source"]}

    assert {member.value for member in enum} <= stored
