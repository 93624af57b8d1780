"""Runs the tests of each mutant in copies of the project, one copy for each processor."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.changes import Mutant
from tests.mutation.settings import Settings, SettingsError

#: What a copy leaves out: the history, environments and caches.
_NOT_COPIED = (".git", ".venv", ".nox", "__pycache__", ".*_cache", ".hypothesis", "dist")


@dataclass(frozen=True)
class Verdict:
    """The result of one mutant: whether a test failed, and the end of the tests' output."""

    mutant: Mutant
    noticed: bool
    output: str


def run_mutants(
    root: Path,
    settings: Settings,
    mutants: Sequence[Mutant],
    *,
    jobs: int,
    report: Callable[[Verdict], None],
) -> list[Verdict]:
    """Run the tests of all mutants; the project itself is not changed.

    Args:
        root: the project.
        settings: the tests of each file and their time limit.
        mutants: the mutants to run.
        jobs: number of copies that are tested at a time.
        report: called with each verdict as soon as it is known.

    Raises:
        SettingsError: tests fail without a mutant.
    """
    with _make_copies(root, jobs) as copies, ThreadPoolExecutor(jobs) as threads:

        def check_unchanged(tests: Sequence[str]) -> None:
            with _borrow(copies) as copy:
                passed, output = run_tests(copy, settings, tests)
            if not passed:
                raise SettingsError(f"tests fail without a mutant: {' '.join(tests)}\n{output}")

        def run_one(mutant: Mutant) -> Verdict:
            with _borrow(copies) as copy, _changed(copy / mutant.file, mutant.source):
                passed, output = run_tests(copy, settings, settings.find_tests(mutant))
            verdict = Verdict(mutant, not passed, output)
            report(verdict)
            return verdict

        used = {settings.find_tests(mutant) for mutant in mutants}
        list(threads.map(check_unchanged, sorted(used)))
        return list(threads.map(run_one, mutants))


@contextmanager
def _make_copies(root: Path, number: int) -> Iterator["queue.Queue[Path]"]:
    copies: queue.Queue[Path] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        for index in range(number):
            copy = Path(folder) / str(index)
            shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
            copies.put(copy)
        yield copies


@contextmanager
def _borrow(copies: "queue.Queue[Path]") -> Iterator[Path]:
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


@contextmanager
def _changed(path: Path, source: str) -> Iterator[None]:
    original = path.read_text(encoding="utf-8")
    try:
        _write_source(path, source)
        yield
    finally:
        _write_source(path, original)


def _write_source(path: Path, source: str) -> None:
    path.write_text(source, encoding="utf-8")
    # Two versions of the same size within one second have the same compiled file.
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def run_tests(copy: Path, settings: Settings, tests: Sequence[str]) -> tuple[bool, str]:
    """Return whether the tests of a copy pass in time, and the end of their output."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--tb=short"]
    with subprocess.Popen(
        [*command, f"--hypothesis-seed={settings.seed}", *tests],
        cwd=copy,
        # The copy's source precedes the installed one.
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=settings.timeout_s)
        except subprocess.TimeoutExpired:
            return False, f"not finished after {settings.timeout_s} s"
        finally:
            # With the servers that the tests have started.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode == 0, output.decode(errors="replace")[-2000:]
