"""Run a gateway, and replace its configuration while it runs.

A reload builds a new gateway over the same resources. It keeps the connectors with unchanged
settings, with their budgets, breakers and connections. Requests in progress end in the former
gateway, which is then closed.
"""

import contextlib
from collections.abc import AsyncIterator

from balance_gateway.app.gateway_builder import (
    ConfiguredGateway,
    configure_gateway,
)
from balance_gateway.app.gauges import register_gauges
from balance_gateway.app.resources import Resources, open_resources
from balance_gateway.app.write_deadlines import compute_hold_s
from balance_gateway.config.settings import Settings
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.observability.shared_metrics import SharedMetrics


class RunningGateway:
    """The gateway in use, and former ones in which something is still in progress.

    Args:
        resources: the parts that all of them share.
        first: the gateway in use.
    """

    def __init__(self, resources: Resources, first: ConfiguredGateway) -> None:
        self._resources = resources
        self._former: list[ConfiguredGateway] = []
        self.current = first

    async def prepare(self, settings: Settings) -> ConfiguredGateway:
        """Build the gateway of another configuration; it is not used yet.

        Raises:
            ValueError: a setting is invalid; the text names it and contains no secret.
            DatabaseError: the storage is unavailable.
        """
        return await configure_gateway(
            settings, self._resources, self.current.connectors, self._keeps_outcome
        )

    async def replace(self, new: ConfiguredGateway) -> ConfiguredGateway:
        """Use a prepared gateway from now on; return the former one, for ``close_former``."""
        former = self.current
        self._former.append(former)
        await former.stop()
        self._resources.settings = new.settings
        self._resources.cache.fences.lengthen_hold(compute_hold_s(new.settings))
        # What is read under the former settings may be older than what is read from now on.
        self._resources.reads_in_flight.retire_all()
        register_gauges(self._resources.metrics, new.connectors.values())
        self.current = new
        new.start()
        return former

    async def close_former(self, former: ConfiguredGateway) -> None:
        """Close a former gateway that gets no more requests, when its writes have ended."""
        await former.finish()
        await self._resources.reads_in_flight.wait_for_running()
        self._former.remove(former)
        await _close_connectors(former, [*self._former, self.current])

    async def aclose(self) -> None:
        """Drain all gateways, and close all connectors."""
        await self.current.stop()
        gateways = [*self._former, self.current]
        for gateway in gateways:
            await gateway.drain()
        await self._resources.reads_in_flight.aclose()
        for index, gateway in enumerate(gateways):
            await _close_connectors(gateway, gateways[index + 1 :])

    def _keeps_outcome(self, write_id: str) -> bool:
        return any(one.writer.keeps_outcome(write_id) for one in [*self._former, self.current])


async def _close_connectors(gateway: ConfiguredGateway, others: list[ConfiguredGateway]) -> None:
    """Close the connectors that none of the others has."""
    in_use = {id(connector) for other in others for connector in other.connectors.values()}
    for connector in gateway.connectors.values():
        if id(connector) not in in_use:
            await connector.provider.aclose()


@contextlib.asynccontextmanager
async def open_running_gateway(
    settings: Settings, clock: Clock = system_clock, shared_metrics: SharedMetrics | None = None
) -> AsyncIterator[RunningGateway]:
    """Open a gateway, recover writes that a crash interrupted, and close all parts in order.

    Raises:
        DatabaseError: the storage cannot be opened.
    """
    async with open_resources(settings, clock, shared_metrics) as resources:
        first = await configure_gateway(settings, resources, {}, lambda _write_id: False)
        running = RunningGateway(resources, first)
        try:
            await first.recover()
            register_gauges(resources.metrics, first.connectors.values())
            first.start()
            # The writer drains while its journal, fences and providers are still open.
            yield running
        finally:
            await running.aclose()
