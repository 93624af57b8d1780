"""Fills the holes of kept text: what changes with time alone, or with the state of a connector.

Kept text stays valid while its values do; only its holes are filled again. Each hole limits until
when its own text stays the same.

A hole with an age lies between two texts. All accounts of a connector show the same, so its hole is
a *mark* within the text, and all its marks are replaced at once.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        present_s: the present in seconds since 1970, of which the states are; the instant of a
            request that has waited lies before it.

    Attributes:
        now: the instant.
        now_us: the instant, in microseconds since 1970.
        unchanged_until_s: until when every text that was filled in stays the same, in seconds since
            1970, if no state of a connector changes by an event.
    """

    def __init__(self, now: datetime, tracker: HealthTracker, present_s: float) -> None:
        self.now = now
        self.now_us = count_microseconds(now)
        self.unchanged_until_s = float("inf")
        self._tracker = tracker
        self._present_s = present_s
        self._changes: dict[str, int] = {}

    @property
    def connector_changes(self) -> Mapping[str, int]:
        """The number of changes of each connector with a state that was filled in."""
        return self._changes

    def fill(self, parts: "Sequence[Part]", connectors: "Iterable[ConnectorHole]" = ()) -> bytes:
        """Return the whole text.

        Args:
            parts: the text, and the holes between its parts.
            connectors: the holes that have marks in the text.
        """
        if len(parts) == 1 and isinstance(parts[0], bytes):
            text: bytes = parts[0]
        else:
            text = b"".join(
                [each if isinstance(each, bytes) else each.fill(self) for each in parts]
            )
        if not connectors:
            return text
        texts = {hole.mark: self._find_connector_text(hole) for hole in connectors}
        pieces = text.split(MARK_SIGN)
        pieces[1::2] = map(texts.__getitem__, pieces[1::2])
        return b"".join(pieces)

    def _find_connector_text(self, hole: "ConnectorHole") -> bytes:
        """Return the JSON of a connector; the text then depends on its state."""
        # Counted before the state is read, so that a change in between is noticed later.
        changes = self._tracker.count_changes(hole.connector.id)
        self._changes.setdefault(hole.connector.id, changes)
        hole.update(self._tracker, changes, self._present_s)
        self.unchanged_until_s = min(self.unchanged_until_s, hole.unchanged_until_s)
        return hole.text


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


#: The holes that have marks in a text.
ConnectorHoles = frozenset["ConnectorHole"]
NO_CONNECTOR_HOLES: ConnectorHoles = frozenset()

#: A hole with its writers takes so much memory, and its text.
_CONNECTOR_BYTES = 1_200
_REFERENCE_BYTES = 80

#: Before and after each mark; JSON escapes this character.
MARK_SIGN = b"\0"

_mark_numbers = itertools.count()


class ConnectorHole:
    """A connector of which the health or the call budget is selected.

    Args:
        connector: the connector.
        write: returns the JSON of a connector in a state.

    Attributes:
        connector: as given.
        mark: stands for its JSON in kept text, between two of ``MARK_SIGN``.
        text: its JSON, as it was filled in last.
        unchanged_until_s: until when that stays the same, if no event changes its state.
    """

    __slots__ = (
        "_changes",
        "_write",
        "connector",
        "mark",
        "text",
        "unchanged_until_s",
    )

    def __init__(
        self, connector: Connector, write: Callable[[Connector, ConnectorStatus], bytes]
    ) -> None:
        self.connector = connector
        self.mark = b"%d" % next(_mark_numbers)
        self.text = b""
        self.unchanged_until_s = 0.0
        self._write = write
        self._changes = -1

    def update(self, tracker: HealthTracker, changes: int, now_s: float) -> None:
        """Write its JSON again if that may have changed.

        Args:
            tracker: has its state.
            changes: the number of changes of the connector before its state is read.
            now_s: the present, in seconds since 1970.
        """
        if changes == self._changes and now_s < self.unchanged_until_s:
            return
        status = tracker.status(self.connector.id)
        self.text = self._write(self.connector, status)
        self.unchanged_until_s = status.unchanged_until_s
        self._changes = changes


def estimate_connector_bytes(connectors: ConnectorHoles) -> int:
    """Estimate the memory of holes that a kept text refers to.

    The accounts of a connector share one, and its selection pays for it. Many of them, under other
    names in one selection, are counted with each text.
    """
    if len(connectors) <= 1:
        return len(connectors) * _REFERENCE_BYTES
    return len(connectors) * _CONNECTOR_BYTES
