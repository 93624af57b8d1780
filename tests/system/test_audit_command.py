"""The command ``audit verify``, in this process."""

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from balance_gateway.cli import main
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteIntent
from balance_gateway.storage.database import open_database
from balance_gateway.storage.journal import SqlWriteJournal


async def _write(url: str, tenant: str, write_id: str) -> None:
    now = datetime.now(UTC)
    account = f"account of {write_id}"
    what = (Money(1, "EUR"), None, None, None, None, "f", None, now)
    database = await open_database(url)
    try:
        intent = WriteIntent(write_id, tenant, account, account, "books", "tester", *what)
        await SqlWriteJournal(database).begin(intent, lease_s=60)
    finally:
        await database.aclose()


def _verify(config: Path, *options: str) -> Result:
    arguments = ["audit", "verify", "--config", str(config), *options]
    return CliRunner().invoke(main, arguments, env={"TESTER_KEY": "k" * 40})


@pytest.fixture
def written(config: Path, tmp_path: Path) -> Path:
    """The file of a database with two rows of acme and one of another tenant."""
    url = f"sqlite:///{tmp_path}/gateway.db"
    for tenant, write_id in (("acme", "w1"), ("other", "o1"), ("acme", "w2")):
        asyncio.run(_write(url, tenant, write_id))
    return tmp_path / "gateway.db"


def test_audit_verify_prints_each_tenants_head_and_count(config: Path, written: Path) -> None:
    done = _verify(config, "--json")
    acme, other = json.loads(done.stdout)["tenants"]
    again = _verify(config, "--head", acme["head"].upper(), "--head", other["head"])
    of_one = _verify(config, "--tenant", "other")

    assert (done.exit_code, again.exit_code, of_one.exit_code) == (0, 0, 0)
    assert (acme["tenant"], acme["rows"], acme["broken"]) == ("acme", 2, None)
    assert again.stdout == (
        f"acme: 2 rows, head {acme['head']}\nother: 1 row, head {other['head']}\n"
    )
    assert of_one.stdout == f"other: 1 row, head {other['head']}\n"


def test_audit_verify_names_the_broken_row_and_a_missing_head(config: Path, written: Path) -> None:
    acme, other = json.loads(_verify(config, "--json").stdout)["tenants"]
    with closing(sqlite3.connect(written)) as connection:
        connection.executescript(
            "DROP TRIGGER write_audit_no_update; DROP TRIGGER write_audit_no_delete;"
            "UPDATE write_audit SET principal = 'eve' WHERE number = 1;"
            "DELETE FROM write_audit WHERE number = 2;"
        )

    done = _verify(config, "--head", other["head"])
    as_json = _verify(config, "--json")
    gone = _verify(config, "--tenant", "other")

    assert (done.exit_code, as_json.exit_code, gone.exit_code) == (1, 1, 1)
    assert done.stderr == (
        "Error: the audit log is not whole: row 1 of tenant 'acme': its columns do not have its"
        " hash: the row was changed; 1 in the journal differ from their newest row, first write o1;"
        f" the head {other['head']} is not in it: its end was cut off, or it is another log\n"
    )
    assert json.loads(as_json.stdout)["tenants"][0]["broken"]["number"] == 1
    assert "tenant 'other' has no row" in gone.stderr
    assert acme["head"] not in done.stdout


@pytest.mark.parametrize("head", ["", "abc", "0" * 63 + "g"])
def test_a_head_that_is_no_hash_is_a_usage_error(config: Path, head: str) -> None:
    done = _verify(config, "--head", head)

    assert done.exit_code == 2
    assert "--head must be a hash of 64 hexadecimal digits" in done.stderr
