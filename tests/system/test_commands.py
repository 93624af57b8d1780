"""The commands check, serve, sandbox and local import as processes."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from balance_gateway.cli import main
from tests.servers import free_port
from tests.system.processes import (
    GatewayClient,
    get,
    run_command,
    run_demo,
    run_process,
    wait_until_ready,
)

BALANCE = '{ bankAccount(id: "till") { balance(asOf: "2026-01-02") { ledger { amount } } } }'


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a running demo; a test leaves it as it was."""
    directory = tmp_path_factory.mktemp("demo")
    with run_demo(directory):
        yield directory


def test_check_passes_for_every_connector_of_the_demo(demo_dir: Path) -> None:
    done = run_command("check", "--config", str(demo_dir / "gateway.toml"), "--json",
                       is_preloaded=False)  # fmt: skip

    findings = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert {finding["kind"] for finding in findings} == {
        "storage",
        "light",
        "asset",
        "layer",
        "local",
    }
    assert all(finding["ok"] for finding in findings)


def test_check_names_a_failing_connector_and_exits_with_1(demo_dir: Path) -> None:
    secret = demo_dir / "secrets" / "light-acme-api_key"
    key = secret.read_text()
    secret.write_text("a-wrong-key-for-the-test")
    try:
        done = run_command("check", "--config", str(demo_dir / "gateway.toml"), "--json")
    finally:
        secret.write_text(key)

    failed = {
        finding["name"]: finding["code"] for finding in json.loads(done.stdout) if not finding["ok"]
    }
    assert done.returncode == 1
    assert failed == {"light-acme": "PROVIDER_CREDENTIALS_REJECTED"}
    assert "light-acme" in done.stderr
    assert "a-wrong-key-for-the-test" not in done.stdout + done.stderr


def test_check_shows_names_as_they_are_written(config: Path) -> None:
    """A name that looks like markup ended in a traceback, or was not shown."""
    name = '"[red]a[/b]\\u001b[7m"'
    text = config.read_text().replace("[connectors.books]", f"[connectors.{name}]")
    config.write_text(text.replace('"books"', name))

    done = CliRunner(env={"TESTER_KEY": "k" * 40, "COLUMNS": "120"}).invoke(
        main, ["check", "--config", str(config)]
    )

    assert done.exit_code == 0, done.output
    assert r"[red]a[/b]\x1b[7m" in done.stdout


def test_check_of_accounts_has_a_line_for_each_that_fails(tmp_path: Path) -> None:
    """With a wrong id or currency ``check`` passed, and only serving said what is wrong."""
    config = tmp_path / "gateway.toml"
    arguments = ("check", "--config", str(config), "--accounts")
    asked = ("light-operating-eur", "light-payroll-eur", "asset-company-card")
    with run_demo(tmp_path):
        text = config.read_text()
        before, account = text.split('id = "light-operating-eur"')
        config.write_text(before + 'id = "light-operating-eur"' + account.replace("EUR", "JPY", 2))
        done = run_command(*arguments, *asked)
        as_json = run_command(*arguments, "--json", *asked)
        config.write_text(text)
        right = run_command(*arguments, *asked)
        unknown = run_command(*arguments, "acct_typo")

    assert (done.returncode, right.returncode, unknown.returncode) == (1, 0, 2)
    lines = done.stdout.splitlines()
    assert lines[-2].startswith("light-operating-eur: PROVIDER_BAD_RESPONSE: ")
    assert lines[-1] == "3 accounts asked, 1 failed"
    assert done.stderr == "Error: 1 of 3 accounts failed\n", "progress is for terminals only"
    findings = {one["name"]: one for one in json.loads(as_json.stdout) if one["kind"] == "account"}
    assert {name: one["code"] for name, one in findings.items() if not one["ok"]} == {
        "light-operating-eur": "PROVIDER_BAD_RESPONSE"
    }
    assert set(findings) == set(asked)
    assert "'acct_typo'" in unknown.stderr


def test_an_invalid_configuration_is_one_line_and_exit_code_2(config: Path) -> None:
    config.write_text(config.read_text().replace("scopes", "scope", 1))

    done = run_command("serve", "--config", str(config), TESTER_KEY="the-key-of-the-system-tester")

    assert done.returncode == 2
    assert done.stderr.strip() == (
        "Error: auth.api_keys[0].scope is not a known key; did you mean 'scopes'?"
    )


def test_a_wrong_file_of_a_private_network_is_exit_code_2(config: Path) -> None:
    light = (
        '[connectors.light]\nprovider = "light"\nbase_url = "https://x"\napi_key = "env:LIGHT"\n'
        'ca_file = "absent.pem"\n'
    )
    config.write_text(config.read_text() + light)
    secrets = {"TESTER_KEY": "k" * 22, "LIGHT": "a-key"}

    done = run_command("check", "--config", str(config), **secrets)

    assert done.returncode == 2
    assert done.stderr == (
        f"Error: connectors.light.ca_file cannot be read: {config.parent}/absent.pem:"
        " No such file or directory; set it to a PEM file\n"
    )


def test_a_secret_with_a_line_break_is_one_line_and_exit_code_2(config: Path) -> None:
    """A provider's key with a line break was a traceback with exit code 1."""
    light = (
        '[connectors.light]\nprovider = "light"\nbase_url = "https://x"\napi_key = "env:LIGHT"\n'
    )
    config.write_text(config.read_text() + light)

    done = run_command(
        *("serve", "--config", str(config)), TESTER_KEY=f"{'k' * 22}\n", LIGHT="a-key\nwith-a-break"
    )

    assert done.returncode == 2
    assert done.stderr.startswith("Error: connectors.light.api_key must be printable ASCII ")
    assert done.stderr.count("\n") == 1
    assert "a-key" not in done.stderr


