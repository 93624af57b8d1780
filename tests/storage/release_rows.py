"""Rows of earlier releases: the files in `rows`, how a database gets them, and what they mean.

A file has the raw column values that the release stored in SQLite. It was made once, by calling
`SqlWriteJournal` of that release with the values below, and is never made again or edited: a
release that stores something new adds a file of its own.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import Connection, text

from balance_gateway.domain.audit import AuditEvent
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource, Tag
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import (
    SettledBy,
    Settlement,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.storage import migrations
from balance_gateway.storage.database import Database, open_database
from balance_gateway.storage.database_url import parse_database_url

FILES = sorted((Path(__file__).parent / "rows").glob("release_*.json"))

#: The columns of the type BOOLEAN, which SQLite stores as 0 and 1.
_FLAGS = ("verified", "error_retryable")

LIGHT_EUR = "light:04df0ac7c8089debc3b0bdb3"
LIGHT_JPY = "light:c04162f1a343be4f1cd097b2"
ASSET_KWD = "asset:5bbbeed2f53ddf385163c34d"
LAYER_USD = "layer:37a5e64a1005a8c6c7430a71"
LOCAL_CLF = "local:local-clf"


def read_file(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@asynccontextmanager
async def open_with_rows(url: str, path: Path) -> AsyncIterator[Database]:
    """Store the rows in the tables of their release, then open the database with this one."""
    document = read_file(path)
    parsed, label, options = parse_database_url(url)
    old = Database(parsed, label=label, options=options)
    async with old.write_transaction() as connection:
        await connection.run_sync(_create_tables, document["tables"])
        for table in ("writes", "write_audit", "audit_seals"):
            for row in document.get(table, ()):
                values = {k: bool(v) if k in _FLAGS else v for k, v in row.items()}
                columns, names = ", ".join(values), ", ".join(f":{name}" for name in values)
                statement = f"INSERT INTO {table} ({columns}) VALUES ({names})"
                await connection.execute(text(statement), values)
        if not old.is_sqlite:
            # The rows have their numbers, so the sequence does not know them.
            last = document["write_audit"][-1]["number"]
            sequence = "pg_get_serial_sequence('write_audit', 'number')"
            await connection.execute(text(f"SELECT setval({sequence}, {last})"))
    await old.aclose()
    database = await open_database(url)
    try:
        yield database
    finally:
        await database.aclose()


def _create_tables(connection: Connection, revision: str) -> None:
    config = migrations._config()
    config.attributes["connection"] = connection
    with migrations.upgrade_lock:
        command.upgrade(config, revision)


def at(seconds: float) -> datetime:
    """The instant of a row, counted from the first call of the clock."""
    return datetime(2026, 5, 7, 9, 30, 0, 123456, tzinfo=UTC) + timedelta(seconds=seconds)


START = datetime(2026, 1, 1, tzinfo=UTC)
PROVIDER = OpeningBalanceSource.PROVIDER
RECORDED = OpeningBalanceSource.RECORDED_BY_GATEWAY
HUGE = 10**30 + 7
UNCERTAIN_TEXT = (
    "The provider may or may not have applied the opening balance; the write was not sent again."
    " Check the opening balance at the provider before you repeat the write."
)
LIGHT_BEFORE = OpeningBalance(Money(123456, "EUR"), START, RECORDED)
DERIVED = OpeningBalance(Money(0, "JPY"), START - timedelta(hours=1), OpeningBalanceSource.DERIVED)
LAYER_BEFORE = OpeningBalance(
    amount=Money(-100, "USD"),
    effective_at=datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=-5))),
    source=PROVIDER,
    created_at=datetime(2024, 12, 31, 1, 2, 3, tzinfo=UTC),
    metadata={},
)
LAYER_AFTER = OpeningBalance(
    amount=Money(2500, "USD"),
    effective_at=START,
    source=PROVIDER,
    created_at=LAYER_BEFORE.created_at,
    updated_at=at(85.5),
    memo="Åbning 2026 — „primo“ 💶",
    reference_number="R-2026/1",
    tags=(
        Tag(
            id="t-1",
            key="team",
            value="driftsafdeling",
            dimension_id="d-1",
            definition_id="f-1",
            dimension_display_name="Hold",
            value_display_name="Drift",
            archived_at=datetime(
                2025, 6, 1, 8, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))
            ),
        ),
        Tag("t-2", "区域", "東京", "d-2", "f-2"),
    ),
    metadata={
        "rate": Decimal("1.10"),
        "tiny": Decimal("1E-30"),
        "count": 2**70,
        "negative": -3,
        "nothing": None,
        "yes": True,
        "no": False,
        "ratio": 0.5,
        "list": [1, Decimal("0.00"), None, [True, {"inner": Decimal("-7.5")}]],
        "object": {"deep": {"text": "Ærø ✓"}, "empty": {}, "none": []},
        "": "no name",
    },
)
LOCAL_FIRST = OpeningBalance(
    amount=Money(HUGE, "CLF"),
    effective_at=datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC),
    source=PROVIDER,
    created_at=at(91.5),
    updated_at=at(91.5),
    memo="",
    reference_number="1",
)
LOCAL_SECOND = replace(
    LOCAL_FIRST,
    amount=Money(-HUGE, "CLF"),
    effective_at=START,
    updated_at=at(96),
    memo="zero \x00 and half a pair \ud83d",
    reference_number=None,
)


ACCOUNTS = {
    LIGHT_EUR: ("light-eur", "EUR"),
    LIGHT_JPY: ("light-jpy", "JPY"),
    ASSET_KWD: ("asset-kwd", "KWD"),
    LAYER_USD: ("layer-usd", "USD"),
    LOCAL_CLF: ("local-clf", "CLF"),
}
UNSURE = {
    "outcome": WriteOutcome.UNCERTAIN,
    "error_code": "PROVIDER_TIMEOUT",
    "error_message": UNCERTAIN_TEXT,
    "error_retryable": True,
}


def _write(
    write_id: str, remote_account: str, minor_units: int, started_s: float, **more: Any
) -> WriteRecord:
    kind = remote_account.split(":", maxsplit=1)[0]
    account_id, currency = ACCOUNTS[remote_account]
    fields = {
        "id": write_id,
        "tenant": "acme",
        "account_id": account_id,
        "remote_account": remote_account,
        "connector": f"my-{kind}",
        "principal": "alice",
        "amount": Money(minor_units, currency),
        "effective_at": None if kind == "asset" else START,
        "memo": None,
        "reference_number": None,
        "idempotency_key": None,
        "fingerprint": "0123456789abcdef" * 4,
        "previous": None,
        "started_at": at(started_s),
    }
    return WriteRecord(WriteIntent(**{**fields, **more}), WriteOutcome.STARTED)


def _end(started: WriteRecord, finished_s: float, **more: Any) -> WriteRecord:
    return replace(started, finished_at=at(finished_s), **more)


def _apply(
    started: WriteRecord, finished_s: float, applied: OpeningBalance | None = None
) -> WriteRecord:
    """Finish a write with a read-back opening balance, or unverified with what was requested."""
    intent = started.intent
    echoed = OpeningBalance(intent.amount, intent.effective_at, PROVIDER)
    return _end(
        started,
        finished_s,
        outcome=WriteOutcome.APPLIED,
        applied=applied or echoed,
        verified=applied is not None,
    )


WRITES_0_1_0 = [
    _apply(_write("light-applied-1", LIGHT_EUR, 123456, 1.5, idempotency_key="key-1"), 3),
    _apply(
        _write(
            "light-applied-2",
            LIGHT_EUR,
            -50,
            4.5,
            effective_at=START - timedelta(hours=1),
            previous=LIGHT_BEFORE,
        ),
        6,
    ),
    _end(
        _write(
            "light-rejected-1",
            LIGHT_JPY,
            2**63 + 1,
            7.5,
            previous=DERIVED,
            idempotency_key="key-2",
        ),
        9,
        outcome=WriteOutcome.REJECTED,
        error_code="BAD_USER_INPUT",
        error_message="Light accepts amounts up to 64 bits",
        error_field="amount",
    ),
    # It had an idempotency key, which the retryable rejection released.
    _end(
        _write("light-rejected-2", LIGHT_JPY, 0, 12, previous=DERIVED),
        13.5,
        outcome=WriteOutcome.REJECTED,
        error_code="PROVIDER_UNAVAILABLE",
        error_message="Light is unavailable and the write was not sent.",
        error_retryable=True,
    ),
    _write("light-started-1", LIGHT_EUR, 1, 15, previous=LIGHT_BEFORE, idempotency_key="key-4"),
    _end(
        _write("asset-uncertain-1", ASSET_KWD, -1234567, 16.5, idempotency_key="key-5"),
        18,
        **UNSURE,
    ),
    _apply(_write("asset-applied-1", ASSET_KWD, -1234567, 19.5), 22.5),
    _end(
        _write(
            "asset-expired-1",
            ASSET_KWD,
            5,
            24,
            tenant="other",
            account_id="theirs",
            previous=OpeningBalance(Money(-1234567, "KWD"), None, RECORDED),
        ),
        85.5,
        **{
            **UNSURE,
            "error_message": "The write was started and never finished; it may have been applied.",
        },
    ),
    _write("asset-started-1", ASSET_KWD, 7, 85.5),
    _apply(
        _write(
            "layer-applied-1",
            LAYER_USD,
            2500,
            87,
            principal="søren@eksempel",
            previous=LAYER_BEFORE,
            memo=LAYER_AFTER.memo,
            reference_number=LAYER_AFTER.reference_number,
            idempotency_key="nøgle-6",
        ),
        88.5,
        LAYER_AFTER,
    ),
    _end(
        _write("layer-rejected-1", LAYER_USD, 2600, 90, previous=LAYER_AFTER),
        91.5,
        outcome=WriteOutcome.REJECTED,
        error_code="PROVIDER_REJECTED",
        error_message="Layer refused the opening-balance write with HTTP 400. The period is closed"
        " in Layer: choose a later effectiveAt.",
        error_field="effectiveAt",
    ),
    _apply(
        _write(
            "local-applied-1",
            LOCAL_CLF,
            HUGE,
            93,
            effective_at=LOCAL_FIRST.effective_at,
            memo="",
            reference_number="1",
        ),
        94.5,
        LOCAL_FIRST,
    ),
    _apply(
        _write("local-applied-2", LOCAL_CLF, -HUGE, 96, previous=LOCAL_FIRST), 97.5, LOCAL_SECOND
    ),
]

#: The changes in the order of their numbers, which start at 1, and the seconds of each.
CHANGES_0_1_0 = [
    ("light-applied-1", AuditEvent.BEGUN, 1.5),
    ("light-applied-1", AuditEvent.FINISHED, 3),
    ("light-applied-2", AuditEvent.BEGUN, 4.5),
    ("light-applied-2", AuditEvent.FINISHED, 6),
    ("light-rejected-1", AuditEvent.BEGUN, 7.5),
    ("light-rejected-1", AuditEvent.FINISHED, 9),
    ("light-rejected-1", AuditEvent.DISREGARDED, 10.5),
    ("light-rejected-2", AuditEvent.BEGUN, 12),
    ("light-rejected-2", AuditEvent.FINISHED, 13.5),
    ("light-started-1", AuditEvent.BEGUN, 15),
    ("asset-uncertain-1", AuditEvent.BEGUN, 16.5),
    ("asset-uncertain-1", AuditEvent.FINISHED, 18),
    ("asset-applied-1", AuditEvent.BEGUN, 19.5),
    ("asset-applied-1", AuditEvent.FINISHED, 21),
    ("asset-applied-1", AuditEvent.FINISHED, 22.5),
    ("asset-expired-1", AuditEvent.BEGUN, 24),
    ("asset-expired-1", AuditEvent.LEASE_EXPIRED, 85.5),
    ("asset-started-1", AuditEvent.BEGUN, 85.5),
    ("layer-applied-1", AuditEvent.BEGUN, 87),
    ("layer-applied-1", AuditEvent.FINISHED, 88.5),
    ("layer-rejected-1", AuditEvent.BEGUN, 90),
    ("layer-rejected-1", AuditEvent.FINISHED, 91.5),
    ("local-applied-1", AuditEvent.BEGUN, 93),
    ("local-applied-1", AuditEvent.FINISHED, 94.5),
    ("local-applied-2", AuditEvent.BEGUN, 96),
    ("local-applied-2", AuditEvent.FINISHED, 97.5),
    ("local-applied-2", AuditEvent.DISREGARDED, 99),
]


_RECALCULATED = OpeningBalance(Money(293_739, "USD"), START, PROVIDER)
_DOUBTFUL: dict[str, Any] = {
    "outcome": WriteOutcome.UNCERTAIN,
    "error_code": "PROVIDER_BAD_RESPONSE",
    "error_message": "Reading back showed 2937.39 USD instead of 2221.00 USD.",
    "found": _RECALCULATED,
    "provider_code": "RECALCULATED",
}


def _settle(write_id: str, how: SettledBy | None, **more: Any) -> WriteRecord:
    before = replace(LIGHT_BEFORE, amount=Money(100, "USD"), recorded_at=at(-60))
    started = _write(f"layer-{write_id}", LAYER_USD, 222_100, 1, previous=before)
    by = "bob" if how is SettledBy.PERSON else None
    settlement = None if how is None else Settlement(how, at(60), by, "nøte")
    return _end(started, 2, **{**_DOUBTFUL, "settlement": settlement, **more})


#: Uncertain writes and their settlements, in tables of the second version.
SETTLED_0_1_0 = [
    _settle("unsettled", None),
    _settle(
        "proved",
        SettledBy.PROVED,
        outcome=WriteOutcome.APPLIED,
        applied=_RECALCULATED,
        verified=True,
    ),
    _settle(
        "disproved",
        SettledBy.DISPROVED,
        outcome=WriteOutcome.REJECTED,
        error_code="WRITE_NOT_APPLIED",
    ),
    _settle("superseded", SettledBy.SUPERSEDED),
    _settle("by-hand", SettledBy.PERSON, outcome=WriteOutcome.REJECTED),
]
