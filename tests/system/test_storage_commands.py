"""The commands migrate, backup and restore with a real gateway that is killed."""

import json
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from balance_gateway.cli import main
from tests.servers import free_port
from tests.system.processes import GatewayClient, run_process, wait_until_ready

KEY = {"TESTER_KEY": "the-key-of-the-system-tester"}
SET = """mutation { upsertOpeningBalance(input: {accountId: "till", idempotencyKey: "%s",
    amount: {amount: "%s.00", currency: "EUR"}}) { __typename } }"""


def run(command: str, config: Path, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner(env=KEY).invoke(main, [command, "--config", str(config), *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stdout, done.stderr


def read_keys(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT idempotency_key FROM writes WHERE outcome = 'applied' ORDER BY idempotency_key"
        )
        return [key for (key,) in rows]


def read_opening(path: Path) -> str:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        [(amount,)] = connection.execute("SELECT minor_units FROM ledger_opening_balances")
        return str(amount)


def test_a_killed_gateway_is_restored_with_every_write_of_its_backup(
    config: Path, tmp_path: Path
) -> None:
    """With the former log in place, nothing was restored and the file could be damaged."""
    port, database, backup = free_port(), tmp_path / "gateway.db", tmp_path / "backup.db"
    serve = ("serve", "--config", str(config), "--port", str(port))
    client = GatewayClient(f"http://127.0.0.1:{port}", "", KEY["TESTER_KEY"])
    with run_process(*serve, **KEY) as started:
        wait_until_ready(client.url, started)
        for number in range(1, 4):
            client.data(SET % (f"covered {number}", number))
        made = run("backup", config, "--json", str(backup))
        again = run("backup", config, str(backup))
        client.data(SET % ("later", 9))
        refused = run("restore", config, str(backup))
        started.send_signal(signal.SIGKILL)
        started.wait(20)
    log = Path(f"{database}-wal").read_bytes()
    shutil.copy(database, tmp_path / "former.db")
    shutil.copy(backup, database)
    by_hand = run("migrate", config)
    shutil.copy(tmp_path / "former.db", database)
    restored = run("restore", config, "--json", str(backup))
    checked = run("check", config)

    assert (made[0], json.loads(made[1])["file"]) == (0, str(backup))
    assert (again[0], again[2].startswith(f"Error: {backup} exists; ")) == (2, True)
    assert (refused[0], f"{database} open; stop it" in refused[2]) == (1, True)
    assert (by_hand[0], "gateway.db-wal belongs to another file" in by_hand[2]) == (1, True)
    assert restored[0] == 0, restored[2]
    kept = json.loads(restored[1])["kept"]
    assert Path(kept[1]).read_bytes() == log
    assert read_keys(Path(kept[0])) == ["covered 1", "covered 2", "covered 3", "later"]
    assert read_keys(database) == ["covered 1", "covered 2", "covered 3"]
    assert read_opening(database) == "300"
    assert checked[0] == 0, checked[1]


def test_migrate_creates_the_tables_and_a_damaged_file_is_one_line(
    config: Path, tmp_path: Path
) -> None:
    database = tmp_path / "gateway.db"

    code, printed, _ = run("migrate", config, "--json")
    content = database.read_bytes()
    database.write_bytes(content[:8192] + b"\x5a" * (len(content) - 8192))
    migrated = run("migrate", config)
    nothing = run("restore", config)

    assert (code, list(json.loads(printed))) == (0, ["version"])
    assert migrated[0] == 1
    assert "is damaged" in migrated[2]
    assert "restore a backup with 'balance-gateway restore FILE'" in migrated[2]
    assert migrated[2].count("\n") == 1
    assert nothing[0] == 2
    assert "FILE is missing: the backup that 'balance-gateway backup' wrote" in nothing[2]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://ann@db.example:5433/books",
            {
                "backup": "pg_dump -Fc -f FILE -h db.example -p 5433 -U ann books",
                "restore": "pg_restore --single-transaction -h db.example -p 5433 -U ann"
                " -d NEW_NAME FILE",
            },
        ),
        ("sqlite://", {"backup": "in memory: there is no file"}),
    ],
)
def test_other_storages_are_refused_with_the_way(
    config: Path, tmp_path: Path, url: str, expected: dict[str, str]
) -> None:
    config.write_text(config.read_text().replace(f"sqlite:///{tmp_path}/gateway.db", url))
    (tmp_path / "file").touch()

    found = {command: run(command, config, str(tmp_path / "file")) for command in expected}

    for command, (code, _, message) in found.items():
        assert code == 2
        assert expected[command] in message
        assert message.count("\n") == 1
