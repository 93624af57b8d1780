"""An age in kept text is that of ``compute_age_seconds``, and is filled again when it changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from balance_gateway.api.compiled.holes import AgeHole, Moment
from balance_gateway.api.schema.money import compute_age_seconds

INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
START = datetime(2026, 5, 7, 22, 30, 0, 123456, tzinfo=UTC)
NO_TRACKER: Any = None


def fill(observed_at: datetime, now: datetime) -> tuple[bytes, float]:
    moment = Moment(now, NO_TRACKER, now.timestamp())
    text = AgeHole(observed_at).fill(moment)
    return text, moment.unchanged_until_s


@given(INSTANTS, INSTANTS)
@example(START, START)
@example(START, START - timedelta(microseconds=1))
@example(START, START + timedelta(seconds=1))
@example(START, START + timedelta(seconds=1, microseconds=-1))
@example(datetime(1, 1, 2, tzinfo=UTC), START)
def test_an_age_is_that_of_the_plain_computation(observed_at: datetime, now: datetime) -> None:
    assert fill(observed_at, now)[0] == b"%d" % compute_age_seconds(observed_at, now)


@given(st.integers(-3_000_000, 400_000_000_000))
@example(0)
@example(999_999)
@example(1_000_000)
def test_it_stays_the_same_until_the_instant_that_is_named(passed_us: int) -> None:
    now = START + timedelta(microseconds=passed_us)
    text, until_s = fill(START, now)
    until = datetime.fromtimestamp(until_s, UTC)

    assert now.timestamp() < until_s
    assert fill(START, until - timedelta(microseconds=1))[0] == text
    assert int(fill(START, until)[0]) == int(text) + 1


def test_the_first_age_that_changes_limits_the_text() -> None:
    moment = Moment(START, NO_TRACKER, START.timestamp())
    holes = [AgeHole(START - timedelta(microseconds=us)) for us in (100, 900_000, 500)]

    text = moment.fill([b"[", holes[0], b",", holes[1], b",", holes[2], b"]"])

    assert text == b"[0,0,0]"
    assert moment.unchanged_until_s == (START + timedelta(microseconds=100_000)).timestamp()
