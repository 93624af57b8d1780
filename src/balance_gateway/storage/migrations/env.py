"""Configures Alembic with the connection and the tables; Alembic runs this module."""

from alembic import context

from balance_gateway.storage.plan_tables import plans

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=plans.metadata)
with context.begin_transaction():
    context.run_migrations()
