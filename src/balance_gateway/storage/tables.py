"""Defines the tables and their column types for amounts, instants and days.

These types are stored as text on every database. Amounts are decimal integers of any size.
Instants are UTC with microseconds and days are ISO dates, both of fixed width, so that the text
sorts in the order of time.
"""
# ruff: noqa: ARG002  (SQLAlchemy passes the dialect to every conversion)

from datetime import UTC, date, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class BigIntText(TypeDecorator[int]):
    """An integer of any size as decimal text without leading zeros; equal numbers, equal text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """Convert an integer to text; None stays NULL."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        """Convert text to an integer; NULL stays None."""
        return None if value is None else int(value)


class Instant(TypeDecorator[datetime]):
    """An instant with a UTC offset, as ``2026-01-31T23:59:59.999999Z``; returned in UTC."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Convert an instant to text; None stays NULL."""
        return None if value is None else instant_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Convert text to an instant in UTC; NULL stays None."""
        return None if value is None else datetime.fromisoformat(value)


class Day(TypeDecorator[date]):
    """A calendar day, as ``2026-01-31``."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> str | None:
        """Convert a day to text; None stays NULL."""
        return None if value is None else value.isoformat()

    def process_result_value(self, value: str | None, dialect: Dialect) -> date | None:
        """Convert text to a day; NULL stays None."""
        return None if value is None else date.fromisoformat(value)


def instant_text(instant: datetime) -> str:
    """Format an instant as UTC text of fixed width.

    Raises:
        ValueError: the instant has no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError("an instant must have a time zone")
    utc = instant.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "Z"


#: A row number that the database increments and never reuses.
RowNumber = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

#: One row per write, with its current state.
writes = Table(
    "writes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("remote_account", Text, nullable=False),
    Column("connector", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("minor_units", BigIntText, nullable=False),
    Column("currency", Text, nullable=False),
    Column("effective_at", Instant),
    Column("memo", Text),
    Column("reference_number", Text),
    Column("idempotency_key", Text),
    Column("fingerprint", Text, nullable=False),
    Column("previous", Text),
    Column("started_at", Instant, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("finished_at", Instant),
    #: The number of the audit row that recorded the outcome; it gives the order of finishing.
    Column("finished_in", RowNumber),
    Column("applied", Text),
    Column("verified", Boolean, nullable=False),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("error_retryable", Boolean, nullable=False),
    Column("error_field", Text),
    Column("found", Text),
    Column("provider_code", Text),
    Column("settled_how", Text),
    Column("settled_at", Instant),
    Column("settled_by", Text),
    Column("settlement_note", Text),
    UniqueConstraint("tenant", "idempotency_key", name="writes_key"),
)
#: The conditions of the partial indexes, which PostgreSQL has too: migrations create them. Naming
#: it here would import its drivers at each start. Queries must use exactly these texts: a query
#: planner matches a partial index by its condition, and does not look into parameters.
STARTED = text("outcome = 'started'")
UNSETTLED = text("outcome IN ('started', 'uncertain')")
APPLIED = text("outcome = 'applied'")
DOUBTFUL = text("outcome = 'uncertain' AND settled_at IS NULL")
Index(
    "writes_one_started",
    writes.c.remote_account,
    unique=True,
    sqlite_where=STARTED,
)
Index(
    "writes_unsettled",
    writes.c.started_at,
    sqlite_where=UNSETTLED,
)
Index(
    "writes_applied",
    writes.c.remote_account,
    writes.c.finished_in,
    sqlite_where=APPLIED,
)

Index(
    "writes_doubtful",
    writes.c.remote_account,
    writes.c.started_at,
    sqlite_where=DOUBTFUL,
)
Index("writes_tenant", writes.c.tenant, writes.c.started_at, writes.c.id)
Index("writes_account", writes.c.tenant, writes.c.account_id, writes.c.started_at, writes.c.id)
Index("writes_outcome", writes.c.tenant, writes.c.outcome, writes.c.started_at, writes.c.id)

#: One row per change of a write, step of a plan or removal of rows. Triggers reject changing,
#: replacing or deleting a row.
write_audit = Table(
    "write_audit",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("event", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("write_id", Text, ForeignKey("writes.id")),
    Column("previous", Text),
    Column("intended", Text, nullable=False),
    Column("applied", Text),
    Column("outcome", Text, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("found", Text),
    Column("provider_code", Text),
    Column("note", Text),
    #: The place in the tenant's hash chain, from 1, and the chain (see ``audit_chain``); NULL in
    #: rows of releases without it.
    Column("sequence", BigInteger),
    Column("previous_hash", Text),
    Column("hash", Text),
    Column("plan_id", Text),
    sqlite_autoincrement=True,
)
Index("write_audit_account", write_audit.c.tenant, write_audit.c.account_id, write_audit.c.number)
Index("write_audit_tenant", write_audit.c.tenant, write_audit.c.number)
Index("write_audit_write", write_audit.c.write_id)
Index("write_audit_chain", write_audit.c.tenant, write_audit.c.sequence, unique=True)

#: One row for neighbouring rows of a tenant's chain that retention has removed (see
#: ``audit_seals``). Triggers reject changing or deleting a row.
audit_seals = Table(
    "audit_seals",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("first_sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("last_hash", Text, nullable=False),
    Column("removed_in", BigInteger, nullable=False),
)

ledger_opening_balances = Table(
    "ledger_opening_balances",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("minor_units", BigIntText, nullable=False),
    Column("currency", Text, nullable=False),
    Column("effective_at", Instant, nullable=False),
    Column("memo", Text),
    Column("reference_number", Text),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("book", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("day", Day, nullable=False),
    Column("minor_units", BigIntText, nullable=False),
    Column("description", Text),
    sqlite_with_rowid=False,
)

#: For each day with entries, the sum of all entries of the book on or before that day.
ledger_days = Table(
    "ledger_days",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("book", Text, primary_key=True),
    Column("day", Day, primary_key=True),
    Column("closing", BigIntText, nullable=False),
    sqlite_with_rowid=False,
)

#: The currency of an account's entries, recorded with its first ones.
ledger_currencies = Table(
    "ledger_currencies",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("currency", Text, nullable=False),
)

#: The normal side of a remote account, as its provider last reported it.
normal_sides = Table(
    "normal_sides",
    metadata,
    Column("remote_account", Text, primary_key=True),
    Column("side", Text, nullable=False),
    Column("learned_at", Instant, nullable=False),
)

#: One row with a number that changes with every commit that changes any of the tables. Only
#: PostgreSQL's triggers use it; SQLite shows changes by itself.
storage_version = Table("storage_version", metadata, Column("version", BigInteger, nullable=False))

#: The transactions that have changed a table and not committed; each sees only its own row.
storage_changes_pending = Table(
    "storage_changes_pending",
    metadata,
    Column("transaction_id", BigInteger, primary_key=True, autoincrement=False),
)
