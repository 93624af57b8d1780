"""The unit: systemd accepts it, and its commands, paths and times are the product's."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from balance_gateway.cli import main
from balance_gateway.cli.usage import UsageError
from tests.deploy.deploy_files import DEPLOY, compute_drain_s, find_command, read_config

UNIT = (DEPLOY / "systemd" / "balance-gateway.service").read_text(encoding="utf-8")
PROGRAM = "/opt/balance-gateway/bin/balance-gateway"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def read_key(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT, re.M)
    return str(value)


def analyze(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on a unit whose program is the one of this environment."""
    assert ANALYZE is not None
    path = folder / "balance-gateway.service"
    path.write_text(text.replace(PROGRAM, str(Path(sys.executable).parent / "balance-gateway")))
    return subprocess.run(
        [ANALYZE, *arguments, str(path)], capture_output=True, text=True, check=False
    )


@needs_systemd
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    done = analyze(tmp_path, UNIT, "verify", "--man=no")

    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_unit_is_confined(tmp_path: Path) -> None:
    """The scale is from 0 to 100; without the settings it is above 80."""
    command = ("security", "--offline=true", "--threshold=20")
    bare = re.sub(r"^(Protect|Private|Restrict|SystemCall|Capab|NoNew).*\n", "", UNIT, flags=re.M)

    confined, open_to_all = (analyze(tmp_path, text, *command) for text in (UNIT, bare))

    assert confined.returncode == 0, confined.stdout[-500:]
    assert open_to_all.returncode != 0


@pytest.mark.parametrize(("key", "command"), [("ExecStart", "serve"), ("ExecReload", "reload")])
def test_unit_runs_commands_of_the_product(key: str, command: str) -> None:
    program, *words = read_key(key).split()

    assert program == PROGRAM
    assert words[0] == command
    assert find_command(main, words) == []


def test_unit_writes_only_to_its_own_folders() -> None:
    environment = dict(re.findall(r"^Environment=(\w+)=(.*)$", UNIT, re.M))

    assert read_key("ProtectSystem") == "strict"
    assert environment["BALANCE_GATEWAY_PID_FILE"].startswith(
        f"/run/{read_key('RuntimeDirectory')}/"
    )
    assert read_key("WorkingDirectory") == f"/var/lib/{read_key('StateDirectory')}"
    assert read_key("User") == "balance-gateway"


def test_unit_has_the_time_to_drain_and_no_restart_for_a_wrong_file(tmp_path: Path) -> None:
    settings = read_config(DEPLOY / "compose" / "gateway.toml", tmp_path)

    assert int(read_key("TimeoutStopSec")) >= compute_drain_s(settings)
    # Workers are stopped by their supervisor, which drains them.
    assert read_key("KillMode") == "mixed"
    assert int(read_key("RestartPreventExitStatus")) == UsageError.exit_code
