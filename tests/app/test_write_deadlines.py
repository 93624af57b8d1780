"""How long fences are held: for all that a write may take, and no step of it forgotten."""

from dataclasses import replace
from pathlib import Path

import pytest

from balance_gateway.app.write_deadlines import (
    PREPARE_S,
    READ_BACK_S,
    SLACK_S,
    build_write_deadlines,
    compute_hold_s,
    compute_landing_window_s,
)
from balance_gateway.config.reader import read_settings
from balance_gateway.config.settings import Settings
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S

TIMEOUT_S = 7.0
CONFIG = """
[connectors.quick]
provider = "local"
timeout_s = 2

[connectors.slow]
provider = "local"
timeout_s = 7
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG)
    return read_settings(path)


def landing_late(settings: Settings, seconds: float) -> Settings:
    return replace(settings, cache=replace(settings.cache, late_landing_s=seconds))


def test_a_write_holds_until_it_can_no_longer_land_counted_from_a_late_answer(
    settings: Settings,
) -> None:
    hold_s = compute_hold_s(landing_late(settings, 30.0))

    assert hold_s == COMMAND_TIMEOUT_S + TIMEOUT_S + SLACK_S + 30.0


def test_a_write_that_never_lands_late_holds_until_it_is_read_back(settings: Settings) -> None:
    hold_s = compute_hold_s(landing_late(settings, 0.0))

    assert hold_s >= TIMEOUT_S + SLACK_S + READ_BACK_S


def test_after_a_crash_the_time_before_sending_counts_too(settings: Settings) -> None:
    assert compute_landing_window_s(settings) == PREPARE_S + compute_hold_s(settings)
    assert build_write_deadlines(settings).prepare_s == PREPARE_S


def test_the_lease_outlasts_every_step_of_a_write(settings: Settings) -> None:
    limits = build_write_deadlines(settings)

    assert limits.lease_s > limits.prepare_s + TIMEOUT_S + SLACK_S + limits.read_back_s


def test_a_call_that_hangs_ends_before_the_write_is_given_up(settings: Settings) -> None:
    deadlines_s = build_write_deadlines(settings).deadline_s

    assert deadlines_s == {"quick": 2.0 + SLACK_S, "slow": TIMEOUT_S + SLACK_S}
    assert compute_hold_s(settings) > max(deadlines_s.values()) + settings.cache.late_landing_s
