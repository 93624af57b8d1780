"""Finds the names that contain a text, without looking at each name."""

from bisect import bisect_right
from collections.abc import Sequence

_SEPARATOR = "\n"


class NameSearch:
    """Names as one text, so that one search covers them all.

    Args:
        names: the names, case-folded.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._text = _SEPARATOR.join(names)
        self._starts: list[int] = []
        start = 0
        for name in names:
            self._starts.append(start)
            start += len(name) + len(_SEPARATOR)

    def find(self, part: str) -> list[int]:
        """Return the positions of the names that contain a text, in ascending order.

        Args:
            part: the text, case-folded and not empty.
        """
        if _SEPARATOR in part:
            # A name may contain it too, and in the whole text it would match between two names.
            return [position for position, name in enumerate(self._names) if part in name]
        find, starts = self._text.find, self._starts
        found: list[int] = []
        position = 0
        hit = find(part)
        while hit >= 0:
            position = bisect_right(starts, hit, lo=position) - 1
            found.append(position)
            hit = find(part, starts[position] + len(self._names[position]))
        return found
