"""The commands against a running gateway, as on their page, in pipes and with wrong keys."""

import contextlib
import csv
import io
import json
import subprocess
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from balance_gateway.cli import main
from balance_gateway.cli.remote.profiles import (
    Profile,
    Profiles,
    changing_profiles,
    read_profiles,
    write_profiles,
)
from balance_gateway.cli.usage import UsageError
from balance_gateway.config.http_urls import HttpUrl
from tests.system.command_examples import PAGE, Shell, normalise, open_shell, run_examples
from tests.system.processes import COMMAND, run_command, run_process


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell beside a demo whose page of commands was run: it has the profile demo."""
    with open_shell(tmp_path_factory.mktemp("shell")) as opened:
        opened.page = run_examples(PAGE.read_text(encoding="utf-8"), opened)
        yield opened


def test_the_page_shows_what_the_commands_print(shell: Shell) -> None:
    """After a change of an output: python -m tests.system.command_examples."""
    assert normalise(shell.page) == normalise(PAGE.read_text(encoding="utf-8"))


def test_all_pages_are_read_in_a_pipe_with_nothing_else(shell: Shell) -> None:
    expected = shell.gateway.data("{ bankAccounts(first: 1000) { nodes { id } } }")
    ids = [node["id"] for node in expected["bankAccounts"]["nodes"]]

    done = run_command(
        *("balances", "show", "--as-of", "2026-05-07", "--format", "jsonl"), **shell.environment
    )
    limited = shell.run("balances", "show", "--limit", "101", "--as-of", "2026-05-07", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ids
    assert len(ids) > 101
    assert [row["id"] for row in json.loads(limited.stdout)] == ids[:101]


def test_a_history_longer_than_a_request_has_every_day_once(shell: Shell) -> None:
    arguments = (
        "balances",
        "history",
        "local-till-tokyo",
        "--from",
        "2024-01-01",
        "--format",
        "csv",
    )
    days = shell.run(*arguments, "--to", "2026-02-04")
    weeks = shell.run(*arguments, "--to", "2031-01-09", "--step", "week")

    first = date(2024, 1, 1)
    lines = days.stdout.splitlines()
    assert days.exit_code == weeks.exit_code == 0
    assert [line.split(",")[0] for line in lines[1:]] == [
        str(first + timedelta(days=number)) for number in range(766)
    ]
    assert lines[-1].split(",")[3] == "73600"
    shown = [line.split(",")[0] for line in weeks.stdout.splitlines()[1:]]
    expected = [str(first + timedelta(weeks=number)) for number in range(367)]
    assert shown == [*expected, "2031-01-09"]


def test_a_repeated_key_returns_the_first_outcome(shell: Shell) -> None:
    arguments = ("opening-balances", "set", "local-gift-cards", "--currency", "usd", "--json")
    key = ("--idempotency-key", "repeated")
    first = shell.run(*arguments, "--amount", "-12.50", *key)
    again = shell.run(*arguments, "--amount", "-12.50", *key)
    other = shell.run(*arguments, "--amount", "-12.51", *key)

    outcomes = [json.loads(done.stdout) for done in (first, again, other)]
    assert [outcome.get("replayed") for outcome in outcomes] == [False, True, None]
    assert outcomes[0]["openingBalance"]["amount"]["amount"] == "-12.50"
    assert outcomes[0]["writeId"] == outcomes[1]["writeId"]
    assert (first.exit_code, again.exit_code, other.exit_code) == (0, 0, 1)


def test_a_day_is_its_start_in_the_zone_of_the_account(shell: Shell) -> None:
    arguments = ("opening-balances", "set", "layer-payroll-checking", "--amount", "5.00", "--json")

    done = shell.run(*arguments, "--currency", "USD", "--effective-at", "2026-01-02")

    assert json.loads(done.stdout)["openingBalance"]["effectiveAt"] == "2026-01-02T05:00:00Z"


def test_a_wrong_key_and_a_missing_scope_are_one_line_each(shell: Shell) -> None:
    secrets = shell.folder / "demo" / "secrets"
    reader = ("--url", shell.gateway.url, "--key", f"file:{secrets / 'read_key'}")

    unknown = shell.run("whoami", "--key", "env:WRONG", WRONG="a-key-that-was-never-made")
    lists = shell.run("writes", "list", *reader)
    writes = shell.run(
        *("opening-balances", "set", "local-till-tokyo", "--amount", "1", "--currency", "JPY"),
        *("--idempotency-key", "reader", *reader),
    )

    assert [done.exit_code for done in (unknown, lists, writes)] == [1, 1, 1]
    assert [done.output.count("\n") for done in (unknown, lists, writes)] == [1, 1, 1]
    assert "does not accept the key of env:WRONG (UNAUTHENTICATED)" in unknown.output
    assert "a-key-that-was" not in unknown.output
    assert "audit:read" in lists.output
    assert "balances:write. Nothing was written." in writes.output


def test_a_literal_key_is_refused_and_not_repeated(shell: Shell) -> None:
    done = run_command(
        *("whoami", "--url", shell.gateway.url, "--key", shell.gateway.key), **shell.environment
    )

    assert done.returncode == 2
    assert done.stderr.startswith("Error: --key must be a reference, env:NAME or file:PATH")
    assert done.stderr.count("\n") == 1
    assert shell.gateway.key not in done.stderr + done.stdout


def test_a_provider_that_is_down_fails_its_rows_only(shell: Shell) -> None:
    fault = {"kind": "status", "provider": "asset", "status": 404, "times": None}
    shell.gateway.control("POST", "faults", fault)

    done = shell.run(
        *("balances", "show", "light-operating-eur", "asset-term-loan"),
        *("--as-of", "2026-04-07", "--format", "csv"),
    )
    shell.gateway.control("DELETE", "faults")
    totals = shell.run("balances", "totals", "--as-of", "2019-01-01", "--currency", "KWD", "--json")

    header, light, asset = (line.split(",") for line in done.stdout.splitlines())
    assert (light[0], light[header.index("error")]) == ("light-operating-eur", "")
    assert (asset[0], asset[header.index("error")]) == ("asset-term-loan", "PROVIDER_REJECTED")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "1 of 2 accounts failed: balance: PROVIDER_REJECTED" in done.stderr
    assert [row["currency"] for row in json.loads(totals.stdout)] == ["KWD"]


def test_a_killed_apply_goes_on_and_sends_each_row_once(shell: Shell, tmp_path: Path) -> None:
    accounts = [f"layer-{name}" for name in ("escrow-austin", "savings-boston", "refunds-austin")]
    path = tmp_path / "openings.csv"
    path.write_text("\n".join(["account,amount", *(f"{each},1.25" for each in accounts)]))
    made = shell.run("opening-balances", "import", str(path), "--json")
    plan_id = json.loads(made.stdout)["id"]
    shell.gateway.control("DELETE", "requests")
    fault = {"kind": "delay", "provider": "layer", "method": "POST", "delay_s": 0.5, "times": None}
    shell.gateway.control("POST", "faults", fault)
    states = "query ($id: ID!) { openingBalancePlan(id: $id) { state } }"

    with run_process("opening-balances", "apply", plan_id, **shell.environment) as applying:
        while shell.gateway.data(states, id=plan_id)["openingBalancePlan"]["state"] == "READY":
            time.sleep(0.02)
        applying.kill()
        applying.wait(20)
    again = shell.run("opening-balances", "apply", plan_id, "--format", "csv")
    shell.gateway.control("DELETE", "faults")
    twice = shell.run("opening-balances", "apply", plan_id, "--json")

    rows = list(csv.DictReader(io.StringIO(again.stdout)))
    assert rows, again.output
    assert [(row["account"], row["outcome"]) for row in rows] == [
        (account, "APPLIED") for account in accounts
    ]
    assert (again.exit_code, twice.exit_code) == (0, 0), again.output
    assert f"Plan {plan_id}: FINISHED." in again.stderr
    assert json.loads(twice.stdout)["counts"]["applied"] == 3
    requests = shell.gateway.control("GET", "requests")["requests"]
    writes = [each["path"] for each in requests if "opening-balance" in each["path"]]
    methods = [each["method"] for each in requests if each["path"] in writes]
    assert methods.count("POST") == 3


def test_a_row_that_drifted_is_reported_with_the_next_step(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "openings.csv"
    path.write_text("account,amount\nlayer-fleet-card,-2.50\nlayer-company-card,-3.50\n")
    made = shell.run("opening-balances", "import", str(path))
    plan_id = made.stderr.split("Plan: ")[1].split()[0]
    drift = ("opening-balances", "set", "layer-fleet-card", "--amount", "-9", "--currency", "USD")
    drifted = shell.run(*drift)

    applied = shell.run("opening-balances", "apply", plan_id)

    assert (made.exit_code, drifted.exit_code, applied.exit_code) == (0, 0, 1), made.output
    assert "Line 2 (layer-fleet-card): BAD_USER_INPUT: " in applied.stdout
    assert "1 of 2 rows are not applied. 1 are certainly not applied" in applied.stderr
    assert applied.stderr.count("\n") == 1


def test_rows_that_the_gateway_refuses_are_named_and_nothing_is_sent(
    shell: Shell, tmp_path: Path
) -> None:
    rows = ("layer-fleet-card,-2.50,a note,", "layer-escrow-boston,5,,2026-01-01")
    path = tmp_path / "openings.csv"
    path.write_text("\n".join(["account,amount,memo,date", *rows]))

    done = shell.run("opening-balances", "import", str(path), "--apply", "--yes")

    assert done.exit_code == 1
    assert [line[:7] for line in done.stdout.splitlines() if "Line" in line] == [
        "Line 2 ",
        "Line 3 ",
    ]
    assert "2 of 2 rows cannot be applied, so nothing is sent" in done.stderr
    assert "REFUSED" in done.stdout


def test_plans_explanations_and_the_audit_log_need_their_scopes(
    shell: Shell, tmp_path: Path
) -> None:
    path, target = tmp_path / "openings.csv", tmp_path / "audit.jsonl"
    path.write_text("account,amount\nlayer-fleet-card,-2.50\n")
    secrets = shell.folder / "demo" / "secrets"
    reader = ("--url", shell.gateway.url, "--key", f"file:{secrets / 'read_key'}")

    needed = [
        ("balances:write", shell.run("opening-balances", "import", str(path), *reader)),
        ("balances:write", shell.run("opening-balances", "apply", "x", *reader)),
        ("audit:read", shell.run("explain", "layer-fleet-card", *reader)),
        ("audit:read", shell.run("audit", "list", *reader)),
        ("audit:read", shell.run("audit", "export", str(target), *reader)),
    ]
    unknown = shell.run("opening-balances", "apply", "no-such-plan")

    for scope, done in needed:
        assert done.exit_code == 1
        assert "FORBIDDEN" in done.stderr
        assert scope in done.stderr.splitlines()[-1]
    assert not target.exists()
    assert (unknown.exit_code, unknown.output.count("\n")) == (1, 1)


def test_an_exported_audit_log_is_whole_private_and_has_its_head(
    shell: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    done = shell.run("audit", "export", str(path), "--json")
    again = shell.run("audit", "export", str(path))
    [chain] = json.loads(done.stdout)["tenants"]
    remote = shell.run("audit", "verify", "--profile", "demo", "--head", chain["head"], "--json")
    missing = shell.run("audit", "verify", "--profile", "demo", "--head", "0" * 64)
    stored = shell.run("audit", "verify", "--config", str(shell.folder / "demo" / "gateway.toml"))
    both = shell.run("audit", "verify", "--profile", "demo", "--file", str(path))
    listed = shell.run("audit", "list", "--oldest-first", "--format", "csv")

    assert (done.exit_code, again.exit_code, remote.exit_code) == (0, 2, 0), done.output
    assert path.stat().st_mode & 0o777 == 0o600
    assert "exists: nothing was changed" in again.stderr
    assert json.loads(remote.stdout)["tenants"][0]["rows"] == chain["rows"]
    assert (missing.exit_code, stored.exit_code, both.exit_code) == (1, 0, 2)
    assert f"the head {'0' * 64} is not in it" in missing.stderr
    assert f"acme: {chain['rows']} rows, head {chain['head']}\n" in stored.stdout
    rows = list(csv.DictReader(io.StringIO(listed.stdout)))
    assert len(rows) == chain["rows"]
    assert rows[-1]["hash"] == chain["head"]


def test_a_filtered_audit_log_has_these_entries_only(shell: Shell) -> None:
    chosen = ("--account", "local-petty-cash", "--action", "finished", "--json")
    all_days = shell.run("audit", "list", *chosen, "--since", "2020-01-01", "--until", "2999-12-31")
    earlier = shell.run("audit", "list", *chosen, "--until", "2020-01-01")

    assert {(each["accountId"], each["action"]) for each in json.loads(all_days.stdout)} == {
        ("local-petty-cash", "FINISHED")
    }
    assert json.loads(earlier.stdout) == []


def test_an_explanation_names_what_makes_a_figure_doubtful(shell: Shell) -> None:
    fault = {"kind": "status", "provider": "asset", "status": 404, "times": None}
    shell.gateway.control("POST", "faults", fault)
    failed = shell.run("explain", "asset-term-loan", "--as-of", "2026-03-03")
    shell.gateway.control("DELETE", "faults")
    as_json = shell.run("explain", "light-operating-eur", "--as-of", "2026-05-07", "--json")
    unknown = shell.run("explain", "no-such-account")

    assert (failed.exit_code, as_json.exit_code, unknown.exit_code) == (0, 0, 1)
    assert "PROVIDER_REJECTED: " in failed.stdout.split("BALANCE")[1].splitlines()[0]
    document = json.loads(as_json.stdout)
    assert document["balance"]["evidence"]["bound"]["sent"] == "2026-05-07"
    assert "'balance-gateway accounts list' shows the accounts" in unknown.stderr


def test_the_completion_of_a_shell_offers_commands_and_profiles(shell: Shell) -> None:
    def complete(words: str) -> list[str]:
        asked = {"_BALANCE_GATEWAY_COMPLETE": "zsh_complete", "COMP_WORDS": words}
        done = shell.run(**asked, COMP_CWORD=str(words.count(" ")))
        return done.stdout.splitlines()[1::3]

    assert complete("balance-gateway opening-b") == ["opening-balances"]
    assert complete("balance-gateway whoami --profile d") == ["demo"]
    assert "_balance_gateway_completion" in shell.run("completion", "fish").stdout


def test_a_profile_is_written_for_its_owner_only(shell: Shell, tmp_path: Path) -> None:
    config = {"XDG_CONFIG_HOME": str(tmp_path)}
    added = shell.run(
        *("profiles", "add", "x", "--url", "https://gw.example/", "--key", "file:key"), **config
    )
    twice = shell.run("profiles", "add", "x", "--url", "https://a", "--key", "env:K", **config)
    literal = shell.run("profiles", "add", "y", "--url", "https://a", "--key", "secret", **config)

    path = tmp_path / "balance-gateway" / "profiles.toml"
    assert (added.exit_code, twice.exit_code, literal.exit_code) == (0, 2, 2)
    assert path.stat().st_mode & 0o777 == 0o600
    assert f'key = "file:{Path("key").absolute()}"' in path.read_text()
    path.write_text(path.read_text().replace("url =", "ulr ="))
    assert (
        "profiles.x.ulr is not a known key; did you mean 'url'?"
        in shell.run("profiles", "list", **config).output
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("profiles = 5", "profiles must be a table"),
        ("profiles.x = 5", "profiles.x must be a table"),
        ("[profiles.x]\nkey = 'env:K'", "profiles.x.url is missing"),
        ("[profiles.x]\nurl = 'https://a'\nkey = 7", "profiles.x.key must be a string"),
        ("[profiles.x]\nurl = 'https://u:p@a'\nkey = 'env:K'", "must not contain a user"),
        ("[profiles.x]\nurl = 'https://a'\nkey = 'the-secret'", "profiles.x.key must be a ref"),
        ("[profiles.x]\nurl = 'http://a'\nkey = 'file:k'", "k cannot be read: No such file"),
        ("[profiles.x", "is not TOML"),
        ("default = 'y'", "There is no profile 'y'"),
        (f"x = {'9' * 5000}", "is not TOML: Exceeds the limit"),
        ("default = 'y'\n[profiles.\"a\\nb\"]\nurl = 'http://a'\nkey = 'env:K'", r"there: a\nb"),
        ("[profiles.x]\nurl = 'https://a'\nkey = 'env:HOME'\nca_file = \"\\u0000\"", "a PEM file"),
    ],
)
def test_a_wrong_profile_is_one_line_that_names_its_key(
    text: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "balance-gateway" / "profiles.toml"
    path.parent.mkdir()
    path.write_text(text if text.startswith("default") else f"default = 'x'\n{text}")

    done = CliRunner(env={"XDG_CONFIG_HOME": str(tmp_path)}).invoke(main, ["whoami"])

    assert done.exit_code == 2, done.output
    assert expected in done.output
    assert any(place in done.output for place in (str(path), "cannot be read", "--ca-file"))
    assert done.output.count("\n") == 1
    assert "the-secret" not in done.output
    assert "u:p" not in done.output


@pytest.mark.parametrize("form", ["--json", "--format=jsonl", "--format=csv", "--format=table"])
def test_profiles_are_listed_in_every_format(form: str, tmp_path: Path) -> None:
    """JSON ended in a traceback: the address was of a type of its own."""
    path = tmp_path / "balance-gateway" / "profiles.toml"
    path.parent.mkdir()
    # As some editors write it.
    path.write_bytes(b"\xef\xbb\xbf[profiles.x]\r\nurl = 'https://a.example'\r\nkey = 'env:K'\r\n")

    done = CliRunner(env={"XDG_CONFIG_HOME": str(tmp_path)}).invoke(
        main, ["profiles", "list", form]
    )

    assert done.exit_code == 0, done.output
    assert "https://a.example" in done.stdout


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with any user id and without HOME ended in a traceback."""
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 9)
    runner = CliRunner(env={"HOME": None, "XDG_CONFIG_HOME": "relative"})

    done = [runner.invoke(main, each) for each in (["profiles", "list"], ["whoami"])]

    assert [each.exit_code for each in done] == [2, 2]
    assert all("set XDG_CONFIG_HOME to an absolute path" in each.stderr for each in done)


