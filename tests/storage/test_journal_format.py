"""The journal's documents: nothing is lost, and a newer or damaged one is refused."""

import json
from dataclasses import fields, replace
from decimal import Decimal

import pytest
from hypothesis import given
from sqlalchemy import text

from balance_gateway.domain.balances import (
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteIntent, WriteOutcome, WriteRecord
from balance_gateway.storage.audit import SqlAuditLog
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_format import (
    VERSION,
    IntendedValues,
    UnreadableRow,
    intended_from_text,
    intent_to_text,
    opening_balance_from_text,
    opening_balance_to_text,
    reading_row,
)
from tests.domain.balance_values import OPENINGS, fill

PLAIN = OpeningBalance(Money(5, "EUR"), None, OpeningBalanceSource.PROVIDER)


def rewrite(opening, **changes):
    """The document of an opening balance with changed fields."""
    return json.dumps({**json.loads(opening_balance_to_text(opening)), **changes})


@given(OPENINGS)
def test_opening_balances_survive_the_journal_exactly(opening):
    back = opening_balance_from_text(opening_balance_to_text(opening))

    # Equal instants may differ in their offset, and equal decimals in their digits.
    assert repr(back) == repr(opening)


@pytest.mark.parametrize(
    "own",
    [{"$decimal": "1.10"}, {"$decimal": "ten"}, {"$object": {}}, {"$object": {"$decimal": 1}}],
)
def test_an_object_of_the_provider_is_not_taken_for_a_notation(own):
    """A provider's `{"$decimal": "1.10"}` once became a number, and "ten" an unreadable row."""
    metadata = {"a": own, "b": [own], "c": Decimal("1.10"), **own}

    back = opening_balance_from_text(opening_balance_to_text(replace(PLAIN, metadata=metadata)))

    assert repr(back.metadata) == repr(metadata)


def test_no_field_of_an_opening_balance_is_forgotten():
    opening = fill(OpeningBalance)

    assert opening_balance_from_text(opening_balance_to_text(opening)) == opening


def test_no_requested_value_of_a_write_is_forgotten():
    intent = fill(WriteIntent)

    intended = intended_from_text(intent_to_text(intent))

    names = {field.name for field in fields(IntendedValues)}
    assert names == {field.name for field in fields(OpeningBalanceWrite)} - {"account"}
    assert {name: getattr(intended, name) for name in names} == {
        name: getattr(intent, name) for name in names
    }


async def test_no_field_of_a_write_is_forgotten(database, clock):
    record = fill(WriteRecord)
    journal = SqlWriteJournal(database, clock)

    await journal.begin(record.intent, lease_s=60)
    await journal.finish(record)

    assert await journal.by_key(record.intent.tenant, record.intent.idempotency_key) == record


def test_amounts_are_text_to_keep_all_digits():
    opening = replace(PLAIN, amount=Money(2**63 + 1, "EUR"))

    document = json.loads(opening_balance_to_text(opening))

    assert document["amount"] == {"minor_units": "9223372036854775809", "currency": "EUR"}


def test_documents_have_a_version():
    documents = [opening_balance_to_text(PLAIN), intent_to_text(fill(WriteIntent))]

    assert [json.loads(document)["version"] for document in documents] == [VERSION, VERSION]


@pytest.mark.parametrize("version", [None, 1, 2])
def test_absent_optional_fields_have_their_defaults(version):
    """A row of an older release has no value for a field that came later."""
    amount, effective_at = {"minor_units": "5", "currency": "EUR"}, "2026-01-01T00:00:00+00:00"
    document = {"amount": amount, "effective_at": effective_at, "source": "provider"}
    if version is not None:
        document["version"] = version

    opening = opening_balance_from_text(json.dumps(document))
    intended = intended_from_text(json.dumps(document))

    assert opening == replace(PLAIN, effective_at=opening.effective_at)
    assert intended == IntendedValues(PLAIN.amount, opening.effective_at)


def test_a_field_of_a_later_release_is_ignored_within_a_version():
    assert opening_balance_from_text(rewrite(PLAIN, colour="green")) == PLAIN


def test_a_newer_version_is_refused_and_named():
    newer = rewrite(PLAIN, version=VERSION + 1)

    for read in (opening_balance_from_text, intended_from_text):
        with pytest.raises(UnreadableRow, match=f"in version {VERSION + 1}.* up to {VERSION}:"):
            read(newer)


def test_a_source_of_a_newer_release_is_refused_and_named():
    with pytest.raises(UnreadableRow, match="'estimated' is no OpeningBalanceSource"):
        opening_balance_from_text(rewrite(PLAIN, source="estimated"))


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "7",
        "[]",
        "null",
        "{}",
        rewrite(PLAIN, version="2"),
        rewrite(PLAIN, version=True),
        rewrite(PLAIN, version=0),
        rewrite(PLAIN, amount=5),
        rewrite(PLAIN, amount={"minor_units": "5"}),
        rewrite(PLAIN, amount={"minor_units": "5.0", "currency": "EUR"}),
        rewrite(PLAIN, effective_at="then"),
        rewrite(PLAIN, tags=[{}]),
        rewrite(PLAIN, tags=7),
        rewrite(PLAIN, metadata=[1]),
        rewrite(PLAIN, metadata={"a": {"$decimal": "ten"}}),
        rewrite(PLAIN, metadata={"a": {"$object": 7}}),
    ],
)
def test_a_damaged_document_is_an_unreadable_row(damaged):
    with pytest.raises(UnreadableRow, match="row 7 is damaged"), reading_row("row 7"):
        opening_balance_from_text(damaged)


@pytest.mark.parametrize(
    "own",
    [{"$decimal": "ten"}, {"$decimal": 5}, {"$decimal": "1_0"}, {"$object": {"a": 1}}, {"x": {}}],
)
def test_version_1_keeps_a_provider_s_own_objects(own):
    """Version 1 did not mark an object that looks like a notation; reading it once failed."""
    stored = rewrite(PLAIN, version=1, metadata={"a": own, "b": {"$decimal": "1.10"}})

    opening = opening_balance_from_text(stored)

    assert opening.metadata == {"a": own, "b": Decimal("1.10")}


async def test_an_unreadable_row_is_named(database, clock):
    journal = SqlWriteJournal(database, clock)
    await journal.begin(fill(WriteIntent), lease_s=60)
    async with database.write_transaction() as connection:
        await connection.execute(text("UPDATE writes SET outcome = 'paused'"))

    with pytest.raises(UnreadableRow, match=r"row some id of writes: 'paused' is no WriteOutcome"):
        await journal.by_key("some tenant", "some idempotency_key")


async def test_an_unreadable_audit_row_is_named_and_can_be_passed(database, clock):
    """Its number continues after it: it does not hide all older rows."""
    journal = SqlWriteJournal(database, clock)
    record = await journal.begin(fill(WriteIntent), lease_s=60)
    columns = "at, tenant, account_id, principal, write_id, intended, outcome, verified"
    async with database.write_transaction() as connection:
        newer = f"INSERT INTO write_audit (event, {columns}) SELECT 'paused', {columns}"
        await connection.execute(text(f"{newer} FROM write_audit"))
    log = SqlAuditLog(database)

    with pytest.raises(UnreadableRow, match=r"row 2 of write_audit: 'paused' is no AuditEvent"):
        await log.rows("some tenant")

    (older,) = await log.rows("some tenant", before=2)
    assert (older.write_id, older.outcome) == (record.intent.id, WriteOutcome.STARTED)
