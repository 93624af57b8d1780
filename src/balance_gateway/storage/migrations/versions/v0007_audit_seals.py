"""Adds the seals of audit rows that retention has removed; a seal is never changed or removed.

On SQLite retention drops the trigger that refuses to delete audit rows, and makes it again in the
same transaction. PostgreSQL refuses to change a table that the transaction has a cursor on, so that
the trigger's function knows a setting of the transaction. The trigger guards against accidents: who
may delete is decided by the roles, and the chain of hashes shows what was deleted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and its triggers, and the index for pages of a tenant's log."""
    op.create_table(
        "audit_seals",
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("first_sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("previous_hash", sa.Text, nullable=False),
        sa.Column("last_hash", sa.Text, nullable=False),
        sa.Column("removed_in", sa.BigInteger, nullable=False),
    )
    op.create_index("write_audit_tenant", "write_audit", ["tenant", "number"])
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_seals_no_{change.lower()} BEFORE {change} ON audit_seals "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION write_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN "
        "IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'write_audit' "
        "AND current_setting('balance_gateway.retention', true) = 'on' THEN RETURN NULL; END IF; "
        "RAISE EXCEPTION 'the audit log is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_seals_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals "
        "FOR EACH STATEMENT EXECUTE FUNCTION write_audit_is_append_only()"
    )
    op.execute("ALTER TABLE audit_seals ENABLE ALWAYS TRIGGER audit_seals_no_change")
    op.execute(
        "CREATE TRIGGER audit_seals_note_change "
        "AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_seals "
        "FOR EACH STATEMENT EXECUTE FUNCTION note_storage_change()"
    )
