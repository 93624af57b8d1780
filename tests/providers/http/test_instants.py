"""Instants in providers' responses: RFC 3339, and nothing that Python accepts beyond it."""

from datetime import UTC, datetime

import pytest

from balance_gateway.providers.http.json_fields import MalformedResponse, parse_instant
from balance_gateway_sandbox import wire_format

WRONG = ["+00:60", "-12:99", "+23:60", "+24:00", "-99:00", "+1:00", "+0100", "+01", "", "+01:00:30"]


@pytest.mark.parametrize("offset", WRONG)
def test_an_offset_beyond_rfc_3339_is_refused(offset: str) -> None:
    """``+00:60`` was read as an hour."""
    text = f"2026-01-31T12:00:00{offset}"

    with pytest.raises(MalformedResponse):
        parse_instant({"at": text}, "at")
    assert wire_format.parse_instant(text) is None


@pytest.mark.parametrize("time", ["24:00:00", "12:60:00", "12:00:61"])
def test_a_time_that_does_not_exist_is_refused(time: str) -> None:
    with pytest.raises(MalformedResponse):
        parse_instant({"at": f"2026-01-31T{time}Z"}, "at")
    assert wire_format.parse_instant(f"2026-01-31T{time}Z") is None


@pytest.mark.parametrize(
    ("offset", "hour", "minute"),
    [("Z", 12, 0), ("-00:00", 12, 0), ("+05:45", 6, 15), ("-11:59", 23, 59)],
)
def test_every_offset_of_rfc_3339_is_read(offset: str, hour: int, minute: int) -> None:
    text = f"2026-01-31T12:00:00{offset}"
    expected = datetime(2026, 1, 31, hour, minute, tzinfo=UTC)

    assert parse_instant({"at": text}, "at") == expected
    assert wire_format.parse_instant(text) == expected
