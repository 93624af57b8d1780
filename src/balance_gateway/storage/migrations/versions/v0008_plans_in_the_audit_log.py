"""Records the steps of plans in the audit log: a row then concerns a plan instead of a write.

SQLite cannot remove NOT NULL from a column; the text of the table is changed instead, which changes
nothing that is stored.
Source: https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes".
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and allow rows without a write."""
    op.add_column("write_audit", sa.Column("plan_id", sa.Text))
    op.add_column("plans", sa.Column("resumed_at", sa.Text))
    if op.get_bind().dialect.name == "sqlite":
        _allow_null_on_sqlite()
    else:
        op.alter_column("write_audit", "write_id", nullable=True)


def _allow_null_on_sqlite() -> None:
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    changed = connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, 'write_id TEXT NOT NULL', 'write_id TEXT') "
        "WHERE type = 'table' AND name = 'write_audit' AND sql LIKE '%write_id TEXT NOT NULL%'"
    )
    assert changed.rowcount == 1, "the table is not as the first version made it"
    # Other connections read the tables again, and this one with RESET.
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")
