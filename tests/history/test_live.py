"""A short live fault test, and a run that shows that it detects violations."""

from collections import Counter
from pathlib import Path

from tests.history.live import run_live_test

COUNTS_MIN = {
    "read live": 101,
    "read cached": 11,
    "write acknowledged": 6,
    "gateways killed": 1,
    "compared acknowledged": 1,
    "faults": 8,
}


def find_missing(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name, least in COUNTS_MIN.items() if counts[name] < least}


async def test_the_live_fault_test_finds_no_violation(tmp_path: Path) -> None:
    # It may end early: the long run is the command.
    counts, violations = await run_live_test(
        tmp_path, seed=1, seconds=40, is_enough=lambda counts: not find_missing(counts)
    )
    command = "python -m tests.history.live --seconds 60 --seed 1"
    assert not violations, "\n".join([command, *violations])
    assert not find_missing(counts)


async def test_the_live_fault_test_detects_separate_caches(tmp_path: Path) -> None:
    _, violations = await run_live_test(tmp_path, seed=3, seconds=6, shared=False)
    assert violations
