"""How a connector is doing (kept in the domain; see ``domain/health.py``)."""

from balance_gateway.domain.health import ConnectorStatus, HealthState

__all__ = ["ConnectorStatus", "HealthState"]