@pytest.mark.parametrize("option", ["--key=file:k\udcff", "--ca-file=c\udcff"])
def test_a_path_that_is_not_utf8_breaks_no_profile_file(option: str, tmp_path: Path) -> None:
    """The file was written with an escape that TOML does not have, and never read again."""
    runner = CliRunner(env={"XDG_CONFIG_HOME": str(tmp_path)})

    done = runner.invoke(
        main, ["profiles", "add", "x", "--url", "https://a.example", "--key", "env:K", option]
    )

    assert done.exit_code == 2
    assert "must be UTF-8 text" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_profiles_added_at_once_are_all_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each command read the file, and the last one wrote what it had read."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with changing_profiles() as known:
        address = ("--url", "https://b.example", "--key", "env:K")
        other = subprocess.Popen([*COMMAND, "profiles", "add", "b", *address])
        # Long enough to write, if it did not wait for this block.
        with contextlib.suppress(subprocess.TimeoutExpired):
            other.wait(2)
        write_profiles(known.add("a", Profile(HttpUrl("https://a.example"), "env:K")))

    assert other.wait(60) == 0
    assert sorted(read_profiles().profiles) == ["a", "b"]
    assert [path.name for path in (tmp_path / "balance-gateway").iterdir()] == ["profiles.toml"]


def test_a_profile_file_that_cannot_be_written_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A failed write left its temporary file beside the profiles each time."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "balance-gateway"
    (folder / "profiles.toml").mkdir(parents=True)

    with pytest.raises(UsageError, match="cannot be written"):
        write_profiles(Profiles())

    assert [path.name for path in folder.iterdir()] == ["profiles.toml"]
