"""A process that is forked behaves as one that is started from nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.preloaded_processes import PreloadedProcess

ENVIRONMENT = {**os.environ, "WORD": "a word", "TZ": "Asia/Tokyo"}

CODES = {
    "arguments and environment": "import sys, os, time\n"
    "print(sys.argv, sorted(os.environ), os.environ['WORD'], time.tzname, __name__)",
    "input to its end": "import sys; print(sys.stdin.read() == '')",
    "exit code": "import sys; sys.exit(7)",
    "message as exit code": "import sys; sys.exit('a message')",
    "last actions": "import atexit; atexit.register(lambda: print('last'))",
    "signal handlers": "import signal\n"
    "for one in signal.valid_signals(): print(one, signal.getsignal(one))",
    "open files": "import os; print(sorted(os.listdir('/proc/self/fd'))[:-1])",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
}


def start_preloaded(code: str) -> PreloadedProcess:
    return PreloadedProcess(["one", "two"], environment=ENVIRONMENT, code=code)


def start_new(code: str) -> "subprocess.Popen[str]":
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", code, "one", "two"]
    return subprocess.Popen(command, text=True, env=ENVIRONMENT, **pipes)


def run(start: Callable[[str], "PreloadedProcess | subprocess.Popen[str]"], code: str) -> object:
    process = start(code)
    output = process.communicate(timeout=30)
    return process.returncode, output


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_forked_process_does_what_a_new_one_does(code: str) -> None:
    assert run(start_preloaded, code) == run(start_new, code)


def test_uncaught_error_is_reported() -> None:
    code, (_, errors) = run(start_preloaded, "raise ValueError('no such thing')")

    assert code == 1
    assert errors.endswith("ValueError: no such thing\n")


def test_killed_process_has_the_number_of_its_signal() -> None:
    process = start_preloaded("import time; print('up', flush=True); time.sleep(60)")
    assert process.stdout.readline() == "up\n"
    running = process.poll()

    process.kill()
    process.communicate(timeout=30)

    assert (running, process.poll()) == (None, -signal.SIGKILL)
