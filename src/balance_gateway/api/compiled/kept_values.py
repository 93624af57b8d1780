"""Keeps the values that requests have read, for as long as the cache would return the same ones.

A value of the embedded ledger or of the journal has no lifetime: it is kept until the storage
changes, and one look per turn of the event loop shows whether it has.
"""

import asyncio
from collections.abc import Hashable, Iterable
from typing import Any

from balance_gateway.ports.reads import FreshnessState, Observed
from balance_gateway.ports.storage_changes import StorageChanges, StorageUnavailable

#: Limit of kept values; one takes about 500 bytes.
KEPT_VALUES_MAX = 150_000


class StorageWatch:
    """Looks once per turn of the event loop whether the storage has changed.

    A task that begins in a turn has its request from before the turn, so that a look within the
    turn sees every change that was acknowledged before the request was sent. A request that is
    answered while it is received may be later than any look before it: it has its own.

    Args:
        changes: shows changes of the storage.
    """

    def __init__(self, changes: StorageChanges) -> None:
        self._changes = changes
        self._version: int | None = None
        self._has_looked = False
        self._is_of_this_turn = False

    def begin_request(self) -> None:
        """Forget a look of an earlier turn: each request sees every change before it."""
        if not self._is_of_this_turn or asyncio.current_task() is None:
            self._has_looked = False
            self._version = None

    def get_version(self) -> int | None:
        """Return the present version; None where it is unknown, or takes a round trip."""
        if not self._has_looked:
            self._version = self._changes.look_now()
            self._has_looked = True
            # What is received from here on runs after this call.
            if not self._is_of_this_turn:
                asyncio.get_running_loop().call_soon(self._end_turn)
            self._is_of_this_turn = True
        return self._version

    def _end_turn(self) -> None:
        self._is_of_this_turn = False

    async def look(self) -> int | None:
        """Return the present version, after a round trip if need be; None if that fails."""
        version = self._changes.look_now()
        if version is None:
            try:
                version = await self._changes.look()
            except StorageUnavailable:
                # The read of a value reports it.
                return None
        self._version, self._has_looked = version, True
        # A look that took a round trip began in an earlier turn.
        self._is_of_this_turn = False
        return version


class StoredValidity:
    """The validity of what was read from the storage in one version of it.

    Args:
        watch: looks at the storage.
        version: the version before the read.
    """

    __slots__ = ("_version", "_watch")

    def __init__(self, watch: StorageWatch, version: int) -> None:
        self._watch = watch
        self._version = version

    @property
    def is_valid(self) -> bool:
        """Whether the storage has not changed since."""
        return self._watch.get_version() == self._version

    def is_same(self, other: "StoredValidity") -> bool:
        """Whether both are of one version."""
        return self._version == other._version


class KeptValues:
    """The values of all accounts, by account id and day or kind; the oldest are dropped first.

    Args:
        storage: looks at the storage.
        values_max: limit of values.
    """

    def __init__(self, storage: StorageWatch, values_max: int = KEPT_VALUES_MAX) -> None:
        self._storage = storage
        self._values_max = values_max
        self._values: dict[Hashable, Observed[Any]] = {}

    def find(self, key: Hashable, now_s: float) -> Observed[Any] | None:
        """Return a kept value if the cache would return the same one now."""
        observed = self._values.get(key)
        if observed is None:
            return None
        terms = observed.cache_terms
        assert terms is not None
        return observed if terms.validity.is_valid and now_s < terms.until_s else None

    def find_all(self, keys: Iterable[Hashable], now_s: float) -> list[Observed[Any] | None]:
        """Return the kept value of each key, or None; see ``find``."""
        get, found = self._values.get, []
        for key in keys:
            observed = get(key)
            if observed is not None:
                terms = observed.cache_terms
                if not terms.validity.is_valid or now_s >= terms.until_s:  # type: ignore[union-attr]
                    observed = None
            found.append(observed)
        return found

    def put(self, key: Hashable, observed: Observed[Any]) -> None:
        """Keep a value, if it has terms."""
        if observed.cache_terms is None:
            return
        if not isinstance(observed.cache_terms.validity, StoredValidity):
            # From now on it comes from the cache.
            observed = Observed(
                observed.value,
                observed.observed_at,
                FreshnessState.CACHED,
                observed.stale_reason,
                observed.cache_terms,
            )
        self._values.pop(key, None)
        self._values[key] = observed
        if len(self._values) > self._values_max:
            del self._values[next(iter(self._values))]

    def get_present_validity(self) -> StoredValidity | None:
        """Return what ``look`` does, after the look of this turn; None if that has not shown it."""
        version = self._storage.get_version()
        return None if version is None else StoredValidity(self._storage, version)

    async def look(self) -> StoredValidity | None:
        """Return the validity of what is read from the storage from now on; None if unknown."""
        version = await self._storage.look()
        return None if version is None else StoredValidity(self._storage, version)

    def __len__(self) -> int:
        return len(self._values)
