"""Creates the version that changes with every commit, which PostgreSQL's triggers maintain.

Triggers and not the gateway: an earlier release that still runs, an import and a statement of a
person change the version as well.

A trigger of each table notes the transaction in ``storage_changes_pending``, once, and without a
lock that another transaction could wait for. The note's own trigger is deferred: it changes the
version within the commit, after the last statement. So the lock of the version's only row is held
for the commit alone, and its holder waits for no other lock.

The version is a random number and not a counter: after a failover that lost the last commits, or a
restored backup, a counter would reach an earlier number again with other contents.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = (
    "ledger_currencies",
    "ledger_entries",
    "ledger_days",
    "ledger_opening_balances",
    "normal_sides",
    "writes",
    "write_audit",
)


def upgrade() -> None:
    """Create the tables, and on PostgreSQL the row and the triggers."""
    op.create_table("storage_version", sa.Column("version", sa.BigInteger, nullable=False))
    op.create_table(
        "storage_changes_pending",
        sa.Column("transaction_id", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _create_first_version()
        _note_changes()
        _change_version_at_commit()


def _create_first_version() -> None:
    op.execute(
        "CREATE FUNCTION new_storage_version() RETURNS bigint LANGUAGE sql AS "
        "$$ SELECT hashtextextended("
        "concat(clock_timestamp(), ' ', txid_current(), ' ', random()), 0) $$"
    )
    op.execute("INSERT INTO storage_version VALUES (new_storage_version())")


def _note_changes() -> None:
    # The functions find these tables whatever the search path of the session that fires them.
    op.execute(
        "CREATE FUNCTION note_storage_change() RETURNS trigger LANGUAGE plpgsql "
        "SET search_path FROM CURRENT AS $$ BEGIN "
        "INSERT INTO storage_changes_pending VALUES (txid_current()) ON CONFLICT DO NOTHING; "
        "RETURN NULL; END $$"
    )
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_note_change "
            f"AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION note_storage_change()"
        )


def _change_version_at_commit() -> None:
    op.execute(
        "CREATE FUNCTION change_storage_version() RETURNS trigger LANGUAGE plpgsql "
        "SET search_path FROM CURRENT AS $$ BEGIN "
        "DELETE FROM storage_changes_pending WHERE transaction_id = NEW.transaction_id; "
        "UPDATE storage_version SET version = new_storage_version(); "
        "RETURN NULL; END $$"
    )
    op.execute(
        "CREATE CONSTRAINT TRIGGER change_storage_version AFTER INSERT ON storage_changes_pending "
        "DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION change_storage_version()"
    )
