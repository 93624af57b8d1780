"""A short run of the live chaos, and one that shows that it would see what is wrong."""

from pathlib import Path

from tests.history.live import play


async def test_live_chaos_finds_no_violation(tmp_path: Path) -> None:
    counts, violations = await play(tmp_path, seed=1, seconds=16)
    told = "python -m tests.history.live --seconds 60 --seed 1"
    assert not violations, "\n".join([told, *violations])
    assert counts["read live"] > 100
    assert counts["read cached"] > 10
    assert counts["write acknowledged"] > 5
    assert counts["gateways killed"] > 0


async def test_live_chaos_sees_that_own_caches_do_not_agree(tmp_path: Path) -> None:
    _, violations = await play(tmp_path, seed=3, seconds=6, shared=False)
    assert violations
