"""Adds plans of opening balances, with their parts and their rows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = ("plans", "plan_parts", "plan_rows")


def upgrade() -> None:
    """Create the tables, and the triggers that note changes."""
    _plans()
    _plan_rows()
    if op.get_bind().dialect.name != "sqlite":
        _note_changes()


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("needs_approval", sa.Boolean, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("made_at", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Text, nullable=False),
        sa.Column("parts", sa.Integer, nullable=False),
        sa.Column("row_count", sa.Integer, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("content_hash", sa.Text),
        sa.Column("summary", sa.Text),
        sa.Column("approved_by", sa.Text),
        sa.Column("approved_at", sa.Text),
        sa.Column("approved_hash", sa.Text),
        sa.Column("applied_by", sa.Text),
        sa.Column("applied_at", sa.Text),
        sa.Column("finished_at", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("owned_until", sa.Text),
        sa.UniqueConstraint("tenant", "idempotency_key", name="plans_key"),
    )
    under_way = sa.text("state IN ('reading', 'applying')")
    op.create_index(
        "plans_under_way",
        "plans",
        ["made_at"],
        sqlite_where=under_way,
        postgresql_where=under_way,
    )
    op.create_table(
        "plan_parts",
        sa.Column("plan_id", sa.Text, sa.ForeignKey("plans.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
    )


def _plan_rows() -> None:
    op.create_table(
        "plan_rows",
        sa.Column("plan_id", sa.Text, sa.ForeignKey("plans.id"), primary_key=True),
        sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("connector", sa.Text),
        sa.Column("remote_account", sa.Text),
        sa.Column("minor_units", sa.Text),
        sa.Column("currency", sa.Text),
        sa.Column("effective_at", sa.Text),
        sa.Column("memo", sa.Text),
        sa.Column("reference_number", sa.Text),
        sa.Column("previous_state", sa.Text),
        sa.Column("previous", sa.Text),
        sa.Column("previous_at", sa.Text),
        sa.Column("is_unchanged", sa.Boolean, nullable=False),
        sa.Column("write_id", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("error_field", sa.Text),
        sa.Column("error_retryable", sa.Boolean, nullable=False),
    )
    op.create_index("plan_rows_outcome", "plan_rows", ["plan_id", "outcome", "line"])
    op.create_index("plan_rows_remote", "plan_rows", ["plan_id", "remote_account", "line"])


def _note_changes() -> None:
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_note_change "
            f"AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION note_storage_change()"
        )
