"""Creates the tables of remembered normal sides and of the embedded ledger's currencies."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "normal_sides",
        sa.Column("remote_account", sa.Text, primary_key=True),
        sa.Column("side", sa.Text, nullable=False),
        sa.Column("learned_at", sa.Text, nullable=False),
    )
    op.create_table(
        "ledger_currencies",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("currency", sa.Text, nullable=False),
    )
