"""The commands of the first day: a new configuration, API keys, and accounts found at providers."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from balance_gateway.app.configuration import parse_settings
from balance_gateway.cli import main


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=text)


NEW_KEY = ("keys", "new", "dash board", "--tenant", "acme", "--scope", "balances:read")


def test_a_new_key_is_accepted_and_its_table_has_a_reference_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    printed = json.loads(run(*NEW_KEY, "--scope", "audit:read", "--json").output)
    other = run(*NEW_KEY).output

    monkeypatch.setenv("DASH_BOARD_KEY", printed["key"])
    [key] = parse_settings(tomllib.loads(printed["toml"]), tmp_path).api_keys
    assert (key.name, key.tenant) == ("dash board", "acme")
    assert [scope.value for scope in key.scopes] == ["balances:read", "audit:read"]
    assert key.key.reveal() == printed["key"]
    assert len(printed["key"]) >= 43
    assert printed["key"] not in printed["toml"] + other
    assert 'key = "env:DASH_BOARD_KEY"' in other
    assert tomllib.loads(other)["auth"]["api_keys"][0]["scopes"] == ["balances:read"]


def test_a_key_in_a_file_is_its_owner_s_alone_and_replaces_nothing(tmp_path: Path) -> None:
    file = tmp_path / "dashboard.key"

    done = run(*NEW_KEY, "--file", str(file))
    kept = file.read_text()
    again = run(*NEW_KEY, "--file", str(file))

    [key] = parse_settings(tomllib.loads(done.stdout), Path("/elsewhere")).api_keys
    assert key.key.reveal() == kept.strip()
    assert kept.strip() not in done.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert (again.exit_code, file.read_text()) == (2, kept)
    assert str(file) in again.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scope", "balance:read"), "did you mean 'balances:read'?"),
        (("--scope", "x"), "one of accounts:admin, audit:read, balances:read, balances:write"),
        ((), "--scope is missing: set one or more of accounts:admin, audit:read,"),
        (("--scope", "audit:read", "--tenant", " "), "--tenant must be one line"),
    ],
)
def test_wrong_options_of_a_new_key_are_named(arguments: tuple[str, ...], message: str) -> None:
    done = run("keys", "new", "n", "--tenant", "acme", *arguments)

    assert done.exit_code == 2
    assert message in done.output
