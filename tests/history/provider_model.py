"""A model of providers whose writes are refused, lost, unanswered or land late.

What becomes of a write is drawn by weights:

==============  ==================================================================
``ok``          taken and answered
``refused``     not taken, and answered so
``unsent``      certainly never left
``lost``        not taken; an unclear failure, or no answer
``unanswered``  taken within the deadline; an unclear failure, or no answer
``late``        taken up to ``LATE_LANDING_S`` after the deadline, often at the very end
==============  ==================================================================
"""

import asyncio
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    Unsupported,
)
from balance_gateway.domain.money import Money
from tests.history.virtual_loop import remotely

T = TypeVar("T")

DEADLINE_S = 1.0
LATE_LANDING_S = 3.0
_FOR_EVER_S = 3600.0
_BASE = frozenset({Capability.READ_BANK_BALANCE, Capability.WRITE_OPENING_BALANCE})


class RemoteBooks:
    """What the providers hold, and how they are doing."""

    def __init__(
        self,
        rng: random.Random,
        now_s: Callable[[], float],
        fates: Mapping[str, float],
        slow_read_share: float,
    ) -> None:
        self.rng = rng
        self.now_s = now_s
        self.down_until_s = 0.0
        self.tell: Callable[[str], None] = lambda text: None
        self._names, self._weights = list(fates), list(fates.values())
        self._slow_read_share = slow_read_share
        self._held: dict[str, int] = {}

    @property
    def down(self) -> bool:
        """Whether they answer nobody."""
        return self.now_s() < self.down_until_s

    def held(self, register: str) -> int | None:
        """What is held now; None when nothing has been set."""
        return self._held.get(register)

    def take(self, register: str, minor_units: int) -> None:
        """A write takes effect."""
        self.tell(f"LANDS {register}={minor_units}")
        self._held[register] = minor_units

    def fate(self) -> str:
        """What becomes of the next write."""
        if self.down:
            return self.rng.choice(["unsent", "lost"])
        return self.rng.choices(self._names, self._weights)[0]

    async def read(self, look: Callable[[], T]) -> T:
        """A look at one instant between request and answer; some take long."""
        if self.down:
            await asyncio.sleep(self.rng.uniform(0.001, 0.1))
            raise ProviderUnavailable("The provider is down.")
        rng = self.rng
        longest_s = 2 * DEADLINE_S if rng.random() < self._slow_read_share else 0.05
        before_s, after_s = rng.uniform(0.001, longest_s), rng.uniform(0.001, longest_s)
        return await remotely(look, before_s=before_s, after_s=after_s)


class ProviderModel:
    """One replica's connector to the books; a ``BalanceProvider``."""

    def __init__(self, kind: ProviderKind, books: RemoteBooks, by: str) -> None:
        self.kind = kind
        self.connector = kind.value
        self._books = books
        self._by = by
        reads = kind is ProviderKind.LAYER
        self.capabilities = _BASE | {Capability.READ_OPENING_BALANCE} if reads else _BASE

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """Light: each account alone. Layer: all at once."""
        if self.kind is ProviderKind.LIGHT:
            return query.account.remote["bank_account_id"], query.as_of
        return query.as_of

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Opening balance and no transactions, on every day."""

        def look() -> list[BalanceFigures | GatewayError]:
            found = [(query, self._money(query.account)) for query in queries]
            told = ", ".join(f"{one.account.id}={money}" for one, money in found)
            self._books.tell(f"{self._by} provider reads {told}")
            return [BalanceFigures(query.as_of, money, None) for query, money in found]

        return await self._books.read(look)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """What Layer holds; Light has no such thing to ask for."""
        if self.kind is ProviderKind.LIGHT:
            raise Unsupported("Light cannot be asked for an opening balance.")

        def look() -> OpeningBalance | None:
            money = self._money(account)
            self._books.tell(f"{self._by} provider reads opening {account.id}={money}")
            if money is None:
                return None
            return OpeningBalance(money, None, OpeningBalanceSource.PROVIDER)

        return await self._books.read(look)

    async def normal_balance(self, account: Account) -> Side:
        """Debit."""
        return Side.DEBIT

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Whatever fate has in store."""
        books, rng = self._books, self._books.rng
        fate = books.fate()
        register = _register(write.account)
        minor_units = write.amount.minor_units
        books.tell(f"{self._by} sends {register}={minor_units}: {fate}")
        if fate == "unsent":
            await asyncio.sleep(rng.uniform(0.001, 0.1))
            raise ProviderUnavailable("No connection.")
        if fate == "refused":
            await asyncio.sleep(rng.uniform(0.001, 0.3))
            raise ProviderRejected("No.")
        lands_s = rng.uniform(0.001, 0.8) * DEADLINE_S
        if fate == "late":
            longest_s = DEADLINE_S + LATE_LANDING_S
            lands_s = longest_s * (
                rng.uniform(0.97, 0.9999) if rng.random() < 0.5 else rng.random()
            )
        if fate != "lost":
            taken = remotely(
                lambda: books.take(register, minor_units), before_s=lands_s, after_s=0.01
            )
            if fate == "ok":
                await taken
                return OpeningBalance(write.amount, None, OpeningBalanceSource.PROVIDER)
            landing = asyncio.ensure_future(taken)
            await asyncio.sleep(0)
            landing.add_done_callback(lambda _: None)
        await asyncio.sleep(rng.uniform(0.001, 0.5) if rng.random() < 0.5 else _FOR_EVER_S)
        raise ProviderTimeout("No answer.", maybe_applied=True)

    async def probe(self) -> None:
        """Nothing to see."""

    async def aclose(self) -> None:
        """Nothing to close."""

    def _money(self, account: Account) -> Money | None:
        held = self._books.held(_register(account))
        return None if held is None else Money(held, account.currency)


def _register(account: Account) -> str:
    return "/".join([account.provider.value, *account.remote.values()])
