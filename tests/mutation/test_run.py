"""Tests the command on a project of one module."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutation.__main__ import main
from tests.mutation.runner import run_tests
from tests.mutation.settings import read_settings

SOURCE = '''"""A toy."""


def grow(size):
    if size > 10:
        return 10
    return size + 1


def shrink(size):
    return size - 1
'''

TESTS = """
from toy import grow, shrink


def test_grow():
    assert [grow(3), grow(9), grow(10), grow(11), grow(99)] == [4, 10, 11, 10, 10]


def test_shrink():
    assert shrink(3) == 2
"""

SETTINGS = """
[tool.balance_gateway.mutation]
seed = 1
sample = 100
threshold_percent = 95
timeout_s = 60

[tool.balance_gateway.mutation.tests]
"src/toy.py::{function}" = ["test_toy.py"]
"""

UNCHANGED = """
[[mutant]]
file = "src/toy.py"
function = "shrink"
removed = "return size - 1"
added = "return None"
reason = "an example"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The other plugins take most of the time of each run, and no test here needs them.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "_hypothesis_pytestplugin")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "toy.py").write_text(SOURCE)
    (tmp_path / "test_toy.py").write_text(TESTS)
    (tmp_path / "equivalent.toml").write_text("")
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(function="shrink"))
    return tmp_path


def run(project: Path, *arguments: str) -> int:
    return main([*arguments, "--jobs", "2"], project, project / "equivalent.toml")


def test_noticed_mutant_passes_and_the_project_is_not_changed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(project, "--sample", "1") == 0

    assert "1 of 1 noticed: 100.0 %" in capsys.readouterr().out
    assert (project / "src" / "toy.py").read_text() == SOURCE


def test_survivor_is_reported_with_its_change_and_fails(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "test_toy.py").write_text("from toy import shrink\ndef test(): assert shrink(3)\n")

    assert run(project, "--json", str(project / "report.json")) == 1

    output = capsys.readouterr().out
    assert "survived: src/toy.py:11 shrink (arithmetic operator)" in output
    assert "- return size - 1\n+ return (size + 1)\n" in output
    assert "1 of 4 noticed: 25.0 %" in output
    rows = json.loads((project / "report.json").read_text())["mutants"]
    assert {row["added"]: row["noticed"] for row in rows} == {
        "return (size + 1)": False,
        "return None": True,
        "return size - 2": False,
        "return size - (0)": False,
    }


def test_listed_mutant_is_not_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "equivalent.toml").write_text(UNCHANGED)

    assert run(project, "--sample", "1") == 0

    assert "1 of 3 mutants, seed 1" in capsys.readouterr().out


def test_tests_that_do_not_end_have_failed(project: Path) -> None:
    (project / "test_toy.py").write_text("def test():\n    while True: pass\n")
    settings = replace(read_settings(project), timeout_s=0.5)

    passed, output = run_tests(project, settings, ["test_toy.py"])

    assert not passed
    assert output == "not finished after 0.5 s"


@pytest.mark.parametrize(
    ("tests", "function", "message"),
    [
        ("def test(): assert False\n", "shrink", "tests fail without a mutant: test_toy.py"),
        ("", "shrink", "tests fail without a mutant"),
        (TESTS, "gone", "no mutants in src/toy.py gone"),
    ],
)
def test_project_that_cannot_be_measured_is_an_error(
    tests: str, function: str, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "test_toy.py").write_text(tests)
    (project / "pyproject.toml").write_text(SETTINGS.format(function=function))

    assert run(project) == 2

    assert message in capsys.readouterr().err
