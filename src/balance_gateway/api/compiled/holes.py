"""Fills the holes of kept text: what changes with time alone, or with the state of a connector.

Kept text stays valid while its values do; only its holes are filled again. Each hole limits until
when its own text stays the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from balance_gateway.domain.calendar_days import format_instant
from balance_gateway.domain.health import ConnectorStatus
from balance_gateway.service.directory import Connector
from balance_gateway.service.gateway import HealthTracker

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND_US = 1_000_000
#: The largest Int of GraphQL.
_AGE_MAX_S = 2**31 - 1


def count_microseconds(instant: datetime) -> int:
    """Return an instant in microseconds since 1970, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


class Moment:
    """The instant for which holes are filled.

    Args:
        now: the instant.
        tracker: has the states of the connectors.

    Attributes:
        now: the instant.
        now_us: the instant, in microseconds since 1970.
        unchanged_until_s: until when every text that was filled in stays the same, in seconds since
            1970, if no state of a connector changes by an event.
    """

    def __init__(self, now: datetime, tracker: HealthTracker) -> None:
        self.now = now
        self.now_us = count_microseconds(now)
        self.unchanged_until_s = float("inf")
        self._tracker = tracker
        self._changes: dict[str, int] = {}
        self._connector_texts: dict[ConnectorHole, bytes] = {}

    @property
    def connector_changes(self) -> Mapping[str, int]:
        """The number of changes of each connector with a state that was filled in."""
        return self._changes

    def fill(self, parts: "Sequence[Part]") -> bytes:
        """Return the whole text."""
        if len(parts) == 1 and isinstance(parts[0], bytes):
            return parts[0]
        return b"".join([part if isinstance(part, bytes) else part.fill(self) for part in parts])

    def get_connector_text(self, hole: "ConnectorHole") -> bytes:
        """Return the JSON of a connector; the accounts of one connector share its hole."""
        text = self._connector_texts.get(hole)
        if text is None:
            status = self.find_status(hole.connector)
            text = self._connector_texts[hole] = hole.write(hole.connector, status)
        return text

    def find_status(self, connector: Connector) -> ConnectorStatus:
        """Return the state of a connector, on which the text depends from then on."""
        name = connector.id
        # Counted before the state is read, so that a change in between is noticed later.
        self._changes.setdefault(name, self._tracker.count_changes(name))
        status = self._tracker.status(name)
        self.unchanged_until_s = min(self.unchanged_until_s, status.unchanged_until_s)
        return status


class Hole(Protocol):
    """A place in kept text that is filled when the text is sent."""

    def fill(self, moment: Moment) -> bytes:
        """Return the text of the place, and limit how long it stays the same."""
        ...


Part = bytes | Hole


# Holes are compared by identity, which is fast.
class AgeHole:
    """The age of a value that was observed at an instant, as ``compute_age_seconds`` has it.

    Args:
        observed_at: the instant.
    """

    __slots__ = ("_observed_us",)

    def __init__(self, observed_at: datetime) -> None:
        # Whole numbers: an instant takes four times as long, for each account of each response.
        self._observed_us = count_microseconds(observed_at)

    def fill(self, moment: Moment) -> bytes:
        """Return the age in whole seconds."""
        age_s = (moment.now_us - self._observed_us) // _SECOND_US
        if age_s < 0:
            age_s = 0
        elif age_s > _AGE_MAX_S:
            age_s = _AGE_MAX_S
        next_s = (self._observed_us + (age_s + 1) * _SECOND_US) / _SECOND_US
        if next_s < moment.unchanged_until_s:  # noqa: PLR1730 (min takes longer, this is hot)
            moment.unchanged_until_s = next_s
        return b"%d" % age_s


@dataclass(frozen=True, slots=True, eq=False)
class NowHole:
    """The instant of the request, at which a stored value was found unchanged."""

    def fill(self, moment: Moment) -> bytes:
        """Return the instant."""
        moment.unchanged_until_s = 0.0
        return b'"%s"' % format_instant(moment.now).encode()


@dataclass(frozen=True, slots=True, eq=False)
class ConnectorHole:
    """A connector of which the health or the call budget is selected.

    Attributes:
        connector: the connector.
        write: returns the JSON of a connector in a state.
    """

    connector: Connector
    write: Callable[[Connector, ConnectorStatus], bytes]

    def fill(self, moment: Moment) -> bytes:
        """Return the connector's JSON."""
        return moment.get_connector_text(self)
