"""Cache validity: how long a response that was built from cached values may be used again."""

from dataclasses import dataclass, field
from weakref import WeakValueDictionary


@dataclass(slots=True, eq=False, weakref_slot=True)
class CacheValidity:
    """What is handed out of a kept value, or of several of an account, counts while it stands.

    Attributes:
        is_valid: until one of them is kept anew, or the account's nonce changes.
    """

    is_valid: bool = True


_NO_MARKS: WeakValueDictionary[str, CacheValidity] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class CacheTerms:
    """Under what, and until when, what was answered would be answered again from the cache.

    Attributes:
        validity: of the value; has to stand still.
        account: of all values of the account; has to stand still for several of them together.
        until_s: when the cache has to be asked again, in seconds since 1970: near the value's
            expiry it is read anew.
    """

    validity: CacheValidity
    account: CacheValidity
    until_s: float


@dataclass(slots=True)
class LocalCacheVersions:
    """The nonces and marks of all accounts, where they are one process's alone.

    A nonce tells which values that were kept count at all. A mark tells besides that none of them
    has been replaced: a value that was handed out before must not be handed out after a newer one.
    A mark is there for as long as somebody holds it.

    Attributes:
        by_fence: the nonce of each fence key that has been asked for.
        changes: how often any nonce or mark has; as long as it stands, all stand.
    """

    by_fence: dict[str, str] = field(default_factory=dict)
    changes: int = 0
    _marks: dict[str, WeakValueDictionary[str, CacheValidity]] = field(default_factory=dict)

    def validity(self, fence: str, key: str) -> CacheValidity:
        """The mark that stands now of what a key names: a value, or all values of an account."""
        marks = self._marks.get(fence)
        if marks is None:
            marks = self._marks[fence] = WeakValueDictionary()
        mark = marks.get(key)
        if mark is None:
            mark = marks[key] = CacheValidity()
        return mark

    def renew(self, fence: str, nonce: str) -> None:
        """Another nonce: no mark under it stands any more."""
        self.by_fence[fence] = nonce
        self.changes += 1
        for mark in self._marks.pop(fence, _NO_MARKS).values():
            mark.is_valid = False

    def invalidate(self, fence: str, key: str) -> None:
        """A value has been kept anew: what was handed out before under this key is older."""
        mark = self._marks.get(fence, _NO_MARKS).pop(key, None)
        if mark is not None:
            mark.is_valid = False
            self.changes += 1
