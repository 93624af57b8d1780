"""The composition root: the only place that knows every part, and wires them together."""

from balance_gateway.app.assembly import probes
from balance_gateway.app.importing import import_entries_of
from balance_gateway.app.web import build_app

__all__ = ["build_app", "import_entries_of", "probes"]
