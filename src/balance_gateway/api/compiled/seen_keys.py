"""Remembers which keys were seen a short time ago, in a few bytes for each.

Most requests that differ from all before them are never sent again. What would be kept of each
takes time, and pushes what is used out of the processor's caches; so a request is kept from the
second time on.
"""

from collections.abc import Hashable

#: Limit of the remembered keys, of which the hash is remembered.
SEEN_KEYS_MAX = 8_192


class SeenKeys:
    """The keys that were seen last: always the last half of the limit, and at most the limit.

    Args:
        keys_max: limit of keys.
    """

    def __init__(self, keys_max: int = SEEN_KEYS_MAX) -> None:
        self._half = keys_max // 2
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def note(self, key: Hashable) -> bool:
        """Note a key, and return whether it was seen before.

        Two keys with the same hash are taken for one.
        """
        mark = hash(key)
        is_known = mark in self._recent or mark in self._older
        self._recent.add(mark)
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, set()
        return is_known

    def __len__(self) -> int:
        return len(self._recent | self._older)
