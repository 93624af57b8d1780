"""Reads the settings of the mutation run, and the list of equivalent mutants."""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.changes import Mutant, make_mutants

EQUIVALENTS_FILE = Path(__file__).with_name("equivalent.toml")


class SettingsError(Exception):
    """The settings or the list of equivalent mutants must be corrected."""


@dataclass(frozen=True)
class Target:
    """A source file, or one function or class of it, with the tests that must notice its mutants.

    Attributes:
        file: the path of the file below the root of the project.
        function: the qualified name of the function or class; "" for the whole file.
        tests: the arguments of pytest.
    """

    file: str
    function: str
    tests: tuple[str, ...]

    def includes(self, mutant: Mutant) -> bool:
        """Return whether a mutant is one of this target."""
        inside = f"{mutant.function}.".startswith(f"{self.function}.")
        return mutant.file == self.file and (inside or not self.function)


@dataclass(frozen=True)
class Settings:
    """The table ``[tool.balance_gateway.mutation]`` of ``pyproject.toml``.

    Attributes:
        seed: chooses the sample.
        sample: number of mutants.
        threshold_percent: the run fails when fewer mutants are noticed.
        timeout_s: time limit in seconds of the tests of one mutant; exceeding it counts as noticed.
        tests: the arguments of pytest by ``file`` or ``file::function``.
    """

    seed: int
    sample: int
    threshold_percent: float
    timeout_s: float
    tests: Mapping[str, Sequence[str]]

    @property
    def targets(self) -> list[Target]:
        """What is mutated, and the tests of each."""
        return [
            Target(*name.partition("::")[::2], tuple(tests)) for name, tests in self.tests.items()
        ]

    def find_tests(self, mutant: Mutant) -> tuple[str, ...]:
        """Return the arguments of pytest for a mutant."""
        return next(target.tests for target in self.targets if target.includes(mutant))


def read_settings(root: Path) -> Settings:
    """Read the settings of a project.

    Raises:
        SettingsError: the table is missing or has other keys, or a file does not exist.
    """
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    try:
        settings = Settings(**document["tool"]["balance_gateway"]["mutation"])
    except (KeyError, TypeError) as error:
        raise SettingsError(f"[tool.balance_gateway.mutation] of pyproject.toml: {error}") from None
    missing = [one.file for one in settings.targets if not (root / one.file).is_file()]
    if missing:
        raise SettingsError(f"[tool.balance_gateway.mutation.tests]: no such file: {missing}")
    return settings


def make_all_mutants(root: Path, settings: Settings) -> list[Mutant]:
    """Return the mutants of all targets.

    Raises:
        SettingsError: a target has none, such as a function that does not exist.
    """
    mutants = []
    for target in settings.targets:
        source = (root / target.file).read_text(encoding="utf-8")
        found = [one for one in make_mutants(target.file, source) if target.includes(one)]
        if not found:
            raise SettingsError(f"no mutants in {target.file} {target.function}")
        mutants += found
    return mutants


def remove_equivalents(mutants: Sequence[Mutant], listed: Path) -> list[Mutant]:
    """Return the mutants without those that are listed as equivalent.

    Raises:
        SettingsError: an entry has no reason, or no mutant is like it.
    """
    entries = tomllib.loads(listed.read_text(encoding="utf-8")).get("mutant", [])
    keys = ("file", "function", "removed", "added")
    known = {mutant.identity for mutant in mutants}
    equivalent = set()
    for entry in entries:
        identity = tuple(entry.get(key, "").strip() for key in keys)
        if not entry.get("reason"):
            raise SettingsError(f"{listed.name}: give a reason for {identity}")
        if identity not in known:
            raise SettingsError(f"{listed.name}: the code has changed, remove {identity}")
        equivalent.add(identity)
    return [mutant for mutant in mutants if mutant.identity not in equivalent]


def choose_sample(mutants: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """Choose mutants at random; a change of the code leaves most of the sample as it was."""

    def rank(mutant: Mutant) -> bytes:
        return hashlib.sha256(repr((seed, mutant.identity)).encode()).digest()

    return sorted(mutants, key=rank)[:size]
