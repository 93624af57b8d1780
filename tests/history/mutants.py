"""Mutants: the protocol with one part removed or wrong, which the simulation must detect.

Each is a ``Blueprint`` that replaces one part of the real code by a subclass, with the fault
profile under which that part is needed.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceWrite
from balance_gateway.domain.errors import CacheUnavailable, ProviderError
from balance_gateway.domain.writes import WriteRecord
from balance_gateway.pipeline.cache.cache_entry_rules import current_validity
from balance_gateway.pipeline.cache.cache_keys import (
    balance_value_key,
    opening_value_key,
    redis_held_flag_name,
    redis_nonce_name,
    redis_value_name,
)
from balance_gateway.pipeline.cache.cached_reads import CachedReads
from balance_gateway.pipeline.cache.change_log import ChangeLog, LogEntry
from balance_gateway.pipeline.cache.fence import Fences, FenceState
from balance_gateway.pipeline.cache.owed_values import OwedValues
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.cache.result_keeping import SharedKeeper
from balance_gateway.pipeline.cache.single_flight import SingleFlight
from balance_gateway.pipeline.redis_client import ServerIdentity
from balance_gateway.ports.cache_validity import LocalCacheVersions
from balance_gateway.ports.call_context import PriorityBoost
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.service.outcome_recorder import OutcomeRecorder
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.settlement import settle_by_read
from balance_gateway.service.writer import OpeningBalanceWriter
from tests.history.fault_profiles import (
    CONTENDED_FAULT_PROFILES,
    FAULT_PROFILES,
    SPECIAL_FAULT_PROFILES,
    FaultProfile,
)
from tests.history.provider_model import LATE_LANDING_S, ProviderModel
from tests.history.redis_model import RedisModel
from tests.history.simulation import DAYS, REAL, Blueprint


class NoFence(RedisFences):
    """Values are valid until they expire, regardless of writes."""

    async def states(self, keys: Sequence[str]) -> Sequence[FenceState]:
        return [FenceState("always", settled=True)] * len(keys)

    async def begin_write(self, key: str, write_id: str) -> None:
        """Do nothing."""

    async def end_write(self, key: str, write_id: str) -> None:
        """Do nothing."""

    async def hold(self, key: str, write_id: str, seconds: float) -> None:
        """Do nothing."""


class UnfencedValues(RedisModel):
    """A value is stored whatever its standing is."""

    def keep(self, keys: Sequence[str], arguments: Sequence[Any]) -> list[int]:
        changed, epoch = list(arguments), self._get(keys[0]) or b""
        standings = [epoch + b"/" + (self._get(nonce) or b"") for nonce in keys[3::2]]
        changed[2::5] = [standing.decode() for standing in standings]
        return super().keep(keys, changed)


class CacheAside(CachedReads):
    """Plain cache-aside: get, fetch, set; a write deletes the account's values when it ends."""

    async def end_write(self, account: Account, write_id: str) -> None:
        keys = self._keys[account.id]
        value_keys = [opening_value_key(keys), *(balance_value_key(keys, day) for day in DAYS)]
        redis: Any = self._store._redis  # type: ignore[attr-defined]
        with contextlib.suppress(CacheUnavailable):
            names = [redis.key(redis_value_name(value_key)) for value_key in value_keys]
            await redis.run(lambda: redis.client.delete(*names))


class _SingleCommands(RedisFences):
    async def _renew_nonce(self, key: str) -> None:
        redis = self._redis
        await redis.run(
            lambda: redis.client.set(redis.key(redis_nonce_name(key)), secrets.token_hex(8)),
            ignore_backoff=True,
        )

    async def _set_held_flag(self, key: str) -> None:
        redis, name = self._redis, self._redis.key(redis_held_flag_name(key))
        await redis.run(lambda: redis.client.set(name, 1, px=self._hold_ms), ignore_backoff=True)


class NonceOnlyBefore(_SingleCommands):
    """A new nonce at the begin of a write, and nothing else: reads during the write are stored."""

    async def begin_write(self, key: str, write_id: str) -> None:
        await self._renew_nonce(key)

    async def end_write(self, key: str, write_id: str) -> None:
        """Do nothing."""


