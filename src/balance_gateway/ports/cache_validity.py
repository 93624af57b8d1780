"""Tracks how long a response that was built from cached values may be reused."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol
from weakref import WeakValueDictionary


class Validity(Protocol):
    """Whether what was built from values is still the same."""

    @property
    def is_valid(self) -> bool:
        """Whether none of the values has changed."""
        ...


@dataclass(slots=True, eq=False, weakref_slot=True)
class CacheValidity:
    """Validity of everything built from one cached value, or from all values of one account.

    Attributes:
        is_valid: True until one of the values is replaced in the cache or the account's nonce
            changes; never True again after that.
    """

    is_valid: bool = True


#: So many validities are listed that have ended. Whoever looks too seldom checks all of its own.
ENDED_MAX = 4_096

_NO_VALIDITIES: WeakValueDictionary[str, CacheValidity] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class CacheTerms:
    """Conditions under which the cache would return the same value again.

    Attributes:
        validity: validity of this value. A response built from this value alone depends on it.
        account: validity of all values of the account. A response built from several values of
            the account depends on it.
        until_s: the instant, in seconds since 1970, from which the cache must be asked again,
            because it refreshes a value shortly before the value expires.
    """

    validity: Validity
    account: Validity
    until_s: float


@dataclass(slots=True)
class LocalCacheVersions:
    """Nonces and validities of all accounts, as this process knows them.

    A nonce decides which cached values count at all. A validity also ends when a value is
    replaced, so that an older value is never returned after a newer one. Where replicas share the
    cache, this process learns of their changes when it asks: ``ReadPipeline.get_change_check``.

    Attributes:
        by_fence: the nonce of each fence key that has been requested; empty where replicas share
            the cache, which then has the nonces.
        changes: number of nonce changes and ended validities. While this number is unchanged,
            every validity is unchanged.
        ended_count: number of validities that have ended.
    """

    by_fence: dict[str, str] = field(default_factory=dict)
    changes: int = 0
    ended_count: int = 0
    # Weak values: a validity that no response refers to any more costs no memory.
    _validities: dict[str, WeakValueDictionary[str, CacheValidity]] = field(default_factory=dict)
    _ended: deque[CacheValidity] = field(default_factory=lambda: deque(maxlen=ENDED_MAX))

    def validity(self, fence: str, key: str) -> CacheValidity:
        """Return the current validity of a key: of one value, or of all values of an account."""
        validities = self._validities.get(fence)
        if validities is None:
            validities = self._validities[fence] = WeakValueDictionary()
        validity = validities.get(key)
        if validity is None:
            validity = validities[key] = CacheValidity()
        return validity

    def renew(self, fence: str, nonce: str) -> None:
        """Set a new nonce, which ends every validity under the fence."""
        self.by_fence[fence] = nonce
        self.changes += 1
        self.end_fence(fence)

    def end_fence(self, fence: str) -> None:
        """End every validity under a fence."""
        validities = self._validities.pop(fence, None)
        if validities is not None:
            self.changes += 1
            for validity in validities.values():
                self._end(validity)

    def end_all(self) -> None:
        """End every validity."""
        for fence in list(self._validities):
            self.end_fence(fence)

    def invalidate(self, fence: str, key: str) -> None:
        """End the validity of a key after its value was replaced in the cache."""
        validity = self._validities.get(fence, _NO_VALIDITIES).pop(key, None)
        if validity is not None:
            self._end(validity)
            self.changes += 1

    def list_ended(self, since: int) -> Sequence[CacheValidity] | None:
        """Return the validities that have ended since a count of them; None if too many have."""
        new = self.ended_count - since
        return list(islice(reversed(self._ended), new)) if new <= len(self._ended) else None

    def _end(self, validity: CacheValidity) -> None:
        validity.is_valid = False
        self._ended.append(validity)
        self.ended_count += 1
