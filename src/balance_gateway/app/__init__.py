"""The composition root: the only place that knows every part, and wires them together."""

import os
from pathlib import Path
from typing import Any

from balance_gateway.app.assembly import probes
from balance_gateway.app.importing import import_entries_of
from balance_gateway.app.web import build_app
from balance_gateway.config.reader import read_settings
from balance_gateway.observability.logs import configure_logs

__all__ = ["build_app", "from_environment", "import_entries_of", "probes"]


def from_environment() -> Any:
    """The application of a worker process, which learns its file from BALANCE_GATEWAY_CONFIG."""
    configure_logs()
    return build_app(read_settings(Path(os.environ["BALANCE_GATEWAY_CONFIG"])))