class NonceOnlyAfter(_SingleCommands):
    """The write is in flight from its begin, but cached values stay valid."""

    async def begin_write(self, key: str, write_id: str) -> None:
        await self._set_held_flag(key)


class NoWritesInFlight(_SingleCommands):
    """New nonces at begin and end, but no set of writes that may still take effect."""

    async def begin_write(self, key: str, write_id: str) -> None:
        await self._renew_nonce(key)

    async def end_write(self, key: str, write_id: str) -> None:
        await self._renew_nonce(key)


class NoQuarantine(RedisFences):
    """Lost keys look like a new cache."""

    async def _verify_epoch(self, epoch: str | None) -> str | None:
        self._epoch_seen = None
        return await super()._verify_epoch(epoch)


async def _no_unsettled_writes() -> bool:
    return False


class NoQuarantineAtAll(NoQuarantine):
    """In addition, the journal is not asked for writes that may still take effect."""

    def __init__(self, redis: Any, hold_s: float, _: Any, link: Any) -> None:
        super().__init__(redis, hold_s, _no_unsettled_writes, link)


class _UnknownServer(ServerIdentity):
    """An identity that is always unknown."""

    @property
    def run_id(self) -> str:
        return ""

    @run_id.setter
    def run_id(self, run_id: str) -> None:
        """Discard it."""


class IgnoredServerChange(RedisFences):
    """A server restored from an older snapshot is not detected."""

    def __init__(self, redis: Any, hold_s: float, has_unsettled_writes: Any, link: Any) -> None:
        super().__init__(redis, hold_s, has_unsettled_writes, link)
        redis.server = _UnknownServer()


class HoldTooShort(RedisFences):
    """The hold does not cover the time in which a write still takes effect."""

    def __init__(self, redis: Any, hold_s: float, has_unsettled_writes: Any, link: Any) -> None:
        super().__init__(redis, hold_s - LATE_LANDING_S, has_unsettled_writes, link)


class StoredUnderNewerNonce(SharedKeeper):
    """Results are stored under the nonce at the end of the read instead of at its start."""

    fences: Fences

    async def store(self, group: Any, results: Any, began: int) -> Sequence[bool]:
        fences = [pending.read.keys.fence for pending in group]
        try:
            states = await self.fences.states(fences)
        except CacheUnavailable:
            return [False] * len(group)
        newer = [
            pending._replace(fence_state=state)
            for pending, state in zip(group, states, strict=True)
        ]
        return await super().store(newer, results, began)


def _store_under_newer_nonces(reads: CachedReads) -> None:
    keeper: Any = reads._read_through._keeper
    keeper.__class__ = StoredUnderNewerNonce
    keeper.fences = reads._fences


class CallsSharedAcrossWrites(SingleFlight[Any]):
    """Calls are joined by their value alone, regardless of writes since they started."""

    def find(self, key: Any) -> Any:
        return super().find(key[0])

    def start(self, key: Any, started_s: float, boost: PriorityBoost | None = None) -> Any:
        return super().start(None if key is None else key[0], started_s, boost)


def _share_calls_across_writes(reads: CachedReads) -> None:
    reads._single_flight = CallsSharedAcrossWrites()


class SentTwice:
    """A write without an answer is sent again."""

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


class LastAppliedIsTheTruth(Reconciler):
    """A later applied write settles an uncertain one, even if that can still take effect."""

    def _get_hold_end(self, record: WriteRecord) -> datetime:
        return record.intent.started_at

    def _judge(
        self, record: WriteRecord, found: OpeningBalance | None, began_at: datetime
    ) -> WriteRecord | None:
        return None


class SettledWithinHold(Reconciler):
    """A read disproves a write that can still take effect."""

    def _judge(
        self, record: WriteRecord, found: OpeningBalance | None, began_at: datetime
    ) -> WriteRecord | None:
        return settle_by_read(
            record,
            found,
            began_at=began_at,
            hold_ends_at=record.intent.started_at,
            now=self._clock(),
        )


class ComparedInDoubt(Reconciler):
    """A comparison passes while a write is unsettled."""

    async def require_settled(self, remote_account: str) -> None:
        """Require nothing."""


