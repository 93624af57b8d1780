"""Body templates: the file from which both load generators build their request bodies."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.queries import Query


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """A template of request bodies: each body has ``count`` of the items.

    Attributes:
        head: the body before its items.
        tail: the body after them.
        separator: between two items.
        numbered: whether each item gets a prefix: ``a0: ``, ``a1: `` and so on.
        count: items in a body.
        shuffled: whether a body has random items in random order; else it has the first ones.
        items: the items to choose from.
    """

    head: str
    tail: str
    separator: str
    numbered: bool
    count: int
    shuffled: bool
    items: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write the file: six lines, then one item a line. JSON text needs no line breaks."""
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

    def build_body(self, rng: random.Random) -> bytes:
        """Build the next body."""
        items: Sequence[str] = self.items[: self.count]
        if self.shuffled:
            items = rng.sample(self.items, self.count)
        if self.numbered:
            items = [f"a{index}: {item}" for index, item in enumerate(items)]
        return (self.head + self.separator.join(items) + self.tail).encode()


def build_template(query: Query, ids: Sequence[str], count: int, *, shuffled: bool) -> BodyTemplate:
    """Build the template of a query over these accounts."""
    items = tuple(query.item.replace("%s", account_id) for account_id in ids)
    return BodyTemplate(
        query.head, query.tail, query.separator, query.numbered, count, shuffled, items
    )


def read_template(path: Path) -> BodyTemplate:
    """Read a template from its file."""
    head, tail, separator, numbered, count, shuffled, *items = path.read_text(
        encoding="utf-8"
    ).split("\n")[:-1]
    return BodyTemplate(
        head, tail, separator, numbered == "1", int(count), shuffled == "1", tuple(items)
    )
