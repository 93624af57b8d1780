"""A mapping whose values are computed when they are used first."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ComputedOnUse(Mapping[K, V]):
    """Values by key, each computed once; a start with many accounts needs few of them.

    Args:
        keys: all keys.
        compute: returns the value of a key.
    """

    def __init__(self, keys: Collection[K], compute: Callable[[K], V]) -> None:
        self._keys = keys
        self._compute = compute
        self._computed: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        """Return a value.

        Raises:
            KeyError: the key is not one of the keys.
        """
        try:
            return self._computed[key]
        except KeyError:
            if key not in self._keys:
                raise
        value = self._computed[key] = self._compute(key)
        return value

    def __contains__(self, key: object) -> bool:
        """Return whether there is a value, without computing it."""
        return key in self._keys

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._keys)
