"""Finds out which of several values have changed, at the cost of what has changed.

Something that is made from a thousand values would otherwise check a thousand validities each time
that any value of the gateway changes.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Sequence
from typing import Protocol

from balance_gateway.api.compiled.kept_values import StoredValidity
from balance_gateway.ports.cache_validity import (
    CacheTerms,
    CacheValidity,
    LocalCacheVersions,
    Validity,
)

_NEVER_VALID = CacheValidity(is_valid=False)
#: The terms of a value that only the present request may use.
UNKEPT = CacheTerms(_NEVER_VALID, _NEVER_VALID, 0.0)


class Terms(Protocol):
    """A value's validity, and until when it may be used, in seconds since 1970."""

    @property
    def validity(self) -> Validity: ...  # noqa: D102
    @property
    def until_s(self) -> float: ...  # noqa: D102


def choose_terms(terms: CacheTerms | None) -> CacheTerms:
    """Return the terms of a value that was just read; ``UNKEPT`` if it has none, or has changed."""
    # A stored value is checked when it is used: it says in which version it was read.
    if terms is None or not (type(terms.validity) is StoredValidity or terms.validity.is_valid):
        return UNKEPT
    return terms


class WatchedValidity:
    """Validity of what was made from watched values; it ends with the first change of one."""

    __slots__ = ("_values",)

    def __init__(self, values: "WatchedValues") -> None:
        self._values: WatchedValues | None = values

    @property
    def is_valid(self) -> bool:
        """Whether none of the values has changed, except for stored ones."""
        return self._values is not None and not self._values.find_ended()

    def end(self) -> None:
        """End it, so that whatever refers to it keeps the values in memory no longer."""
        self._values = None


class WatchedValues:
    """The terms of several values, by position. A value without terms counts as changed.

    Stored values are watched apart: one look at the storage shows whether any of them has changed.

    Args:
        versions: knows which validities have ended.
        count: the number of values.
    """

    def __init__(self, versions: LocalCacheVersions, count: int) -> None:
        self._versions = versions
        self._seen = versions.ended_count
        self._terms: list[Terms] = [UNKEPT] * count
        #: Two values of one account at the provider have the same validity.
        self._positions: dict[Validity, tuple[int, ...]] = {}
        self._stored: dict[int, StoredValidity] = {}
        self._ended = set(range(count))
        #: In ascending order; empty until they are asked for.
        self._untils_s: list[float] = []
        self._validity: WatchedValidity | None = None

    def put(self, position: int, terms: Terms) -> None:
        """Set the terms of the value at a position in place of older ones."""
        former, validity = self._terms[position], terms.validity
        self._terms[position] = terms
        self._stored.pop(position, None)
        self._remove(position, former.validity)
        if isinstance(validity, StoredValidity):
            self._stored[position] = validity
        elif terms.until_s:
            self._positions[validity] = (*self._positions.get(validity, ()), position)
        self._ended.discard(position)
        if self._untils_s:
            del self._untils_s[bisect_left(self._untils_s, former.until_s)]
            insort(self._untils_s, terms.until_s)
        self.end()

    def _remove(self, position: int, validity: Validity) -> None:
        others = [each for each in self._positions.pop(validity, ()) if each != position]
        if others:
            self._positions[validity] = tuple(others)

    def end(self) -> None:
        """End the validity of everything that was made from the values."""
        if self._validity is not None:
            self._validity.end()
            self._validity = None

    @property
    def valid_until_s(self) -> float:
        """Until when all values may be used, in seconds since 1970."""
        if not self._untils_s:
            self._untils_s = sorted([each.until_s for each in self._terms])
        return self._untils_s[0] if self._untils_s else float("inf")

    def list_validities(self) -> Sequence[Validity]:
        """Return the validities of what is made from all values as they are now."""
        if self._validity is None:
            self._validity = WatchedValidity(self)
        return [self._validity, *set(self._stored.values())]

    def list_terms(self) -> Sequence[Terms]:
        """Return the terms of each value."""
        return self._terms

    def find_ended(self) -> Collection[int]:
        """Return the positions of the values, except for stored ones, with an ended validity."""
        count = self._versions.ended_count
        if self._seen != count:
            ended: Sequence[Validity] | None = self._versions.list_ended(self._seen)
            self._seen = count
            if ended is None:
                ended = [each for each in self._positions if not each.is_valid]
            for validity in ended:
                self._ended.update(self._positions.get(validity, ()))
        return self._ended

    def find_changed(self, now_s: float) -> Collection[int]:
        """Return the positions of the values that have changed or must be asked for again."""
        changed = set(self.find_ended())
        if not all(each.is_valid for each in set(self._stored.values())):
            changed.update(self._stored)
        if now_s >= self.valid_until_s:
            changed.update(
                position for position, each in enumerate(self._terms) if now_s >= each.until_s
            )
        return changed
