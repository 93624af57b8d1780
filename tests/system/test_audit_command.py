"""The command ``audit verify``, in this process."""

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from balance_gateway.cli import main
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteIntent, WriteOutcome
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


def test_an_export_is_verified_offline(config: Path, written: Path, tmp_path: Path) -> None:
    """Pruned by the command: the file is verified alone, and the rest in the storage."""
    _age(written)
    export, text = tmp_path / "old.jsonl", str(tmp_path / "old.jsonl")
    arguments = ("audit", "prune", "--config", str(config), "--export")
    day_before = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    future, done, again, nothing = (
        _run(*arguments, file, "--before", day)
        for file, day in (
            (text, "2999-01-01"), (text, day_before), (text, day_before), (f"{text}.2", day_before),
        )
    )  # fmt: skip
    alone = _run("audit", "verify", "--file", text, "--json")
    (chain,) = json.loads(alone.stdout)["tenants"]
    rest = _verify(config)
    lines = export.read_text().splitlines(keepends=True)
    export.write_text("".join(lines[:-1]))
    cut = _run("audit", "verify", "--file", text, "--head", chain["head"])
    export.write_text("".join([lines[0], *lines[2:]]))
    late = _run("audit", "verify", "--file", text)
    export.write_text(lines[0] + lines[1].replace("tester", "eve") + lines[2])
    changed = _run("audit", "verify", "--file", text)
    export.write_text(lines[0] + lines[1][:-9])
    torn = _run("audit", "verify", "--file", text)
    wrong = _run("audit", "verify", "--file", text, "--tenant", "acme")
    neither = _run("audit", "verify")

    assert (future.exit_code, future.stderr) == (2, "Error: --before must not be after today\n")
    assert done.stdout == f"acme: removed 2 rows of 1 write\nExported to {text}\n"
    assert (again.exit_code, again.stderr) == (2, f"Error: {text} exists: name another file\n")
    assert nothing.stdout == "Nothing is old enough; no file was written\n"
    assert (alone.exit_code, chain["rows"], chain["broken"]) == (0, 2, None)
    assert "acme: 5 rows, 2 removed by retention, head" in rest.stdout
    assert (cut.exit_code, late.exit_code, changed.exit_code, torn.exit_code) == (1, 0, 1, 1)
    assert chain["head"] in cut.stderr
    assert "1 row, from row 2 on, head" in late.stdout
    assert "row 1 of tenant 'acme': its columns do not have its hash" in changed.stderr
    assert "line 2 is not a whole line of JSON" in torn.stderr
    assert (wrong.exit_code, neither.exit_code) == (2, 2)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={"TESTER_KEY": "k" * 40})


def _age(file: Path) -> None:
    """Make the log again with two rejected writes of earlier days, and one of today."""
    for name in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
        name.unlink(missing_ok=True)
    asyncio.run(_write_twice(f"sqlite:///{file}"))


async def _write_twice(url: str) -> None:
    now = datetime.now(UTC)
    database = await open_database(url)
    try:
        for days in (4, 3, 0):
            at = now - timedelta(days=days)
            journal = SqlWriteJournal(database, lambda at=at: at)  # type: ignore[misc]
            what = (Money(1, "EUR"), None, None, None, None, "f", None, at)
            intent = WriteIntent(f"w{days}", "acme", "cash", "cash", "books", "tester", *what)
            record = await journal.begin(intent, lease_s=60)
            await journal.finish(replace(record, outcome=WriteOutcome.REJECTED, finished_at=at))
    finally:
        await database.aclose()


@pytest.mark.parametrize("head", ["", "abc", "0" * 63 + "g"])
def test_a_head_that_is_no_hash_is_a_usage_error(config: Path, head: str) -> None:
    done = _verify(config, "--head", head)

    assert done.exit_code == 2
    assert "--head must be a hash of 64 hexadecimal digits" in done.stderr


def test_a_missing_database_is_named_and_not_created(config: Path, tmp_path: Path) -> None:
    """In another folder a relative storage.url made an empty database, and verified that."""
    prune = ("--before", "2026-01-01", "--export", str(tmp_path / "old.jsonl"))
    environment = {"TESTER_KEY": "k" * 40}

    verified = _verify(config)
    pruned = CliRunner(env=environment).invoke(
        main, ["audit", "prune", "--config", str(config), *prune]
    )

    assert (verified.exit_code, pruned.exit_code) == (1, 1)
    for done in (verified, pruned):
        assert f"there is no database at {tmp_path}/gateway.db" in done.stderr
    assert list(tmp_path.iterdir()) == [config]


def test_a_log_without_rows_is_said_to_be_empty(config: Path, tmp_path: Path) -> None:
    """It printed nothing, like nothing else that succeeds."""
    asyncio.run(_create(f"sqlite:///{tmp_path}/gateway.db"))

    done, as_json = _verify(config), _verify(config, "--json")

    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "The audit log has no rows.\n"
    assert json.loads(as_json.stdout)["tenants"] == []


async def _create(url: str) -> None:
    database = await open_database(url)
    await database.aclose()


def test_a_tenant_of_an_export_is_safe_on_a_terminal(tmp_path: Path) -> None:
    row = {"tenant": "a\x1b]0;x\x07\nok: 9 rows", "number": 1, "sequence": 2, "hash": "f" * 64}
    export = tmp_path / "audit.jsonl"
    header = {"format": "balance-gateway-audit", "version": 1}
    export.write_text("".join(f"{json.dumps(line)}\n" for line in (header, {"row": row})))

    done = CliRunner().invoke(main, ["audit", "verify", "--file", str(export)])

    assert done.exit_code == 1
    assert done.stdout.startswith(r"a\x1b]0;x\x07\nok: 9 rows: 0 rows")
