"""Adds the hash chain of the audit log, and refuses the ways around its triggers.

SQLite deletes the row that a ``REPLACE`` replaces without its ``DELETE`` trigger, so that a trigger
refuses such an insert. PostgreSQL skips ordinary triggers in a session of the role ``replica``.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and the index that lets a tenant's chain have one row per place."""
    op.add_column("write_audit", sa.Column("sequence", sa.BigInteger))
    op.add_column("write_audit", sa.Column("previous_hash", sa.Text))
    op.add_column("write_audit", sa.Column("hash", sa.Text))
    op.create_index("write_audit_chain", "write_audit", ["tenant", "sequence"], unique=True)
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER write_audit_no_replace BEFORE INSERT ON write_audit "
            "WHEN EXISTS (SELECT 1 FROM write_audit WHERE number = NEW.number) "
            "OR EXISTS (SELECT 1 FROM write_audit"
            " WHERE tenant = NEW.tenant AND sequence = NEW.sequence) "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )
        # Before an insert without a number, SQLite shows triggers the number -1.
        op.execute(
            "CREATE TRIGGER write_audit_numbers AFTER INSERT ON write_audit WHEN NEW.number < 1 "
            "BEGIN SELECT RAISE(ABORT, 'the audit log has positive numbers'); END"
        )
    else:
        op.execute("ALTER TABLE write_audit ENABLE ALWAYS TRIGGER write_audit_no_change")
