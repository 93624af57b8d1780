"""Fixtures: the databases of ``tests/storage``, SQLite and PostgreSQL."""

from tests.storage.conftest import (  # noqa: F401 - pytest finds fixtures by their names
    account,
    clock,
    database,
    make_account,
    postgresql_server,
    postgresql_url,
    store,
    url,
)
