"""Fills the holes of kept text: what changes with time alone, or with the state of a connector.

Kept text stays valid while its values do; only its holes are filled again. Each hole limits until
when its own text stays the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from balance_gateway.api.schema.money import compute_age_seconds
from balance_gateway.domain.calendar_days import format_instant
from balance_gateway.domain.health import ConnectorStatus
from balance_gateway.service.directory import Connector
from balance_gateway.service.gateway import HealthTracker

_SECOND = timedelta(seconds=1)


class Moment:
    """The instant for which holes are filled.

    Args:
        now: the instant.
        tracker: has the states of the connectors.

    Attributes:
        now: the instant.
        unchanged_until_s: until when every text that was filled in stays the same, in seconds since
            1970, if no state of a connector changes by an event.
    """

    def __init__(self, now: datetime, tracker: HealthTracker) -> None:
        self.now = now
        self.unchanged_until_s = float("inf")
        self._tracker = tracker
        self._changes: dict[str, int] = {}
        # Accounts of one connector share its hole.
        self._texts: dict[Hole, bytes] = {}

    @property
    def connector_changes(self) -> Mapping[str, int]:
        """The number of changes of each connector with a state that was filled in."""
        return self._changes

    def fill(self, parts: "Sequence[Part]") -> bytes:
        """Return the whole text."""
        if len(parts) == 1 and isinstance(parts[0], bytes):
            return parts[0]
        texts = self._texts
        return b"".join(
            [
                part if isinstance(part, bytes) else texts.get(part) or self._fill_hole(part)
                for part in parts
            ]
        )

    def _fill_hole(self, hole: "Hole") -> bytes:
        text = self._texts[hole] = hole.fill(self)
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
@dataclass(frozen=True, slots=True, eq=False)
class AgeHole:
    """The age of a value that was observed at an instant, in whole seconds."""

    observed_at: datetime

    def fill(self, moment: Moment) -> bytes:
        """Return the age."""
        age_s = compute_age_seconds(self.observed_at, moment.now)
        next_s = (self.observed_at + (age_s + 1) * _SECOND).timestamp()
        moment.unchanged_until_s = min(moment.unchanged_until_s, next_s)
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
        return self.write(self.connector, moment.find_status(self.connector))
