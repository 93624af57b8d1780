"""Ready JSON of accounts: by selection, arguments and account, while all of it counts.

A fragment holds what an account was last answered with. It is used as long as the mark of the
values in it stands (no write of the account has begun or ended, and nothing of it has been kept
anew: see ``Mark``) and none of them is near its expiry; one that shows ages is used only while
they are the same. Where other replicas may keep newer values there are no marks, and so no
fragments: a look at every value would tell, and that is what reading them costs.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from balance_gateway.domain.balances import Kept, Mark

FRAGMENTS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Fragment:
    """An account's JSON, and under what it counts.

    Attributes:
        body: the JSON object.
        until_s: when it ends to count, in seconds since 1970.
        mark: has to stand; all values in it have the same.
    """

    body: bytes
    until_s: float
    mark: Mark


def fragment_of(body: bytes, kept: list[Kept | None], until_s: float) -> Fragment | None:
    """A fragment of values that are all kept, and alike; None when they are not.

    Args:
        body: the account's JSON.
        kept: how each value in it is kept.
        until_s: a further end, for what else it shows.
    """
    first = kept[0] if kept else None
    if first is None:
        return None
    for other in kept:
        if other is None or other.mark is not first.mark:
            return None
        until_s = min(until_s, other.until_s)
    return Fragment(body, until_s, first.mark)


class FragmentTables:
    """Fragments by what was asked, and within that by account id; bounded.

    The tables that were used last are kept: a day that is past is asked for less and less.

    Args:
        fragments_max: how many fragments are kept in all tables together.
    """

    def __init__(self, fragments_max: int = FRAGMENTS_MAX) -> None:
        self._fragments_max = fragments_max
        self._tables: OrderedDict[Any, dict[str, Fragment]] = OrderedDict()
        self._count = 0

    def table(self, asked: Any) -> dict[str, Fragment]:
        """The fragments of what is asked; to be read only."""
        table = self._tables.get(asked)
        if table is None:
            table = self._tables[asked] = {}
        else:
            self._tables.move_to_end(asked)
        return table

    def put(self, asked: Any, account_id: str, fragment: Fragment) -> None:
        """Keeps a fragment, in place of an older one."""
        table = self.table(asked)
        self._count += account_id not in table
        table[account_id] = fragment
        while self._count > self._fragments_max or len(self._tables) > self._fragments_max:
            _, forgotten = self._tables.popitem(last=False)
            self._count -= len(forgotten)

    def __len__(self) -> int:
        return self._count
