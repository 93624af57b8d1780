"""``balance-gateway serve``: run the gateway."""

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.usage import (
    UsageError,
    bind_listener,
    config_option,
    load_settings,
    log_level_option,
)

if TYPE_CHECKING:
    from balance_gateway.config.settings import Settings


@click.command()
@config_option
@click.option("--host", help="Address to listen on; overrides server.host.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Port to listen on, 0 for a free one; overrides server.port.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Number of worker processes; overrides server.workers.",
)
@log_level_option("INFO")
@click.option("--listener-fd", type=int, hidden=True, help="Serve as a worker on this socket.")
def serve(
    config_path: Path,
    host: str | None,
    port: int | None,
    workers: int | None,
    log_level: str,
    listener_fd: int | None,
) -> None:
    """Serve the gateway until Ctrl-C or SIGTERM."""
    from balance_gateway.config.errors import ConfigError
    from balance_gateway.config.reader import refuse_contradictions
    from balance_gateway.observability.logs import configure_logs
    from balance_gateway.server.workers import Workers

    settings = load_settings(config_path)
    server = settings.server
    count = workers or server.workers
    # Checked again, since --workers may contradict the file.
    try:
        refuse_contradictions(settings, workers=count)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    configure_logs(log_level)
    if listener_fd is not None:
        raise SystemExit(_serve_as_worker(settings, socket.socket(fileno=listener_fd)))
    # Bound here, so that an address in use ends the command before anything else is opened.
    listener = bind_listener(host or server.host, server.port if port is None else port)
    if count > 1:
        click.echo(f"Serving balance-gateway with {count} workers", err=True)
        raise SystemExit(Workers(config_path, listener, count, log_level).serve())
    raise SystemExit(_serve_in_process(settings, listener))


def _serve_in_process(settings: "Settings", listener: socket.socket) -> int:
    from balance_gateway.app import build_app
    from balance_gateway.server.server import Service, serve_until_stopped

    service = Service(build_app(settings), listener)

    async def announce() -> None:
        click.echo(f"Serving balance-gateway at {service.url}/graphql", err=True)

    return serve_until_stopped([service], announce)


def _serve_as_worker(settings: "Settings", listener: socket.socket) -> int:
    """Serve as a worker: report READY on stdout, and stop at the end of stdin."""
    from balance_gateway.app import build_app
    from balance_gateway.server.server import Service, serve_until_stopped
    from balance_gateway.server.workers import READY

    async def announce() -> None:
        # stdout is a pipe to the supervisor, which waits for this line.
        click.echo(READY)

    service = Service(build_app(settings), listener, shared=True)
    return serve_until_stopped([service], announce, lifeline=sys.stdin.fileno())
