"""The protocol under every fault profile; every mutant of it must be detected."""

import itertools
import subprocess
import sys
from collections.abc import Iterable

import pytest

from balance_gateway.domain.writes import SettledBy
from tests.history.fault_profiles import (
    CONTENDED_FAULT_PROFILES,
    FAULT_PROFILES,
    SPECIAL_FAULT_PROFILES,
    FaultProfile,
)
from tests.history.mutants import MUTANTS
from tests.history.simulation import SimulationResult, simulate

#: A sample; ``python -m tests.history.simulation --seeds 1000`` is the long run.
SEEDS = 5


def _find_violation(
    profile: FaultProfile, seeds: Iterable[int], **options: object
) -> SimulationResult | None:
    for seed in seeds:
        result = simulate(seed, profile, **options)  # type: ignore[arg-type]
        if result.violation is not None:
            return result
    return None


@pytest.mark.parametrize("name", FAULT_PROFILES)
def test_the_protocol_survives_every_fault_profile(name: str) -> None:
    violated = _find_violation(FAULT_PROFILES[name], range(1, SEEDS + 1))
    assert violated is None, (
        f"python -m tests.history.simulation --profile {name!r} --first-seed {violated.seed}"
        f" --seeds 1 --trace\n{violated.digest}: {violated.violation}"
    )


@pytest.mark.parametrize("name", CONTENDED_FAULT_PROFILES)
def test_kept_answers_survive_contention(name: str) -> None:
    results = [simulate(seed, CONTENDED_FAULT_PROFILES[name]) for seed in (1, 2)]

    violated = [(each.seed, each.violation) for each in results if each.violation is not None]
    assert not violated
    assert sum(each.recalled for each in results) > 20


def test_histories_contain_all_kinds_of_operations() -> None:
    result = simulate(1, FAULT_PROFILES["all faults"])
    reads = [read for history in result.histories.values() for read in history.reads]
    assert result.operations > 200
    assert {read.by.rsplit(", ", 1)[1] for read in reads} >= {"live", "cached"}
    assert len({write.outcome for one in result.histories.values() for write in one.writes}) == 3


def test_uncertain_writes_are_settled_in_every_way() -> None:
    profile = SPECIAL_FAULT_PROFILES["comparisons and uncertain writes"]
    expected = {SettledBy.PROVED, SettledBy.DISPROVED, SettledBy.SUPERSEDED}
    settled: set[SettledBy] = set()
    for seed in range(1, 10):
        settled |= set(simulate(seed, profile).settled)
        if settled >= expected:
            break
    assert settled == expected


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_detected(name: str) -> None:
    mutant = MUTANTS[name]
    # The known seeds save time; the others detect it where a change of the code made new histories.
    seeds = itertools.chain(mutant.known_seeds, range(1, mutant.seeds + 1))
    assert _find_violation(mutant.profile, seeds, blueprint=mutant.blueprint) is not None


def test_a_seed_replays_exactly_in_any_process() -> None:
    code = (
        "from dataclasses import replace;"
        "from tests.history.simulation import simulate;"
        "from tests.history.fault_profiles import FAULT_PROFILES;"
        "profiles = [replace(profile, seconds=10.0) for profile in FAULT_PROFILES.values()];"
        "print([simulate(5, profile).digest for profile in profiles])"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(set(eval(digests.pop()))) == len(FAULT_PROFILES)


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        ("compare-and-set writes", range(1, 7)),
        ("comparisons and uncertain writes", range(1, 7)),
        ("settlement under all faults", range(1, 7)),
        ("journal outages", range(1, 7)),
        ("journal outages under all faults", range(1, 7)),
        ("aliased accounts", range(1, 7)),
        ("retries without a journal", range(1, 7)),
        ("late fence replies", range(30, 35)),
        ("crash after a wait", range(25, 30)),
        ("redis restored from a snapshot", range(1, 7)),
    ],
)
def test_the_protocol_survives_every_special_fault_profile(name: str, seeds: range) -> None:
    violated = _find_violation(SPECIAL_FAULT_PROFILES[name], seeds)
    assert violated is None, f"seed {violated.seed}: {violated.violation}"
