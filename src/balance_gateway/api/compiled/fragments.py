"""Ready JSON of accounts: by selection, arguments and account, while all of it counts.

A fragment holds what an account was last answered with. It is used as long as the nonce of every
value in it is still the account's (see ``pipeline/fence.py``) and none of them is near its expiry;
one that shows ages is used only while they are the same.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from balance_gateway.domain.balances import Kept

FRAGMENTS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Fragment:
    """An account's JSON, and under what it counts.

    Attributes:
        body: the JSON object.
        until_s: when it ends to count, in seconds since 1970.
        fence: the account's fence key; all values of an account have the same.
        nonce: the nonce that has to stand under it.
    """

    body: bytes
    until_s: float
    fence: str
    nonce: str

    def counts(self, nonces: Mapping[str, str], now_s: float) -> bool:
        """Whether it can be answered now."""
        return now_s < self.until_s and nonces.get(self.fence) == self.nonce


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
        if other is None or (other.fence, other.nonce) != (first.fence, first.nonce):
            return None
        until_s = min(until_s, other.until_s)
    return Fragment(body, until_s, first.fence, first.nonce)


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
