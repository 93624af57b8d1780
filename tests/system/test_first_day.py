"""The commands of the first day: a new configuration, API keys, and accounts found at providers."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from balance_gateway.app.configuration import parse_settings, read_settings
from balance_gateway.cli import main
from balance_gateway.domain.access import Scope
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.secret import Secret
from balance_gateway.providers.asset.provider import AssetSettings
from balance_gateway.providers.light.provider import LightSettings
from tests.servers import free_port
from tests.system.processes import COMMAND, GatewayClient, run_process, wait_until_ready


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
        (("--scope", "audit:read", "--file", "k\udcff"), "--file must be UTF-8 text"),
    ],
)
def test_wrong_options_of_a_new_key_are_named(arguments: tuple[str, ...], message: str) -> None:
    done = run("keys", "new", "n", "--tenant", "acme", *arguments)

    assert done.exit_code == 2
    assert message in done.output


def init(*arguments: str) -> Result:
    return run("init", *arguments, "--json")


def list_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_new_gateway_serves_at_once_with_the_printed_key(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "two"
    port = free_port()

    printed = json.loads(init(str(folder), "--tenant", "acme", "--port", str(port)).stdout)

    config = Path(printed["config"])
    assert list_files(folder) == [
        *("balance-gateway.db", "gateway.toml", "secrets", "secrets/admin_key")
    ]
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    assert (folder / "secrets" / "admin_key").stat().st_mode & 0o777 == 0o600
    assert printed["admin_key"] not in config.read_text()
    # From another working directory, and with nothing in the environment.
    with run_process("serve", "--config", str(config)) as started:
        gateway = GatewayClient(f"http://127.0.0.1:{port}", "", printed["admin_key"])
        wait_until_ready(gateway.url, started, timeout_s=60)
        viewer = gateway.data("{ viewer { tenant scopes } }")["viewer"]
        checked = run("check", "--config", str(config), "--json")
        # Faster than the SIGTERM of a service, which waits for new connections.
        started.send_signal(signal.SIGINT)
        started.communicate(timeout=30)
    assert viewer["tenant"] == "acme"
    assert set(viewer["scopes"]) == {scope.value for scope in Scope}
    assert {one["name"] for one in json.loads(checked.stdout)} == {"storage", "local"}
    assert checked.exit_code == 0


def test_every_comment_of_a_new_configuration_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert init(str(tmp_path)).exit_code == 0
    text = (tmp_path / "gateway.toml").read_text()
    for name in re.findall(r'"env:(\w+)"', text):
        monkeypatch.setenv(name, "a-secret")

    whole = re.sub(r"^# (\[|\w+ = )", r"\1", text, flags=re.MULTILINE)

    settings = parse_settings(tomllib.loads(whole), tmp_path)
    assert {one.provider for one in settings.connectors} == set(ProviderKind)
    assert settings.jwt is not None
    assert [one.id for one in settings.accounts] == ["petty_cash"]
    # Each table has a comment that explains it.
    blocks = text.split("\n\n")
    assert [block for block in blocks if not block.startswith("# ")] == []


def test_a_provider_s_secrets_are_stored_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHT_API_KEY", "the-key-of-light\n")
    monkeypatch.setenv("ASSET_TOKEN", "the-token")
    provider = ("--provider", "light,base_url=https://light.example")

    token = ("--provider", "asset,access_token=env:ASSET_TOKEN")
    done = init(str(tmp_path), *provider, *token)

    assert done.exit_code == 0, done.output
    monkeypatch.delenv("LIGHT_API_KEY")
    text = (tmp_path / "gateway.toml").read_text()
    light, asset, _ = parse_settings(tomllib.loads(text), tmp_path).connectors
    assert isinstance(light.settings, LightSettings)
    assert light.settings.base_url == "https://light.example"
    assert light.settings.api_key == Secret("the-key-of-light")
    assert isinstance(asset.settings, AssetSettings)
    assert asset.settings.access_token == Secret("the-token")
    assert "the-key-of-light" not in text + done.output
    assert (tmp_path / "secrets" / "light_api_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "name",
    ["gateway.toml", "secrets/admin_key", "balance-gateway.db", "balance-gateway.db-wal"],
)
def test_no_existing_file_is_replaced_and_nothing_else_is_written(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("kept")
    before = list_files(tmp_path)

    done = init(str(tmp_path))

    assert done.exit_code == 2
    assert f"{file} exists: nothing was changed" in done.output
    assert (list_files(tmp_path), file.read_text()) == (before, "kept")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("{}/d\udcff",), "DIRECTORY must be UTF-8 text"),
        (("--config", "{}/d\udcff/gateway.toml"), "--config must be UTF-8 text"),
        (("{}", "--database", "sqlite:////tmp/\udcff"), "--database must be UTF-8 text"),
        (("{}", "--tenant", "a\nb"), "--tenant must be one line of text"),
    ],
)
def test_a_text_that_no_file_can_have_is_refused(
    options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = init("--yes", *(option.format(tmp_path) for option in options))

    assert done.exit_code == 2
    assert message in done.stderr
    assert list_files(tmp_path) == []


def test_a_configuration_that_is_a_broken_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").symlink_to(tmp_path / "nowhere")

    assert init(str(tmp_path)).exit_code == 2
    assert list_files(tmp_path) == ["gateway.toml"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--database", "postgresql://nobody@127.0.0.1:1/none"), 1, "127.0.0.1:1"),
        (("--database", "postgresql://u:hunter2@h/d"), 2, "storage.url contains a password"),
        (("--database", "sqlite:////proc/none/x.db"), 1, "/proc/none cannot be written: "),
        (("--cache", "memcached://x"), 2, "cache.url must start with memory://"),
        (("--tenant", " "), 2, "--tenant must be one line of text that is not blank"),
        (("--provider", "ligt"), 2, "did you mean 'light'?"),
        (("--provider", "light"), 2, "needs the environment variable LIGHT_API_KEY"),
        (("--provider", "light,api_key=hunter2"), 2, "connectors.light.api_key must be a refer"),
        (("--provider", "statement_file,pat=x"), 2, "did you mean 'path'?"),
        (("--provider", "statement_file,x"), 2, "must have KEY=VALUE after a comma, not 'x'"),
    ],
)
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.delenv("LIGHT_API_KEY", raising=False)

    done = init(str(tmp_path / "new"), *arguments)

    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
    assert "hunter2" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert list_files(tmp_path) == []


def test_a_terminal_is_asked_for_what_no_option_says(tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    # In a session of its own, so that a hidden answer is read from this terminal as well.
    process = subprocess.Popen(
        [*COMMAND, "init", str(tmp_path), "--host", "::1"],
        **dict.fromkeys(("stdin", "stdout", "stderr"), terminal),
        env={**os.environ, "LIGHT_API_KEY": "", "COLUMNS": "200"},
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    answers = {b"tenant": b"acme", b"database": b"", b"cache": b"", b"port": b"9001"}
    answers |= {b"providers": b"light", b"LIGHT_API_KEY": b"the-key-of-light"}
    with open(master, "r+b", buffering=0) as screen, contextlib.suppress(OSError):
        while part := screen.read(4096):
            shown += part
            last = shown.rsplit(b"\n", 1)[-1]
            if last.endswith(b": ") and (word := last.split()[0].strip(b":,")) in answers:
                screen.write(answers.pop(word) + b"\n")

    assert process.wait(20) == 0, shown
    assert answers == {}
    assert b"the-key-of-light" not in shown
    settings = read_settings(tmp_path / "gateway.toml")
    assert (settings.server.host, settings.server.port) == ("::1", 9001)
    assert settings.api_keys[0].tenant == "acme"
    assert {one.name for one in settings.connectors} == {"light", "local"}