class _OneAttempt(OutcomeRecorder):
    async def _finish(self, account: Account, record: WriteRecord) -> bool:
        try:
            await self._journal.finish(record)
        except Exception:
            return False
        return True


class ForgottenOutcome(OpeningBalanceWriter):
    """An outcome that the journal does not take at once is forgotten."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        known = self._recorder
        self._recorder = _OneAttempt(
            known._fence, known._journal, known._reconciler, known._clock, known._lease_s
        )
        self._executor = replace(self._executor, recorder=self._recorder)


class JoinedRead(ChangeLog):
    """A request takes a read of the log that was sent before it arrived."""

    def check(self) -> Any:
        if not self._waiting:
            return super().check()
        future: Any = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return future


class IgnoredGap(ChangeLog):
    """What the log does not have any more has not happened."""

    def _apply(self, entries: Sequence[LogEntry] | None) -> None:
        if entries and self._position is not None and entries[0] != self._position:
            entries = [self._position, *entries]
        super()._apply(entries)


class ForgottenRestart(ChangeLog):
    """A new position ends no validity."""

    def _start(self, entries: Sequence[LogEntry] | None) -> None:
        versions, self._versions = self._versions, LocalCacheVersions()
        super()._start(entries)
        self._versions = versions


def _replace_log(kind: type[ChangeLog]) -> Callable[[CachedReads], None]:
    def modify(reads: CachedReads) -> None:
        log = reads._fences.change_log
        assert log is not None
        log.__class__ = kind

    return modify


class ValidityAfterLook(CachedReads):
    """The validity of a value is taken after the look, in which it may already have changed."""

    async def _look_up(self, reads: Mapping[str, Any]) -> dict[str, Any]:
        lookups = await super()._look_up(reads)
        versions = self._fences.versions
        return {
            key: replace(lookup, validity=current_validity(versions, read, read.keys.fence))
            for (key, read), lookup in zip(reads.items(), lookups.values(), strict=True)
        }


class UnloggedBegin(RedisModel):
    """The begin of a write is not in the log."""

    def hold(self, keys: Sequence[str], arguments: Sequence[Any]) -> int:
        held = super().hold(keys, arguments)
        del self.stream(keys[4])[-1:]
        return held


class UnloggedValues(RedisModel):
    """A stored value is not in the log."""

    def keep(self, keys: Sequence[str], arguments: Sequence[Any]) -> list[int]:
        before = len(self.stream(keys[2]))
        kept = super().keep(keys, arguments)
        del self.stream(keys[2])[before:]
        return kept


class LastStoredWins(RedisModel):
    """A value is stored even if another one was stored since the look."""

    def keep(self, keys: Sequence[str], arguments: Sequence[Any]) -> list[int]:
        changed = list(arguments)
        changed[3::5] = [2**60] * len(changed[3::5])
        return super().keep(keys, changed)


class NothingOwed(OwedValues):
    """A value that was shown and not stored is forgotten."""

    def add(self, key: str, lifetime_s: float) -> None:
        """Do nothing."""


def _forget_owed(reads: CachedReads) -> None:
    reads._fences.owed.__class__ = NothingOwed


def _send_twice(provider: BalanceProvider) -> BalanceProvider:
    return SentTwice(provider)  # type: ignore[arg-type,return-value]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed protocol, the fault profile to run it under, and the seeds to detect it within.

    Attributes:
        blueprint: the changed protocol.
        profile: the faults under which the changed part is needed.
        seeds: the mutant must be detected within the seeds 1 to this one.
        known_seeds: seeds that detected it, to be tried first; others are printed by
            ``python -m tests.history.mutants``.
    """

    blueprint: Blueprint
    profile: FaultProfile
    seeds: int
    known_seeds: Sequence[int] = ()


