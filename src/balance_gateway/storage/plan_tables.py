"""Defines the tables of plans of opening balances; the column types are those of ``tables``."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from balance_gateway.storage.tables import BigIntText, Instant, metadata

#: One row per plan of opening balances.
plans = Table(
    "plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("needs_approval", Boolean, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("idempotency_key", Text),
    Column("content_hash", Text),
    Column("summary", Text),
    Column("approved_by", Text),
    Column("approved_at", Instant),
    Column("approved_hash", Text),
    Column("applied_by", Text),
    Column("applied_at", Instant),
    Column("finished_at", Instant),
    Column("resumed_at", Instant),
    #: The process that carries the plan out, and until when unless it renews.
    Column("owner", Text),
    Column("owned_until", Instant),
    UniqueConstraint("tenant", "idempotency_key", name="plans_key"),
)
#: Queries must use exactly this text, as for the writes.
UNDER_WAY = text("state IN ('reading', 'applying')")
Index(
    "plans_under_way",
    plans.c.made_at,
    sqlite_where=UNDER_WAY,
)

plan_parts = Table(
    "plan_parts",
    metadata,
    Column("plan_id", Text, ForeignKey("plans.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", Text, nullable=False),
)

plan_rows = Table(
    "plan_rows",
    metadata,
    Column("plan_id", Text, ForeignKey("plans.id"), primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("account_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("connector", Text),
    Column("remote_account", Text),
    Column("minor_units", BigIntText),
    Column("currency", Text),
    Column("effective_at", Instant),
    Column("memo", Text),
    Column("reference_number", Text),
    Column("previous_state", Text),
    Column("previous", Text),
    Column("previous_at", Instant),
    Column("is_unchanged", Boolean, nullable=False),
    Column("write_id", Text),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("error_field", Text),
    Column("error_retryable", Boolean, nullable=False),
)
Index("plan_rows_outcome", plan_rows.c.plan_id, plan_rows.c.outcome, plan_rows.c.line)
Index("plan_rows_remote", plan_rows.c.plan_id, plan_rows.c.remote_account, plan_rows.c.line)
