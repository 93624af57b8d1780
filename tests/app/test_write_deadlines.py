"""Write deadlines: fences and leases must outlast every step of a write."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from balance_gateway.app.configuration import read_settings
from balance_gateway.app.write_deadlines import (
    PREPARE_S,
    READ_BACK_S,
    SLACK_S,
    build_write_deadlines,
    compute_effect_window_s,
    compute_hold_s,
)
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


def with_late_landing(settings: Settings, seconds: float) -> Settings:
    return replace(settings, cache=structs.replace(settings.cache, late_landing_s=seconds))


def test_a_fence_is_held_until_a_late_write_can_no_longer_take_effect(
    settings: Settings,
) -> None:
    hold_s = compute_hold_s(with_late_landing(settings, 30.0))

    assert hold_s == COMMAND_TIMEOUT_S + TIMEOUT_S + SLACK_S + 30.0


def test_a_fence_is_held_at_least_until_the_write_is_read_back(settings: Settings) -> None:
    hold_s = compute_hold_s(with_late_landing(settings, 0.0))

    assert hold_s >= TIMEOUT_S + SLACK_S + READ_BACK_S


def test_the_effect_window_includes_the_time_before_sending(settings: Settings) -> None:
    assert compute_effect_window_s(settings) == PREPARE_S + compute_hold_s(settings)
    assert build_write_deadlines(settings).prepare_s == PREPARE_S


def test_the_lease_outlasts_every_step_of_a_write(settings: Settings) -> None:
    limits = build_write_deadlines(settings)

    assert limits.lease_s > limits.prepare_s + TIMEOUT_S + SLACK_S + limits.read_back_s


def test_a_hanging_call_times_out_before_its_write(settings: Settings) -> None:
    deadlines_s = build_write_deadlines(settings).deadline_s

    assert deadlines_s == {"quick": 2.0 + SLACK_S, "slow": TIMEOUT_S + SLACK_S}
    assert compute_hold_s(settings) > max(deadlines_s.values()) + settings.cache.late_landing_s
