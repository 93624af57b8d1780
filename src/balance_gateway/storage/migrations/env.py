"""Run by Alembic: hands it the connection and the tables."""

from alembic import context

from balance_gateway.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
