"""Tests the changes that make mutants."""

import ast
from pathlib import Path

import pytest

from tests.mutation.changes import make_mutants
from tests.mutation.settings import (
    EQUIVALENTS_FILE,
    SettingsError,
    choose_sample,
    make_all_mutants,
    read_settings,
    remove_equivalents,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("line", "kind", "expected"),
    [
        ("return a < b", "comparison", {"return (a <= b)", "return (a >= b)"}),
        ("return a is b", "comparison", {"return (a is not b)"}),
        ("return a + b", "arithmetic operator", {"return (a - b)"}),
        ("return -a", "sign removed", {"return (a)"}),
        ("return not a", "boolean negated", {"return (a)"}),
        ("return a and b", "and/or", {"return (a or b)"}),
        ("return a and b", "condition removed", {"return (a)", "return (b)"}),
        ("return f(a, b)", "argument swapped", {"return (f(b, a))"}),
        ("return f(x=a, y=b)", "argument swapped", {"return (f(x=b, y=a))"}),
        ("return 7", "boundary", {"return 8", "return (6)"}),
        ("return True", "constant", {"return False"}),
        ("return 'a.b'", "constant", {"return 'a.bX'"}),
        ("return min(a)", "function", {"return max(a)"}),
        ("return a", "return None", {"return None"}),
        ("raise a", "exception swallowed", {"pass"}),
        ("f()", "call removed", {"pass"}),
        ("a = [b for b in c if b]", "condition removed", {"a = [b for b in c if True]"}),
        ("a = b if c else d", "boolean negated", {"a = b if (not (c)) else d"}),
        ("a = b if c else d", "condition removed", {f"a = b if {x} else d" for x in (True, False)}),
    ],
)  # fmt: skip
def test_change_of_each_kind(line: str, kind: str, expected: set[str]) -> None:
    mutants = make_mutants("a.py", f"def f(a, b, c, d):\n    {line}\n")

    assert {one.added for one in mutants if one.kind == kind} == expected
    assert {one.removed for one in mutants} == {line}


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""\n',
        "def f(a: int = b) -> 'x':\n    assert a > 1\n",
        "logger.warning('event', extra={'x': 1})\n",
        "a = f'{b}px'\n",
        "a = 'a message with spaces'\n",
    ],
)
def test_what_changes_no_behaviour_is_left_alone(source: str) -> None:
    assert make_mutants("a.py", source) == []


def test_mutant_names_its_function_and_line_and_changes_nothing_else() -> None:
    source = "# é\nclass A:\n    def f(self):\n        x = 'é'; return 'é' < self.x\n\nb = 1\n"

    mutant = next(one for one in make_mutants("a.py", source) if one.kind == "comparison")

    assert (mutant.function, mutant.line) == ("A.f", 4)
    assert mutant.source == source.replace("'é' < self.x", "('é' <= self.x)")


def test_listed_equivalent_mutants_exist() -> None:
    mutants = make_all_mutants(ROOT, read_settings(ROOT))

    left = remove_equivalents(mutants, EQUIVALENTS_FILE)

    assert len(left) > 90
    assert all(ast.parse(mutant.source) for mutant in left[::20])


ENTRY = """
[[mutant]]
file = "a.py"
function = "f"
removed = "return 1 - a"
added = "return {added}"
reason = "{reason}"
"""


def test_listed_mutant_is_left_out(tmp_path: Path) -> None:
    mutants = make_mutants("a.py", "def f(a):\n    return 1 - a\n")
    (tmp_path / "listed.toml").write_text(ENTRY.format(added="None", reason="why"))

    left = remove_equivalents(mutants, tmp_path / "listed.toml")

    assert {one.added for one in mutants} - {one.added for one in left} == {"return None"}


@pytest.mark.parametrize(
    ("added", "reason", "message"),
    [("gone", "why", "the code has changed"), ("None", "", "give a reason")],
)
def test_bad_entry_of_the_list_is_an_error(
    added: str, reason: str, message: str, tmp_path: Path
) -> None:
    mutants = make_mutants("a.py", "def f(a):\n    return 1 - a\n")
    (tmp_path / "listed.toml").write_text(ENTRY.format(added=added, reason=reason))

    with pytest.raises(SettingsError, match=message):
        remove_equivalents(mutants, tmp_path / "listed.toml")


def test_sample_follows_its_seed_and_survives_moved_lines() -> None:
    source = "".join(f"def f{number}(a):\n    return a < {number}\n" for number in range(20))
    mutants = make_mutants("a.py", source)
    moved = make_mutants("a.py", f"import ast\n{source}")

    chosen = [one.identity for one in choose_sample(mutants, 10, seed=1)]

    assert chosen == [one.identity for one in choose_sample(moved, 10, seed=1)]
    assert chosen != [one.identity for one in choose_sample(mutants, 10, seed=2)]
    assert len(set(chosen)) == 10
