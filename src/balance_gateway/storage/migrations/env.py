"""Configures Alembic with the connection and the tables; Alembic runs this module."""

from alembic import context

from balance_gateway.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
