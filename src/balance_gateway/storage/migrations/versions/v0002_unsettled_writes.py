"""Adds what is known of an uncertain write, and how it was settled."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = (
    "found",
    "provider_code",
    "settled_how",
    "settled_at",
    "settled_by",
    "settlement_note",
)
_AUDIT_COLUMNS = ("found", "provider_code", "note")


def upgrade() -> None:
    """Add the columns, and the indexes of the queries for unsettled writes and for lists."""
    for name in _COLUMNS:
        op.add_column("writes", sa.Column(name, sa.Text))
    for name in _AUDIT_COLUMNS:
        op.add_column("write_audit", sa.Column(name, sa.Text))
    doubtful = sa.text("outcome = 'uncertain' AND settled_at IS NULL")
    op.create_index(
        "writes_doubtful",
        "writes",
        ["remote_account", "started_at"],
        sqlite_where=doubtful,
        postgresql_where=doubtful,
    )
    op.create_index("writes_tenant", "writes", ["tenant", "started_at", "id"])
    op.create_index("writes_account", "writes", ["tenant", "account_id", "started_at", "id"])
    op.create_index("writes_outcome", "writes", ["tenant", "outcome", "started_at", "id"])
