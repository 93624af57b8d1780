"""The protocol with one part taken out or done wrong, so that the simulation can show it sees it.

Each is a ``Blueprint`` that replaces one part of the real code by a subclass, and the weather in
which what it lacks is needed.
"""

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceWrite
from balance_gateway.domain.errors import CacheUnavailable, ProviderError
from balance_gateway.pipeline.cache.cache_keys import (
    balance_value_key,
    opening_value_key,
    redis_held_flag_name,
    redis_nonce_name,
    redis_value_name,
)
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.pipeline.cache.fence import Fences, FenceState
from balance_gateway.pipeline.cache.read_through import ReadThrough
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.cache.single_flight import SingleFlight
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S, Server
from balance_gateway.ports.call_context import (
    PriorityBoost,
)
from balance_gateway.ports.providers import (
    BalanceProvider,
)
from tests.history.fault_profiles import SPECIAL_WEATHERS, WEATHERS, Weather
from tests.history.provider_model import ProviderModel
from tests.history.simulation import DAYS, REAL, Blueprint


class NoFence(RedisFences):
    """Values count until they are too old, whatever is written."""

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        return [FenceState("always", settled=True)] * len(keys)

    async def begin_write(self, key: str, write_id: str) -> None:
        """Nothing."""

    async def end_write(self, key: str, write_id: str) -> None:
        """Nothing."""

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        """Nothing."""


class CacheAside(CachedReads):
    """Plain cache-aside: get, fetch, set; the account's values are deleted after a write."""

    async def end_write(self, account: Account, write_id: str) -> None:
        keys = self._keys[account.id]
        value_keys = [opening_value_key(keys), *(balance_value_key(keys, day) for day in DAYS)]
        link: Any = self._values._link  # type: ignore[attr-defined]
        with contextlib.suppress(CacheUnavailable):
            names = [link.key(redis_value_name(value_key)) for value_key in value_keys]
            await link.run(lambda: link.client.delete(*names))


class _OwnSteps(RedisFences):
    async def _new_nonce(self, key: str) -> None:
        link = self._link
        await link.run(
            lambda: link.client.set(link.key(redis_nonce_name(key)), secrets.token_hex(8)),
            always=True,
        )

    async def _raise(self, key: str) -> None:
        link, name = self._link, self._link.key(redis_held_flag_name(key))
        await link.run(lambda: link.client.set(name, 1, px=self._hold_ms), always=True)


class NonceOnlyBefore(_OwnSteps):
    """A new nonce as a write begins, and nothing else: what is read meanwhile is kept."""

    async def begin_write(self, key: str, write_id: str) -> None:
        await self._new_nonce(key)

    async def end_write(self, key: str, write_id: str) -> None:
        """Nothing."""


class NonceOnlyAfter(_OwnSteps):
    """The write is in flight as it begins, but what is kept goes on counting."""

    async def begin_write(self, key: str, write_id: str) -> None:
        await self._raise(key)


class NothingInFlight(_OwnSteps):
    """New nonces before and after, but nothing tells that a write may still land."""

    async def begin_write(self, key: str, write_id: str) -> None:
        await self._new_nonce(key)

    async def end_write(self, key: str, write_id: str) -> None:
        await self._new_nonce(key)


class NoQuarantine(RedisFences):
    """Lost keys are taken for a new cache."""

    async def _trusted_epoch(self, epoch: str | None) -> str | None:
        self._epoch_seen = None
        return await super()._trusted_epoch(epoch)


async def _nothing_may_land() -> bool:
    return False


class NoQuarantineAtAll(NoQuarantine):
    """Nor is the journal asked whether a write may still land."""

    def __init__(self, link: Any, hold_s: float, writes_may_land: Any) -> None:
        super().__init__(link, hold_s, _nothing_may_land)


class _Unknown(Server):
    """Tells nobody who answers."""

    @property
    def run_id(self) -> str:
        return ""

    @run_id.setter
    def run_id(self, run_id: str) -> None:
        """Forgotten."""


class AnyServer(RedisFences):
    """A server that is back from an older snapshot is taken for the one that stood."""

    def __init__(self, link: Any, hold_s: float, writes_may_land: Any) -> None:
        super().__init__(link, hold_s, writes_may_land)
        link.server = _Unknown()


