"""A short live fault test, and a run that shows that it detects violations."""

from pathlib import Path

from tests.history.live import run_live_test


async def test_the_live_fault_test_finds_no_violation(tmp_path: Path) -> None:
    counts, violations = await run_live_test(tmp_path, seed=1, seconds=16)
    command = "python -m tests.history.live --seconds 60 --seed 1"
    assert not violations, "\n".join([command, *violations])
    assert counts["read live"] > 100
    assert counts["read cached"] > 10
    assert counts["write acknowledged"] > 5
    assert counts["gateways killed"] > 0
    assert counts["compared acknowledged"] > 0


async def test_the_live_fault_test_detects_separate_caches(tmp_path: Path) -> None:
    _, violations = await run_live_test(tmp_path, seed=3, seconds=6, shared=False)
    assert violations
