"""Run the examples of docs/commands.md against a demo; as a program, put their outputs there.

python -m tests.system.command_examples
"""

import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from balance_gateway.cli import main
from tests.system.processes import GatewayClient, run_demo

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
#: The file of the examples that import one.
_FILE = re.compile(r"```csv\n(.*?)```", re.DOTALL)
_FILES = ("openings.csv", "audit.jsonl")
#: The address and the folder that the page shows.
_URL = "http://127.0.0.1:8000"
_CONFIG_HOME = "~/.config"
_WRITE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: What differs from run to run, and what the comparison has instead.
_VARIABLE = (
    (_WRITE_ID, "(id)"),
    (re.compile(r"command-[0-9a-f]{24}"), "(key)"),
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "(time)"),
    (re.compile(r"20\d\d-\d\d-\d\dT(?!00:00:00Z|22:00:00Z|23:00:00Z)[\d:]+Z"), "(time)"),
    # The balances of today.
    (re.compile(r"(?m)^(as of|bank|ledger|difference|latest bank|bank feed)  .*"), r"\1 (today)"),
    (re.compile(r"(?m)^(light|asset|layer)-acme .*"), r"\1 (calls)"),
    (re.compile(r"(LIVE|CACHED)([ ,]+)\d+"), r"(state)\2(age)"),
    (re.compile(r"\d+ s ago"), "(age)"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "(hash)"),
    (re.compile(r" +"), " "),
)


def normalise(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, replacement in _VARIABLE:
        text = pattern.sub(replacement, text)
    return text


class Shell:
    """Runs commands in this process, as a shell with these variables would."""

    def __init__(self, gateway: GatewayClient, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.page = ""
        approver_key = folder / "demo" / "secrets" / "approver_key"
        self.environment = {
            "XDG_CONFIG_HOME": str(folder),
            "ADMIN_KEY": gateway.key,
            "APPROVER_KEY": approver_key.read_text(encoding="utf-8"),
        }

    def run(self, *arguments: str, **environment: str) -> Result:
        return CliRunner(env={**self.environment, **environment}).invoke(
            main, arguments, prog_name="balance-gateway"
        )


def run_examples(page: str, shell: Shell) -> str:
    """Return the page with the outputs of its examples, in their order."""
    write_id = plan_id = "none-yet"
    if found := _FILE.search(page):
        (shell.folder / _FILES[0]).write_text(found[1], encoding="utf-8")
    for name in _FILES[1:]:
        (shell.folder / name).unlink(missing_ok=True)

    def run_block(block: re.Match[str]) -> str:
        nonlocal write_id, plan_id
        outputs = []
        for line in block[1].splitlines():
            if not line.startswith("$ balance-gateway "):
                continue
            if "light-dormant-gbp" in line:
                fault = {"kind": "late_landing", "provider": "light", "method": "PUT"}
                shell.gateway.control("POST", "faults", {**fault, "delay_s": 600})
            command = line.replace("WRITE_ID", write_id).replace("PLAN_ID", plan_id)
            is_of_plan = "opening-balances" in command
            command = _WRITE_ID.sub(plan_id if is_of_plan else write_id, command)
            words = shlex.split(command.replace(_URL, shell.gateway.url))[2:]
            words = [str(shell.folder / word) if word in _FILES else word for word in words]
            output = shell.run(*words).output.replace(f"{shell.folder}/audit", "audit")
            if made := re.search(r"Plan: (\S+)", output):
                plan_id = made[1]
            if "light-dormant-gbp" in line:
                found = _WRITE_ID.search(output)
                assert found, output
                write_id = found[0]
            url = shell.gateway.url
            # A cell keeps its width.
            shown = output.replace(f"{url}  ", f"{_URL.ljust(len(url))}  ").replace(url, _URL)
            outputs.append(f"{command}\n{shown.replace(str(shell.folder), _CONFIG_HOME)}")
        return f"```console\n{''.join(outputs)}```"

    return _BLOCK.sub(run_block, page)


@contextmanager
def open_shell(folder: Path) -> Iterator[Shell]:
    """Run a demo; yield a shell with two profiles to remove one of."""
    with run_demo(folder / "demo") as (_, printed):
        url = printed["graphql_url"].removesuffix("/graphql")
        yield Shell(GatewayClient(url, printed["sandbox_url"], printed["admin_key"]), folder)


def update_page() -> None:
    with tempfile.TemporaryDirectory() as folder, open_shell(Path(folder)) as shell:
        PAGE.write_text(run_examples(PAGE.read_text(encoding="utf-8"), shell), encoding="utf-8")


if __name__ == "__main__":
    update_page()