_NO_FAULTS, _LOST_WRITES = FAULT_PROFILES["no faults"], FAULT_PROFILES["lost writes"]
_SNAPSHOTS = SPECIAL_FAULT_PROFILES["redis restored from a snapshot"]
_DOUBT = SPECIAL_FAULT_PROFILES["comparisons and uncertain writes"]
_NO_JOURNAL = SPECIAL_FAULT_PROFILES["journal outages"]
_CONTENDED = CONTENDED_FAULT_PROFILES["contended"]
_SHORT_LOG = CONTENDED_FAULT_PROFILES["contended, short log"]
_UNANSWERED = CONTENDED_FAULT_PROFILES["contended, lost writes"]
_OUTAGES = CONTENDED_FAULT_PROFILES["contended, redis outages"]
_RESTARTS = CONTENDED_FAULT_PROFILES["contended, redis restarts"]
_LOST_KEYS = replace(_LOST_WRITES, redis_restart_every_s=4.0, crash_every_s=12.0)

MUTANTS: Mapping[str, Mutant] = {
    "plain cache-aside": Mutant(
        replace(REAL, fences=NoFence, reads=CacheAside, redis=UnfencedValues), _NO_FAULTS, 5
    ),
    "no fence at all": Mutant(replace(REAL, fences=NoFence, redis=UnfencedValues), _NO_FAULTS, 5),
    "nonce only before": Mutant(replace(REAL, fences=NonceOnlyBefore), _NO_FAULTS, 5),
    "nonce only after": Mutant(replace(REAL, fences=NonceOnlyAfter), _NO_FAULTS, 100, (21,)),
    "no writes in flight": Mutant(replace(REAL, fences=NoWritesInFlight), _LOST_WRITES, 20, (2,)),
    "no quarantine": Mutant(replace(REAL, fences=NoQuarantineAtAll), _LOST_KEYS, 100, (16,)),
    "ignored server change": Mutant(
        replace(REAL, fences=IgnoredServerChange), _SNAPSHOTS, 20, (15,)
    ),
    "hold too short": Mutant(replace(REAL, fences=HoldTooShort), _LOST_WRITES, 40, (9,)),
    "stored under a newer nonce": Mutant(
        replace(REAL, modify=_store_under_newer_nonces), _NO_FAULTS, 20
    ),
    "calls shared across writes": Mutant(
        replace(REAL, modify=_share_calls_across_writes), _NO_FAULTS, 100, (4,)
    ),
    "last applied taken for the truth": Mutant(
        replace(REAL, reconciler=LastAppliedIsTheTruth), _DOUBT, 20
    ),
    "settled by a read within the hold": Mutant(
        replace(REAL, reconciler=SettledWithinHold), _DOUBT, 20
    ),
    "compared in doubt": Mutant(replace(REAL, reconciler=ComparedInDoubt), _DOUBT, 40),
    "forgotten outcome": Mutant(replace(REAL, writer=ForgottenOutcome), _NO_JOURNAL, 40, (4,)),
    "joined a read of the log": Mutant(
        replace(REAL, modify=_replace_log(JoinedRead)), _CONTENDED, 60, (3,)
    ),
    "ignored gap in the log": Mutant(
        replace(REAL, modify=_replace_log(IgnoredGap)), _SHORT_LOG, 40, (9,)
    ),
    "forgotten restart of the log": Mutant(
        replace(REAL, modify=_replace_log(ForgottenRestart)), _RESTARTS, 60, (82,)
    ),
    "validity taken after the look": Mutant(
        replace(REAL, reads=ValidityAfterLook), _CONTENDED, 80, (27,)
    ),
    "unlogged begin": Mutant(replace(REAL, redis=UnloggedBegin), _UNANSWERED, 60, (10,)),
    "unlogged values": Mutant(replace(REAL, redis=UnloggedValues), _CONTENDED, 20),
    "last stored wins": Mutant(replace(REAL, redis=LastStoredWins), _CONTENDED, 80, (31,)),
    "nothing owed": Mutant(replace(REAL, modify=_forget_owed), _OUTAGES, 60, (3,)),
    "sent twice": Mutant(replace(REAL, provider=_send_twice), _LOST_WRITES, 20),
}


if __name__ == "__main__":
    import sys

    from tests.history.simulation import simulate

    for name, mutant in MUTANTS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        detected = [
            seed
            for seed in range(1, 101)
            if simulate(seed, mutant.profile, mutant.blueprint).violation is not None
        ]
        print(f"{name}: first at seed {detected[0] if detected else '-'}, {len(detected)} of 100")
