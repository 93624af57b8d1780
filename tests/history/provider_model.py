"""A model of providers that refuse writes, lose them, do not answer, or apply them late.

The result of each write is drawn by weights:

==============  ==================================================================
``ok``          applied and answered
``refused``     not applied, and rejected in the answer
``unsent``      certainly not sent
``lost``        not applied; an unclear failure, or no answer
``unanswered``  applied within the deadline; an unclear failure, or no answer
``late``        applied up to ``LATE_LANDING_S`` after the deadline, often at the end
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
_NO_ANSWER_S = 3600.0
_BASE = frozenset({Capability.READ_BANK_BALANCE, Capability.WRITE_OPENING_BALANCE})


class ProviderState:
    """The balances at the providers, and whether the providers are down."""

    def __init__(
        self,
        rng: random.Random,
        now_s: Callable[[], float],
        write_results: Mapping[str, float],
        slow_read_share: float,
        usual_read_s: float = 0.05,
    ) -> None:
        self.rng = rng
        self.now_s = now_s
        self.down_until_s = 0.0
        self.log: Callable[[str], None] = lambda line: None
        self._result_names, self._weights = list(write_results), list(write_results.values())
        self._slow_read_share = slow_read_share
        self._usual_read_s = usual_read_s
        self._held: dict[str, int] = {}
        # By the written value, which is written once: when it was applied, and what it replaced.
        self.applied_at_s: dict[int, float] = {}
        self.replaced: dict[int, int | None] = {}

    @property
    def down(self) -> bool:
        """Whether the providers answer no calls."""
        return self.now_s() < self.down_until_s

    def held(self, register: str) -> int | None:
        """Return the current value; None when none has been set."""
        return self._held.get(register)

    def grow(self, register: str) -> None:
        """Change a balance without the gateway, to a higher one."""
        self._held[register] = (self._held.get(register) or 0) + 1
        self.log(f"GROWN {register}={self._held[register]}")

    def apply(self, register: str, minor_units: int) -> None:
        """Apply a write."""
        self.log(f"APPLIED {register}={minor_units}")
        self.applied_at_s[minor_units] = self.now_s()
        self.replaced[minor_units] = self._held.get(register)
        self._held[register] = minor_units

    def draw_write_result(self) -> str:
        """Draw the result of the next write."""
        if self.down:
            return self.rng.choice(["unsent", "lost"])
        return self.rng.choices(self._result_names, self._weights)[0]

    async def read(self, read_now: Callable[[], T]) -> T:
        """Read at one instant between request and answer; some reads are slow."""
        if self.down:
            await asyncio.sleep(self.rng.uniform(0.001, 0.1))
            raise ProviderUnavailable("The provider is down.")
        rng = self.rng
        is_slow = rng.random() < self._slow_read_share
        longest_s = 2 * DEADLINE_S if is_slow else self._usual_read_s
        before_s, after_s = rng.uniform(0.001, longest_s), rng.uniform(0.001, longest_s)
        return await remotely(read_now, before_s=before_s, after_s=after_s)


class ProviderModel:
    """One replica's connector to the providers; a ``BalanceProvider``."""

    def __init__(self, kind: ProviderKind, state: ProviderState, by: str) -> None:
        self.kind = kind
        self.connector = kind.value
        self._state = state
        self._by = by
        reads = kind is ProviderKind.LAYER
        self.capabilities = _BASE | {Capability.READ_OPENING_BALANCE} if reads else _BASE

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """Group Layer reads by day; Light reads are separate calls."""
        if self.kind is ProviderKind.LIGHT:
            return query.account.remote["bank_account_id"], query.as_of
        return query.as_of

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Return the opening balance as the balance of every day: there are no transactions."""

        def read_now() -> list[BalanceFigures | GatewayError]:
            balances = [(query, self._money(query.account)) for query in queries]
            values = ", ".join(f"{one.account.id}={money}" for one, money in balances)
            self._state.log(f"{self._by} provider reads {values}")
            return [BalanceFigures(query.as_of, money, None) for query, money in balances]

        return await self._state.read(read_now)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Return the opening balance at Layer; at Light only where it can be derived."""
        is_derived = self.kind is ProviderKind.LIGHT
        if is_derived and account.derive_opening_balance_as_of is None:
            raise Unsupported("Light has no route for an opening balance.")

        def read_now() -> OpeningBalance | None:
            money = self._money(account)
            self._state.log(f"{self._by} provider reads opening {account.id}={money}")
            if money is None:
                return None
            source = OpeningBalanceSource.DERIVED if is_derived else OpeningBalanceSource.PROVIDER
            return OpeningBalance(money, None, source)

        return await self._state.read(read_now)

    async def normal_balance(self, account: Account) -> Side:
        """Return the debit side."""
        return Side.DEBIT

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Write with the result that is drawn."""
        state, rng = self._state, self._state.rng
        write_result = state.draw_write_result()
        register = _register_name(write.account)
        minor_units = write.amount.minor_units
        state.log(f"{self._by} sends {register}={minor_units}: {write_result}")
        if write_result == "unsent":
            await asyncio.sleep(rng.uniform(0.001, 0.1))
            raise ProviderUnavailable("No connection.")
        if write_result == "refused":
            await asyncio.sleep(rng.uniform(0.001, 0.3))
            raise ProviderRejected("No.")
        applied_after_s = rng.uniform(0.001, 0.8) * DEADLINE_S
        if write_result == "late":
            longest_s = DEADLINE_S + LATE_LANDING_S
            applied_after_s = longest_s * (
                rng.uniform(0.97, 0.9999) if rng.random() < 0.5 else rng.random()
            )
        if write_result != "lost":
            applied = remotely(
                lambda: state.apply(register, minor_units), before_s=applied_after_s, after_s=0.01
            )
            if write_result == "ok":
                await applied
                return OpeningBalance(write.amount, None, OpeningBalanceSource.PROVIDER)
            applying = asyncio.ensure_future(applied)
            await asyncio.sleep(0)
            applying.add_done_callback(lambda _: None)
        await asyncio.sleep(rng.uniform(0.001, 0.5) if rng.random() < 0.5 else _NO_ANSWER_S)
        raise ProviderTimeout("No answer.", maybe_applied=True)

    async def probe(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""

    def _money(self, account: Account) -> Money | None:
        held = self._state.held(_register_name(account))
        return None if held is None else Money(held, account.currency)


def _register_name(account: Account) -> str:
    return "/".join([account.provider.value, *account.remote.values()])
