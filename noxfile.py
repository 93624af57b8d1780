"""Checks that need environments of their own: `nox -s tests`, `nox -s lint`, `nox -s coverage`.

Arguments after `--` go to pytest: `nox -s tests-3.12 -- tests/domain`.
"""

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

# These measure CPU time or throughput, which tracing multiplies: `tests` runs them.
UNTRACED = [
    "tests/storage/test_local_csv.py::test_a_hundred_thousand_rows_are_imported_within_seconds",
    "tests/system/test_overload.py::test_excess_requests_are_rejected_and_the_others_succeed",
]

nox.needs_version = ">=2025.5"
nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "venv"
# An interpreter that is not installed is reported as skipped. Nox makes it an error when the
# variable CI is set, and may download one, unless both are turned off.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"


def install(session: nox.Session) -> None:
    """Install the project and its development tools in the pinned versions."""
    session.install("-q", "-c", "constraints.txt", "-e", ".[dev]")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on every supported Python that is installed."""
    install(session)
    session.run("pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Run the checks of `.pre-commit-config.yaml` on every file."""
    install(session)
    session.run("pre-commit", "run", "--all-files")


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests under coverage and fail below `fail_under` of pyproject.toml."""
    install(session)
    session.run("coverage", "erase")
    untraced = [f"--deselect={test}" for test in UNTRACED]
    session.run("coverage", "run", "-m", "pytest", *untraced, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")
