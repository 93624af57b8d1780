"""``balance-gateway serve``: run the gateway."""

import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.reload import claim_pid_file, pid_file_option
from balance_gateway.cli.usage import (
    UsageError,
    bind_listener,
    config_option,
    log_level_option,
)

if TYPE_CHECKING:
    from balance_gateway.config.settings import Settings
    from balance_gateway.server.server import Service


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
@pid_file_option
@click.option("--listener-fd", type=int, hidden=True, help="Serve as a worker on this socket.")
def serve(
    config_path: Path,
    host: str | None,
    port: int | None,
    workers: int | None,
    log_level: str,
    pid_file: Path | None,
    listener_fd: int | None,
) -> None:
    """Serve the gateway until Ctrl-C or SIGTERM; SIGHUP reloads the configuration."""
    from balance_gateway.config.errors import ConfigError
    from balance_gateway.observability.logs import configure_logs
    from balance_gateway.server.workers import Workers

    early_hangups: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: early_hangups.append(number))
    try:
        settings = _read_settings(config_path, workers)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    server = settings.server
    count = workers or server.workers
    configure_logs(log_level)
    source = _Source(settings, config_path, workers, early_hangups)
    if listener_fd is not None:
        raise SystemExit(_serve_as_worker(source, socket.socket(fileno=listener_fd)))
    claim_pid_file(config_path, pid_file)
    # Bound here, so that an address in use ends the command before anything else is opened.
    listener = bind_listener(host or server.host, server.port if port is None else port)
    if count > 1:
        click.echo(f"Serving balance-gateway with {count} workers", err=True)
        raise SystemExit(Workers(config_path, listener, count, log_level).serve())
    raise SystemExit(_serve_in_process(source, listener))


@dataclass(frozen=True, slots=True)
class _Source:
    """The configuration, and how to read it again.

    Attributes:
        settings: the settings as they were read at the start.
        config_path: the file.
        workers: the value of --workers; None without it.
        early_hangups: filled by SIGHUP until the application has started.
    """

    settings: "Settings"
    config_path: Path
    workers: int | None
    early_hangups: list[int]

    def build_service(self, listener: socket.socket, *, shared: bool) -> "Service":
        from balance_gateway.app import build_app
        from balance_gateway.server.server import Service

        app = build_app(
            self.settings, read_settings=lambda: _read_settings(self.config_path, self.workers)
        )
        return Service(app, listener, shared=shared, on_hangup=app.start_reload)

    def repeat_early_hangup(self, service: "Service") -> None:
        """Reload if SIGHUP came before the application could."""
        if self.early_hangups and service.on_hangup is not None:
            service.on_hangup()


def _read_settings(config_path: Path, workers: int | None) -> "Settings":
    """Read the configuration, which ``--workers`` must not contradict.

    Raises:
        ConfigError: the configuration is invalid.
    """
    from balance_gateway.app.configuration import read_settings
    from balance_gateway.config.reader import refuse_contradictions

    settings = read_settings(config_path)
    refuse_contradictions(settings, workers=workers or settings.server.workers)
    return settings


def _serve_in_process(source: _Source, listener: socket.socket) -> int:
    from balance_gateway.server.server import serve_until_stopped

    service = source.build_service(listener, shared=False)

    async def announce() -> None:
        source.repeat_early_hangup(service)
        click.echo(f"Serving balance-gateway at {service.url}/graphql", err=True)

    return serve_until_stopped([service], announce)


def _serve_as_worker(source: _Source, listener: socket.socket) -> int:
    """Serve as a worker: report READY on stdout, and stop at the end of stdin."""
    from balance_gateway.server.server import serve_until_stopped
    from balance_gateway.server.workers import READY

    service = source.build_service(listener, shared=True)

    async def announce() -> None:
        source.repeat_early_hangup(service)
        # stdout is a pipe to the supervisor, which waits for this line.
        click.echo(READY)

    return serve_until_stopped([service], announce, lifeline=sys.stdin.fileno())
