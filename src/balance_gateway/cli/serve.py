"""``balance-gateway serve``: run the gateway."""

import gc
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from balance_gateway.cli.reload import claim_pid_file, pid_file_option
from balance_gateway.cli.usage import (
    CommandError,
    UsageError,
    bind_listener,
    config_option,
    log_level_option,
)

if TYPE_CHECKING:
    from balance_gateway.config.settings import Settings
    from balance_gateway.observability.shared_metrics import SharedMetrics
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
@click.option(
    "--root-path",
    help="Path below which everything is served as well; overrides server.root_path.",
)
@log_level_option("INFO")
@pid_file_option
@click.option("--listener-fd", type=int, hidden=True, help="Serve as a worker on this socket.")
@click.option("--metrics-folder", type=click.Path(path_type=Path), hidden=True)
@click.option("--metrics-fd", type=int, hidden=True)
@click.option("--worker-number", type=int, default=0, hidden=True)
def serve(
    config_path: Path,
    host: str | None,
    port: int | None,
    workers: int | None,
    root_path: str | None,
    log_level: str,
    pid_file: Path | None,
    listener_fd: int | None,
    metrics_folder: Path | None,
    metrics_fd: int | None,
    worker_number: int,
) -> None:
    """Serve the gateway until Ctrl-C or SIGTERM; SIGHUP reloads the configuration."""
    # What a start creates stays: looking for garbage in it takes a fifth of the start. On again in
    # ``freeze_gc``.
    gc.disable()
    from balance_gateway.config.errors import ConfigError
    from balance_gateway.observability.logs import configure_logs

    early_hangups: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: early_hangups.append(number))
    try:
        settings = _read_settings(config_path, workers, root_path)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    server = settings.server
    count = workers or server.workers
    configure_logs(log_level)
    source = _Source(settings, config_path, workers, root_path, early_hangups)
    if listener_fd is not None:
        assert metrics_folder is not None
        listeners = [socket.socket(fileno=fd) for fd in (listener_fd, metrics_fd) if fd is not None]
        raise SystemExit(_serve_as_worker(source, listeners, metrics_folder, worker_number))
    claim_pid_file(config_path, pid_file)
    # Bound here, so that an address in use ends the command before anything else is opened.
    listeners = [bind_listener(host or server.host, server.port if port is None else port)]
    if server.metrics_address:
        metrics_host, _, metrics_port = server.metrics_address.rpartition(":")
        listeners.append(
            bind_listener(metrics_host.strip("[]"), int(metrics_port), "server.metrics_address")
        )
    if count > 1:
        click.echo(f"Serving balance-gateway with {count} workers", err=True)
        raise SystemExit(_supervise_workers(source, listeners, count, log_level))
    raise SystemExit(_serve_in_process(source, listeners))


@dataclass(frozen=True, slots=True)
class _Source:
    """The configuration, and how to read it again.

    Attributes:
        settings: the settings as they were read at the start.
        config_path: the file.
        workers: the value of --workers; None without it.
        root_path: the value of --root-path; None without it.
        early_hangups: filled by SIGHUP until the application has started.
    """

    settings: "Settings"
    config_path: Path
    workers: int | None
    root_path: str | None
    early_hangups: list[int]

    def build_services(
        self, listeners: list[socket.socket], shared_metrics: "SharedMetrics | None" = None
    ) -> "list[Service]":
        """Build the service of the gateway and, for a second socket, that of its metrics."""
        from balance_gateway.app.asgi import build_app
        from balance_gateway.server.server import Service

        app = build_app(
            self.settings,
            read_settings=lambda: _read_settings(self.config_path, self.workers, self.root_path),
            shared_metrics=shared_metrics,
        )
        shared = shared_metrics is not None
        return [
            Service(app, listeners[0], shared, on_hangup=app.start_reload),
            # Drained after the gateway, so that its last counts can be scraped.
            *(Service(app.build_metrics_app(), each, shared) for each in listeners[1:]),
        ]

    def repeat_early_hangup(self, service: "Service") -> None:
        """Reload if SIGHUP came before the application could."""
        if self.early_hangups and service.on_hangup is not None:
            service.on_hangup()


def _read_settings(config_path: Path, workers: int | None, root_path: str | None) -> "Settings":
    """Read the configuration, which the options must not contradict.

    Raises:
        ConfigError: the configuration is invalid.
    """
    from balance_gateway.app.configuration import read_settings
    from balance_gateway.config.reader import override_root_path, refuse_contradictions

    settings = read_settings(config_path)
    refuse_contradictions(settings, workers=workers or settings.server.workers)
    return settings if root_path is None else override_root_path(settings, root_path)


def _serve_in_process(source: _Source, listeners: list[socket.socket]) -> int:
    from balance_gateway.server.server import serve_until_stopped

    services = source.build_services(listeners)

    async def announce() -> None:
        source.repeat_early_hangup(services[0])
        click.echo(f"Serving balance-gateway at {services[0].url}/graphql", err=True)
        for service in services[1:]:
            click.echo(f"Metrics at {service.url}/metrics", err=True)

    return serve_until_stopped(services, announce)


def _supervise_workers(
    source: _Source, listeners: list[socket.socket], count: int, log_level: str
) -> int:
    from balance_gateway.server.workers import Workers

    gc.enable()
    try:
        folder = tempfile.TemporaryDirectory(prefix="balance-gateway-metrics-")
    except OSError as error:
        raise CommandError(
            f"Cannot create a folder for the workers' metrics: {error.strerror}. Set TMPDIR to a"
            " folder that can be written."
        ) from None
    with folder:
        return Workers(
            source.config_path, listeners, count, log_level, Path(folder.name), source.root_path
        ).serve()


def _serve_as_worker(
    source: _Source, listeners: list[socket.socket], metrics_folder: Path, number: int
) -> int:
    """Serve as a worker: report READY on stdout, and stop at the end of stdin."""
    from balance_gateway.observability.shared_metrics import SharedMetrics
    from balance_gateway.server.server import serve_until_stopped
    from balance_gateway.server.workers import READY

    services = source.build_services(listeners, SharedMetrics(metrics_folder, number))

    async def announce() -> None:
        source.repeat_early_hangup(services[0])
        # stdout is a pipe to the supervisor, which waits for this line.
        click.echo(READY)

    return serve_until_stopped(services, announce, lifeline=sys.stdin.fileno())
