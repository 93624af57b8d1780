"""What a load generator needs to make bodies by itself: a file that both generators read."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.queries import Query


@dataclass(frozen=True, slots=True)
class Recipe:
    """How bodies are made: ``count`` of the items, always the first ones or picked at random.

    Attributes:
        head: a body up to its items.
        tail: a body after them.
        separator: between two items.
        numbered: whether each item is preceded by ``a0: ``, ``a1: `` and so on.
        count: items in a body.
        shuffled: whether they are picked, and put in an order, at random.
        items: those to pick from.
    """

    head: str
    tail: str
    separator: str
    numbered: bool
    count: int
    shuffled: bool
    items: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Writes the file: six lines, then an item a line. JSON has no line breaks of its own."""
        lines = [
            self.head,
            self.tail,
            self.separator,
            str(int(self.numbered)),
            str(self.count),
            str(int(self.shuffled)),
            *self.items,
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def body(self, dice: random.Random) -> bytes:
        """The next body."""
        items: Sequence[str] = self.items[: self.count]
        if self.shuffled:
            items = dice.sample(self.items, self.count)
        if self.numbered:
            items = [f"a{place}: {item}" for place, item in enumerate(items)]
        return (self.head + self.separator.join(items) + self.tail).encode()


def recipe_of(query: Query, ids: Sequence[str], count: int, *, shuffled: bool) -> Recipe:
    """The recipe of a query over these accounts."""
    items = tuple(query.item.replace("%s", one) for one in ids)
    return Recipe(query.head, query.tail, query.separator, query.numbered, count, shuffled, items)


def read(path: Path) -> Recipe:
    """The recipe of a file."""
    head, tail, separator, numbered, count, shuffled, *items = path.read_text(
        encoding="utf-8"
    ).split("\n")[:-1]
    return Recipe(head, tail, separator, numbered == "1", int(count), shuffled == "1", tuple(items))
