"""Defines what the composition root gives a provider, and the type of every provider's spec."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.provider_spec import ProviderSpec
from balance_gateway.ports.ledger_store import LedgerStore
from balance_gateway.ports.provider_call import CallGate, OnCall
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.side_store import SideStore


@dataclass(frozen=True, slots=True)
class ProviderDependencies:
    """Dependencies of a connector's provider.

    Attributes:
        clock: returns the current time.
        on_call: called with the record of every exchange.
        gate: the call gate of the connector.
        ledger: the store of the embedded ledger.
        sides: remembers the normal sides that were read from providers.
    """

    clock: Clock
    on_call: OnCall
    gate: CallGate
    ledger: LedgerStore
    sides: SideStore


#: The spec of any provider; the settings differ from kind to kind.
AnyProviderSpec: TypeAlias = ProviderSpec[Any, ProviderDependencies, BalanceProvider]
