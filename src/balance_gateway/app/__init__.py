"""The composition root: builds the gateway from settings and wires its parts together."""

from balance_gateway.app.asgi import build_app
from balance_gateway.app.audit_verification import verify_audit, verify_audit_file
from balance_gateway.app.ledger_import import import_ledger_entries
from balance_gateway.app.probes import open_checks

__all__ = ["build_app", "import_ledger_entries", "open_checks", "verify_audit", "verify_audit_file"]
