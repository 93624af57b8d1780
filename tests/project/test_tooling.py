"""The tools around the code: forbidden skips, hooks before a commit, and the cap on uvicorn."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import REQUIRE_ALL

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

SKIPPING = {
    "call": "def test_it():\n    pytest.skip('no node')\n",
    "setup": "@pytest.fixture\ndef node():\n    pytest.skip('no node')\n"
    "def test_it(node):\n    pass\n",
    "mark": "@pytest.mark.skipif(True, reason='no node')\ndef test_it():\n    pass\n",
    "module": "pytest.skip('no node', allow_module_level=True)\n",
    "unittest": "import unittest\nclass TestIt(unittest.TestCase):\n"
    "    def test_it(self):\n        self.skipTest('no node')\n",
}


def run_pytest(directory: Path, code: str, require_all: str | None) -> tuple[int, str]:
    """Run pytest on one test file beside the suite's own conftest.py."""
    conftest = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    (directory / "conftest.py").write_text(conftest, encoding="utf-8")
    (directory / "test_it.py").write_text(f"import pytest\n{code}", encoding="utf-8")
    (directory / "pytest.ini").write_text("[pytest]\naddopts = -ra\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != REQUIRE_ALL}
    if require_all is not None:
        environment[REQUIRE_ALL] = require_all
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=directory, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("code", SKIPPING.values(), ids=SKIPPING)
def test_skip_fails_with_its_reason_when_all_is_required(tmp_path: Path, code: str) -> None:
    exit_code, output = run_pytest(tmp_path, code, "1")

    assert exit_code != 0, output
    assert f"{REQUIRE_ALL}=1 forbids skipping" in output
    assert "no node" in output
    assert re.search(r"\d skipped", output) is None


@pytest.mark.parametrize("require_all", [None, "", "0"])
@pytest.mark.parametrize("how", ["call", "setup", "mark"])
def test_skip_is_allowed_by_default(tmp_path: Path, how: str, require_all: str | None) -> None:
    exit_code, output = run_pytest(tmp_path, SKIPPING[how], require_all)

    assert exit_code == 0, output
    assert "1 skipped" in output
    assert "no node" in output


def test_expected_failure_does_not_count_as_a_skip(tmp_path: Path) -> None:
    code = "@pytest.mark.xfail(reason='known')\ndef test_it():\n    assert False\n"

    exit_code, output = run_pytest(tmp_path, code, "1")

    assert exit_code == 0, output
    assert "1 xfailed" in output


def test_pre_commit_runs_the_checks_of_this_suite() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")

    assert re.findall(r"^ +entry: (.+)$", hooks, re.MULTILINE) == [
        "ruff check src tests",
        "ruff format --check src tests",
        "mypy",
        "lint-imports --no-cache",
    ]
    assert set(re.findall(r"repo: (.+)", hooks)) == {"local"}


def test_uvicorn_is_capped_below_its_next_minor_version() -> None:
    """Private classes of uvicorn are subclassed: a minor version may change them.

    To raise the cap, read uvicorn's changes to the names below, then run the whole suite.
    """
    requirements = [Requirement(text) for text in PROJECT["dependencies"]]
    specifier = next(one.specifier for one in requirements if one.name == "uvicorn")

    assert str(specifier) == "<0.55,>=0.54"
    assert importlib.metadata.version("uvicorn") in specifier


def uvicorn_names(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything that a module takes from uvicorn."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "uvicorn":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "uvicorn":
                    assert alias.asname is None, "import uvicorn under its own name"
                    if alias.name != "uvicorn":
                        yield alias.name
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "uvicorn":
            yield f"uvicorn.{node.attr}"


def test_only_these_names_of_uvicorn_are_used() -> None:
    """A new use of a private class of uvicorn must be decided on and listed here."""
    sources = (ROOT / "src").rglob("*.py")
    names = {name for path in sources for name in uvicorn_names(ast.parse(path.read_bytes()))}

    assert names == {
        "uvicorn.Config",
        "uvicorn.Server",
        "uvicorn.protocols.http.flow_control.FlowControl",
        "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol",
        "uvicorn.protocols.http.httptools_impl.RequestResponseCycle",
        "uvicorn.protocols.http.httptools_impl.STATUS_LINE",
    }


def test_package_is_marked_as_typed() -> None:
    assert (ROOT / "src" / "balance_gateway" / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_tests_left_out_of_coverage_exist() -> None:
    """A renamed test once stayed on the list, and was traced again."""
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    # A string that is too long for its line is written in two.
    listed = re.findall(r"(tests/[a-z_/]+\.py)::(\w+)", text.replace('"\n    "', ""))

    assert len(listed) == text.count("::test_")
    for path, name in listed:
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")
