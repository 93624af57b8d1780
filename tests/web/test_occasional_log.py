"""Lines that any caller can cause: one at once, then one a minute with the number of cases."""

import logging
from typing import Any

import pytest

from balance_gateway.web.occasional_log import LINES_MAX, OccasionalLog


class Watch:
    now_s = 0.0

    def read(self) -> float:
        return self.now_s


def list_lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    return [(record.message, record.__dict__["count"]) for record in caplog.records]


def test_the_same_line_is_logged_once_a_minute_with_its_count(caplog: pytest.LogCaptureFixture):
    watch = Watch()
    log = OccasionalLog(logging.getLogger("balance_gateway.test"), watch.read)

    for now_s in (0.0, 1.0, 2.0, 59.0, 60.0, 61.0):
        watch.now_s = now_s
        log.warn("tried", reason="wrong")
    log.warn("tried", reason="expired")

    assert list_lines(caplog) == [("tried", 1), ("tried", 4), ("tried", 1)]


def test_the_number_of_different_lines_is_bounded(caplog: pytest.LogCaptureFixture):
    watch = Watch()
    log = OccasionalLog(logging.getLogger("balance_gateway.test"), watch.read)

    for number in range(LINES_MAX + 5):
        log.warn("tried", reason=str(number))
    assert len(caplog.records) == LINES_MAX

    watch.now_s = 61.0
    log.warn("tried", reason="another")
    assert len(caplog.records) == LINES_MAX + 1
