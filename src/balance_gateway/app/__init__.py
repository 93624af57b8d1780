"""The composition root: builds the gateway from settings and wires its parts together."""

from balance_gateway.app.asgi import build_app
from balance_gateway.app.gateway_builder import open_probes
from balance_gateway.app.ledger_import import import_ledger_entries

__all__ = ["build_app", "import_ledger_entries", "open_probes"]
