"""Read balances of the gateway's own storage in one turn of the event loop."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from balance_gateway.domain.balances import BalanceFigures, BalanceQuery
from balance_gateway.domain.errors import GatewayError
from balance_gateway.pipeline.cache.cache_entry_rules import CachedRead, ReadResult, attach_account
from balance_gateway.ports.reads import FreshnessState, Observed
from balance_gateway.ports.stored_balances_reader import StoredBalancesReader


def read_stored_balances(
    reads: Sequence[CachedRead], readers: Mapping[str, StoredBalancesReader], now: datetime
) -> list[ReadResult] | None:
    """Read balances without waiting: none of them is cached, shared or stale.

    Args:
        reads: of accounts in the storage.
        readers: the providers that read so, by connector name.
        now: the instant of the read.

    Returns:
        One result for each read, in order; None if a reader would have to wait, or failed.
    """
    groups: dict[str, list[BalanceQuery]] = {}
    for read in reads:
        assert read.query is not None
        groups.setdefault(read.account.connector, []).append(read.query)
    found: dict[BalanceQuery, BalanceFigures | GatewayError] = {}
    for connector, queries in groups.items():
        reader = readers.get(connector)
        try:
            values = None if reader is None else reader.read_balances_now(queries)
        except Exception:
            # A read in a task meets the same defect, and reports it.
            return None
        if values is None:
            return None
        found.update(zip(queries, values, strict=True))
    return [_build_result(read, found, now) for read in reads]


def _build_result(
    read: CachedRead, found: Mapping[BalanceQuery, BalanceFigures | GatewayError], now: datetime
) -> ReadResult:
    assert read.query is not None
    value = found[read.query]
    if isinstance(value, GatewayError):
        return attach_account(read.account, value)
    return Observed(value, now, FreshnessState.LIVE)