class HeldTooShort(RedisFences):
    """The hold leaves no time for its own answer to arrive."""

    def __init__(self, link: Any, hold_s: float, writes_may_land: Any) -> None:
        super().__init__(link, hold_s - COMMAND_TIMEOUT_S, writes_may_land)


class FilledUnderNewerNonce(ReadThrough):
    """What was read is kept under the nonce that stands when it is kept."""

    fences: Fences

    async def _keep(self, group: Any, answers: Any, newest: Any) -> None:
        fences = [read.keys.fence for read, _, _ in group]
        try:
            standings = await self.fences.states(fences)
        except CacheUnavailable:
            return
        newer = [
            (read, standing, flight)
            for (read, _, flight), standing in zip(group, standings, strict=True)
        ]
        await super()._keep(newer, answers, newest)


def _with_fills_under_newer_nonces(reads: CachedReads) -> None:
    upstream = reads._upstream
    upstream.__class__ = FilledUnderNewerNonce
    upstream.fences = reads._fences  # type: ignore[attr-defined]


class FlightsAcrossWrites(SingleFlight[Any]):
    """SingleFlight are joined by what they read, whatever was written since they took off."""

    def in_flight(self, key: Any) -> Any:
        return super().in_flight(key[0])

    def open(self, key: Any, started_s: float, hurry: PriorityBoost | None = None) -> Any:
        return super().open(None if key is None else key[0], started_s, hurry)


def _with_flights_across_writes(reads: CachedReads) -> None:
    reads._flights = reads._upstream._flights = FlightsAcrossWrites()


class SentTwice:
    """A write whose answer was lost is sent once more."""

    def __init__(self, provider: ProviderModel) -> None:
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        try:
            return await self._provider.set_opening_balance(write)
        except ProviderError as error:
            if not error.maybe_applied:
                raise
        return await self._provider.set_opening_balance(write)


def _sent_twice(provider: BalanceProvider) -> BalanceProvider:
    return SentTwice(provider)  # type: ignore[arg-type,return-value]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed protocol, where it is tried, and within how many seeds it has to be seen."""

    blueprint: Blueprint
    weather: Weather
    seeds: int


_CALM, _LOST = WEATHERS["calm"], WEATHERS["lost writes"]
_SNAPSHOTS = SPECIAL_WEATHERS["redis comes back from a snapshot"]
_SLOW = SPECIAL_WEATHERS["the fence answers late"]
_LOSING = replace(_LOST, redis_restart_every_s=4.0, crash_every_s=12.0)

MUTANTS: Mapping[str, Mutant] = {
    "plain cache-aside": Mutant(replace(REAL, fences=NoFence, reads=CacheAside), _CALM, 5),
    "no fence at all": Mutant(replace(REAL, fences=NoFence), _CALM, 5),
    "nonce only before": Mutant(replace(REAL, fences=NonceOnlyBefore), _CALM, 5),
    "nonce only after": Mutant(replace(REAL, fences=NonceOnlyAfter), _CALM, 100),
    "no writes in flight": Mutant(replace(REAL, fences=NothingInFlight), _LOST, 20),
    "no quarantine": Mutant(replace(REAL, fences=NoQuarantineAtAll), _LOSING, 100),
    "any server": Mutant(replace(REAL, fences=AnyServer), _SNAPSHOTS, 20),
    "held too short": Mutant(replace(REAL, fences=HeldTooShort), _SLOW, 80),
    "filled under a newer nonce": Mutant(
        replace(REAL, dress=_with_fills_under_newer_nonces), _CALM, 20
    ),
    "joined across a write": Mutant(replace(REAL, dress=_with_flights_across_writes), _CALM, 20),
    "sent twice": Mutant(replace(REAL, provider=_sent_twice), _LOST, 20),
}


if __name__ == "__main__":
    from tests.history.simulation import simulate

    for name, mutant in MUTANTS.items():
        seen = [
            seed
            for seed in range(1, 101)
            if simulate(seed, mutant.weather, mutant.blueprint).violation is not None
        ]
        print(f"{name}: first at seed {seen[0] if seen else '-'}, {len(seen)} of 100")
