"""Fault profiles: which faults a simulated run injects, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class FaultProfile:
    """Which faults are injected, and how often; shares are of 1, periods are means in seconds.

    Attributes:
        replicas: how many gateways run.
        shared: whether they share Redis; False requires one replica, which caches in memory.
        write_results: weights of the results of writes at a provider; see ``provider_model.py``.
        aliases: one remote account is configured twice.
        retries: clients retry a write without an answer, with its idempotency key.
        compare_and_set: clients state the value that their write replaces.
        stalls: a process is suspended for a while, as under SIGSTOP.
        only_freshness: check only freshness, the weaker rule.
        contended: many requests for few accounts at a fast provider, one of which changes by
            itself, while Redis answers late.
        log_max: how many entries Redis's log of changes keeps.
    """

    replicas: int = 3
    clients: int = 5
    seconds: float = 25.0
    shared: bool = True
    write_share: float = 0.25
    crash_every_s: float | None = 9.0
    redis_restart_every_s: float | None = 12.0
    redis_outage_every_s: float | None = 15.0
    redis_slow_share: float = 0.02
    redis_keeps_snapshots: bool = False
    journal_failure_share: float = 0.01
    journal_outage_every_s: float | None = None
    provider_outage_every_s: float | None = 15.0
    slow_read_share: float = 0.15
    retries: bool = True
    write_results: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {"ok": 6, "refused": 1, "unsent": 1, "lost": 1, "unanswered": 1, "late": 2}
        )
    )
    aliases: bool = False
    compare_and_set: bool = False
    stalls: bool = False
    only_freshness: bool = False
    contended: bool = False
    log_max: int = 10_000


_NO_FAULTS: dict[str, Any] = {
    "crash_every_s": None,
    "redis_restart_every_s": None,
    "redis_outage_every_s": None,
    "provider_outage_every_s": None,
    "journal_failure_share": 0.0,
    "redis_slow_share": 0.0,
    "write_results": MappingProxyType({"ok": 5, "refused": 1}),
}
_ALL_FAULTS = FaultProfile(retries=False)
FAULT_PROFILES: Mapping[str, FaultProfile] = {
    "no faults": FaultProfile(**_NO_FAULTS),
    "crashes": replace(FaultProfile(**_NO_FAULTS), crash_every_s=5.0),
    "lost writes": replace(FaultProfile(**_NO_FAULTS), write_results=FaultProfile().write_results),
    "lost redis keys": replace(_ALL_FAULTS, redis_restart_every_s=5.0, crash_every_s=12.0),
    "all faults": _ALL_FAULTS,
    "one process": replace(_ALL_FAULTS, shared=False, replicas=1, crash_every_s=6.0),
    "slow redis": replace(_ALL_FAULTS, redis_slow_share=0.15),
    "retried writes": replace(FaultProfile(), journal_failure_share=0.0),
    "stalled processes": replace(_ALL_FAULTS, stalls=True, only_freshness=True),
}

_LATE_WRITES = replace(
    FaultProfile(**_NO_FAULTS),
    write_results=MappingProxyType({"late": 1}),
    write_share=0.02,
    slow_read_share=0.05,
    clients=8,
    seconds=60.0,
    retries=False,
)
_CONTENDED = replace(
    FaultProfile(**_NO_FAULTS), contended=True, seconds=3.0, clients=8, write_share=0.03
)
#: Profiles in which kept answers are used while they change; each is short.
CONTENDED_FAULT_PROFILES: Mapping[str, FaultProfile] = {
    "contended": _CONTENDED,
    "contended, short log": replace(_CONTENDED, log_max=3),
    "contended, lost writes": replace(
        _CONTENDED,
        write_share=0.06,
        write_results=MappingProxyType({"ok": 2, "unanswered": 2, "late": 1}),
        retries=False,
    ),
    "contended, crashes": replace(_CONTENDED, crash_every_s=1.5, stalls=True, only_freshness=True),
    "contended, redis outages": replace(_CONTENDED, redis_outage_every_s=1.5),
    "contended, redis restarts": replace(
        _CONTENDED,
        redis_restart_every_s=1.0,
        redis_keeps_snapshots=True,
        stalls=True,
        only_freshness=True,
        seconds=6.0,
    ),
    "contended, one process": replace(_CONTENDED, shared=False, replicas=1),
}
#: Profiles for cases that are hard to get right; see ``test_simulation.py``.
SPECIAL_FAULT_PROFILES: Mapping[str, FaultProfile] = {
    "compare-and-set writes": replace(
        FaultProfile(**_NO_FAULTS), compare_and_set=True, write_share=0.5
    ),
    "comparisons and uncertain writes": replace(
        FAULT_PROFILES["lost writes"], compare_and_set=True, write_share=0.5, retries=False
    ),
    "settlement under all faults": replace(_ALL_FAULTS, compare_and_set=True, write_share=0.4),
    "journal outages": replace(FaultProfile(**_NO_FAULTS), journal_outage_every_s=6.0),
    "journal outages under all faults": replace(
        _ALL_FAULTS, journal_outage_every_s=8.0, compare_and_set=True
    ),
    "aliased accounts": replace(_ALL_FAULTS, aliases=True),
    "retries without a journal": replace(FaultProfile(), journal_failure_share=0.03),
    "late fence replies": replace(_LATE_WRITES, redis_slow_share=0.25),
    "crash after a wait": replace(
        _LATE_WRITES, shared=False, replicas=1, write_share=0.08, crash_every_s=2.0
    ),
    "redis restored from a snapshot": replace(
        FaultProfile(**_NO_FAULTS), redis_keeps_snapshots=True, redis_restart_every_s=4.0
    ),
}
