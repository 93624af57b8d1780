"""Creates the first tables: writes with their audit log, and the embedded ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _writes()
    _write_audit()
    _write_audit_is_append_only()
    _ledger()


def _writes() -> None:
    op.create_table(
        "writes",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("remote_account", sa.Text, nullable=False),
        sa.Column("connector", sa.Text, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("minor_units", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("effective_at", sa.Text),
        sa.Column("memo", sa.Text),
        sa.Column("reference_number", sa.Text),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Text),
        sa.Column("finished_in", _ROW_NUMBER),
        sa.Column("applied", sa.Text),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("error_retryable", sa.Boolean, nullable=False),
        sa.Column("error_field", sa.Text),
        sa.UniqueConstraint("tenant", "idempotency_key", name="writes_key"),
    )
    _index_where("writes_one_started", ["remote_account"], "outcome = 'started'", unique=True)
    _index_where("writes_unsettled", ["started_at"], "outcome IN ('started', 'uncertain')")
    _index_where("writes_applied", ["remote_account", "finished_in"], "outcome = 'applied'")


def _index_where(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(
        name,
        "writes",
        columns,
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _write_audit() -> None:
    op.create_table(
        "write_audit",
        sa.Column("number", _ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("write_id", sa.Text, sa.ForeignKey("writes.id"), nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("intended", sa.Text, nullable=False),
        sa.Column("applied", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("write_audit_account", "write_audit", ["tenant", "account_id", "number"])
    op.create_index("write_audit_write", "write_audit", ["write_id"])


def _write_audit_is_append_only() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER write_audit_no_{change.lower()} BEFORE {change} ON write_audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION write_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER write_audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON write_audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION write_audit_is_append_only()"
    )


def _ledger() -> None:
    op.create_table(
        "ledger_opening_balances",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("minor_units", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("effective_at", sa.Text, nullable=False),
        sa.Column("memo", sa.Text),
        sa.Column("reference_number", sa.Text),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("book", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("minor_units", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_days",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("book", sa.Text, primary_key=True),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("closing", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
