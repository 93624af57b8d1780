"""The real protocol through every weather, and every mutant of it seen to break."""

import subprocess
import sys

import pytest

from tests.history.fault_profiles import SPECIAL_WEATHERS, WEATHERS, Weather
from tests.history.mutants import MUTANTS
from tests.history.simulation import Outcomes, simulate

SEEDS = 25


def _first_violation(weather: Weather, seeds: range, **more: object) -> Outcomes | None:
    for seed in seeds:
        outcomes = simulate(seed, weather, **more)  # type: ignore[arg-type]
        if outcomes.violation is not None:
            return outcomes
    return None


@pytest.mark.parametrize("name", WEATHERS)
def test_no_weather_breaks_the_protocol(name: str) -> None:
    found = _first_violation(WEATHERS[name], range(1, SEEDS + 1))
    assert found is None, (
        f"python -m tests.history.simulation --weather {name!r} --first-seed {found.seed} --seeds 1"
        f" --trace\n{found.digest}: {found.violation}"
    )


def test_histories_are_about_something() -> None:
    outcomes = simulate(1, WEATHERS["storm"])
    reads = [read for history in outcomes.histories.values() for read in history.reads]
    assert outcomes.operations > 200
    assert {read.by.rsplit(", ", 1)[1] for read in reads} >= {"live", "cached"}
    assert len({write.outcome for one in outcomes.histories.values() for write in one.writes}) == 3


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_is_seen(name: str) -> None:
    mutant = MUTANTS[name]
    seeds = range(1, mutant.seeds + 1)
    assert _first_violation(mutant.weather, seeds, blueprint=mutant.blueprint) is not None


def test_a_seed_replays_exactly_in_any_process() -> None:
    code = (
        "from tests.history.simulation import simulate;"
        "from tests.history.fault_profiles import WEATHERS;"
        "print([simulate(5, weather).digest for weather in WEATHERS.values()])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert len(set(eval(told.pop()))) == len(WEATHERS)


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        ("compared writes", range(1, 20)),
        ("aliases", range(1, 20)),
        ("repeats without a journal", range(1, 60)),
        ("the fence answers late", range(30, 70)),
        ("a crash after a wait", range(25, 60)),
        ("redis comes back from a snapshot", range(1, 20)),
    ],
)
def test_special_weathers_do_not_break_it_either(name: str, seeds: range) -> None:
    found = _first_violation(SPECIAL_WEATHERS[name], seeds)
    assert found is None, f"seed {found.seed}: {found.violation}"