def test_serve_exits_with_1_when_the_storage_cannot_be_opened(config: Path) -> None:
    config.write_text(config.read_text().replace("/gateway.db", "/no/such/place/gateway.db"))

    done = run_command(
        "serve", "--config", str(config), "--port", "0", TESTER_KEY="the-key-of-the-system-tester"
    )

    assert done.returncode == 1
    assert "no/such/place" in done.stderr
    assert "Traceback" not in done.stderr


def test_imported_entries_are_visible_in_a_running_gateway(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "entries.csv"
    file.write_text("id,book,date,amount\na,ledger,2026-01-01,10.50\nb,ledger,2026-01-02,-0.25\n")
    port = free_port()
    key = {"TESTER_KEY": "the-key-of-the-system-tester"}
    with run_process("serve", "--config", str(config), "--port", str(port), **key) as started:
        gateway = GatewayClient(f"http://127.0.0.1:{port}", "", key["TESTER_KEY"])
        wait_until_ready(gateway.url, started)
        before = gateway.data(BALANCE)

        imported = run_command(
            *("local", "import", "--config", str(config), "--account", "till", str(file)),
            is_preloaded=False,
            **key,
        )
        repeated = run_command(
            "local", "import", "--config", str(config), "--account", "till", str(file), **key
        )
        after = gateway.data(BALANCE)

    assert before["bankAccount"]["balance"]["ledger"]["amount"] == "0.00"
    assert imported.stdout == "2 entries added, 0 skipped as already imported\n"
    assert repeated.stdout == "0 entries added, 2 skipped as already imported\n"
    assert imported.stderr == "", "a progress bar is shown on terminals only"
    assert after["bankAccount"]["balance"]["ledger"]["amount"] == "10.25"


def test_an_invalid_row_is_named_by_line_and_nothing_is_imported(
    config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "entries.csv"
    file.write_text("id,book,date,amount\na,ledger,2026-01-01,10.50\nb,ledger,2026-02-30,1\n")
    key = {"TESTER_KEY": "the-key-of-the-system-tester"}
    arguments = ("local", "import", "--config", str(config), "--account", "till", "--json")

    failed = run_command(*arguments, str(file), **key)
    file.write_text("id,book,date,amount\na,ledger,2026-01-01,10.50\n")
    imported = run_command(*arguments, str(file), **key)

    assert failed.returncode == 1
    assert "line 3" in failed.stderr
    expected = {"added": 1, "already_there": 0, "before_opening": 0}
    assert json.loads(imported.stdout) == expected


def test_import_names_rows_before_the_opening_and_they_do_not_count(
    config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "entries.csv"
    file.write_text("id,book,date,amount\na,bank,2025-12-15,-200\nb,bank,2026-01-01,3\n")
    port, key = free_port(), {"TESTER_KEY": "the-key-of-the-system-tester"}
    with run_process("serve", "--config", str(config), "--port", str(port), **key) as started:
        gateway = GatewayClient(f"http://127.0.0.1:{port}", "", key["TESTER_KEY"])
        wait_until_ready(gateway.url, started)
        gateway.data(
            """mutation { upsertOpeningBalance(input: {accountId: "till",
                amount: {amount: "1000.00", currency: "EUR"},
                effectiveAt: "2026-01-01T00:00:00Z"}) { __typename } }"""
        )
        imported = run_command(
            "local", "import", "--config", str(config), "--account", "till", str(file), **key
        )
        after = gateway.data(
            """{ bankAccount(id: "till") {
                eve: balance(asOf: "2025-12-31") { bank { amount } bankMissing }
                day: balance(asOf: "2026-01-01") { bank { amount } bankMissing } } }"""
        )

    assert "Bank rows dated before the opening balance: 1." in imported.stdout
    assert after["bankAccount"] == {
        "eve": {"bank": None, "bankMissing": "BEFORE_OPENING"},
        "day": {"bank": {"amount": "1003.00"}, "bankMissing": None},
    }


def test_an_invalid_root_path_is_refused_by_its_option(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTER_KEY", "the-key-of-the-system-tester")

    for path in ("balances", "/balances/", "/a/../b"):
        done = CliRunner().invoke(main, ["serve", "--config", str(config), "--root-path", path])
        assert done.exit_code == 2
        assert done.output.startswith("Error: --root-path must be a path such as /balances")


def test_serve_drains_on_sigterm_and_exits_with_0(config: Path) -> None:
    port = free_port()
    # The option wins over the file.
    config.write_text(f"[server]\nroot_path = '/file'\n{config.read_text()}")
    arguments = ("serve", "--config", str(config), "--port", str(port), "--root-path", "/balances")
    with run_process(*arguments, is_preloaded=False, TESTER_KEY="k" * 40) as started:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, started)
        found = [get(f"{url}{path}/healthz").status_code for path in ("", "/balances", "/file")]

        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=30)

    assert (started.returncode, found) == (0, [200, 200, 404])


def test_sandbox_serves_its_catalogue() -> None:
    port = free_port()
    with run_process("sandbox", "--port", str(port), is_preloaded=False) as started:
        assert started.stderr is not None
        started.stderr.readline()
        token_url = f"http://127.0.0.1:{port}/layer-auth/oauth2/token"
        assert started.stderr.readline() == f"Layer's token_url: {token_url}\n"
        url = f"http://127.0.0.1:{port}/_control/catalogue"
        for _ in range(100):
            try:
                catalogue = get(url).json()
                break
            except httpx.HTTPError:
                continue
        # As a terminal that is closed does: it stops like after Ctrl-C.
        started.send_signal(signal.SIGHUP)
        started.communicate(timeout=30)

    assert started.returncode == 0
    assert {account["provider"] for account in catalogue["accounts"]} == {"light", "asset", "layer"}
