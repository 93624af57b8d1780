"""Keeps the JSON of single balances, each for as long as the same value is read again."""

from collections import OrderedDict
from typing import Any

#: Limit of all texts together, with an estimate of the memory that they take besides their JSON.
KEPT_TEXT_BYTES_MAX = 32_000_000

_ENTRY_OVERHEAD_BYTES = 500


class KeptTexts:
    """Texts by the place that writes them, the account and the day; the oldest are dropped first.

    A text belongs to one observed value. ``KeptValues`` returns the same object for as long as the
    cache would return the same value.

    Args:
        bytes_max: limit of all texts together; one may have a hundredth of it.
    """

    def __init__(self, bytes_max: int = KEPT_TEXT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._texts: OrderedDict[Any, tuple[object, bytes]] = OrderedDict()
        self.size_bytes = 0

    def find(self, key: Any, observed: object) -> bytes | None:
        """Return the text of a value; None if another value had the key, or none."""
        entry = self._texts.get(key)
        return entry[1] if entry is not None and entry[0] is observed else None

    def put(self, key: Any, observed: object, text: bytes) -> None:
        """Keep the text of a value in place of that of another one, unless it is too large."""
        if len(text) > self._bytes_max // 100:
            return
        replaced = self._texts.pop(key, None)
        if replaced is not None:
            self.size_bytes -= len(replaced[1]) + _ENTRY_OVERHEAD_BYTES
        self._texts[key] = observed, text
        self.size_bytes += len(text) + _ENTRY_OVERHEAD_BYTES
        while self.size_bytes > self._bytes_max:
            _, (_, dropped) = self._texts.popitem(last=False)
            self.size_bytes -= len(dropped) + _ENTRY_OVERHEAD_BYTES

    def __len__(self) -> int:
        return len(self._texts)
