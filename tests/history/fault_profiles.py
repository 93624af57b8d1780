"""What goes wrong in a simulated run, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Weather:
    """What may go wrong, and how often; shares are of 1, periods are means in seconds.

    Attributes:
        replicas: how many gateways; 1 of ``shared=False`` keeps everything in its memory.
        fates: weights of what becomes of writes at a provider; see ``provider_model.py``.
        aliases: one remote account is configured twice.
        repeats: a write without an answer is asked for again, under its idempotency key.
        compares: clients state what their write is to replace.
        stalls: a process stands still for a while, such as under SIGSTOP.
        fresh_only: only the weaker rule is asked for.
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
    provider_outage_every_s: float | None = 15.0
    slow_read_share: float = 0.15
    repeats: bool = True
    fates: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {"ok": 6, "refused": 1, "unsent": 1, "lost": 1, "unanswered": 1, "late": 2}
        )
    )
    aliases: bool = False
    compares: bool = False
    stalls: bool = False
    fresh_only: bool = False


_CALM: dict[str, Any] = {
    "crash_every_s": None,
    "redis_restart_every_s": None,
    "redis_outage_every_s": None,
    "provider_outage_every_s": None,
    "journal_failure_share": 0.0,
    "redis_slow_share": 0.0,
    "fates": MappingProxyType({"ok": 5, "refused": 1}),
}
_STORM = Weather(repeats=False)
WEATHERS: Mapping[str, Weather] = {
    "calm": Weather(**_CALM),
    "crashes": replace(Weather(**_CALM), crash_every_s=5.0),
    "lost writes": replace(Weather(**_CALM), fates=Weather().fates),
    "key loss": replace(_STORM, redis_restart_every_s=5.0, crash_every_s=12.0),
    "storm": _STORM,
    "one process": replace(_STORM, shared=False, replicas=1, crash_every_s=6.0),
    "slow redis": replace(_STORM, redis_slow_share=0.15),
    "repeated writes": replace(Weather(), journal_failure_share=0.0),
    "processes stand still": replace(_STORM, stalls=True, fresh_only=True),
}

_LATE = replace(
    Weather(**_CALM),
    fates=MappingProxyType({"late": 1}),
    write_share=0.02,
    slow_read_share=0.05,
    clients=8,
    seconds=60.0,
    repeats=False,
)
#: Weathers for what is hard to get right; see ``test_simulation.py``.
SPECIAL_WEATHERS: Mapping[str, Weather] = {
    "compared writes": replace(Weather(**_CALM), compares=True, write_share=0.5),
    "aliases": replace(_STORM, aliases=True),
    "repeats without a journal": replace(Weather(), journal_failure_share=0.03),
    "the fence answers late": replace(_LATE, redis_slow_share=0.25),
    "a crash after a wait": replace(
        _LATE, shared=False, replicas=1, write_share=0.08, crash_every_s=2.0
    ),
    "redis comes back from a snapshot": replace(
        Weather(**_CALM), redis_keeps_snapshots=True, redis_restart_every_s=4.0
    ),
}
