"""Fixtures of ``tests/storage``, on SQLite only: PostgreSQL is tested there, below the port."""

from pathlib import Path

import pytest

from tests.storage.conftest import (  # noqa: F401 - pytest finds fixtures by their names
    account,
    clock,
    database,
    make_account,
    migrated_url,
    sqlite_template,
    store,
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a new, empty database."""
    return f"sqlite:///{tmp_path}/gateway.db"
