"""Run ASGI applications under uvicorn on sockets bound beforehand, and drain them on a signal."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn

from balance_gateway.server.acceptor import BACKLOG, Acceptor
from balance_gateway.server.answering_protocol import AnsweringProtocol
from balance_gateway.server.draining import DRAIN_NOTICE_S, IDLE_GRACE_S, DrainState
from balance_gateway.server.http_protocol import STALL_CHECK_S
from balance_gateway.server.known_heads import KnownHeads

logger = logging.getLogger(__name__)

#: Time limit for running requests after the signal to stop, in seconds.
DRAIN_S = 20


@dataclass(frozen=True, slots=True)
class Service:
    """An application and the socket on which it is served.

    Attributes:
        app: an ASGI application.
        listener: a socket that listens already.
        shared: whether other processes accept from the same socket.
        on_hangup: called at SIGHUP once the application has started; None: the signal stops the
            services as Ctrl-C does.
    """

    app: Any
    listener: socket.socket
    shared: bool = False
    on_hangup: Callable[[], None] | None = None

    @property
    def url(self) -> str:
        """The URL of the application."""
        host, port = self.listener.getsockname()[:2]
        if self.listener.family is socket.AF_INET6:
            host = f"[{host}]"
        return f"http://{host}:{port}"


class AddressUnavailable(Exception):
    """The host and port cannot be bound."""


def bind(host: str, port: int) -> socket.socket:
    """Bind a non-blocking listening socket.

    Raises:
        AddressUnavailable: the port is in use, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or "the address cannot be used"
        raise AddressUnavailable(f"Cannot listen on {host} port {port}: {reason}.") from None
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """A uvicorn server that leaves signal handling to ``serve_until_stopped``.

    Args:
        service: the application and its socket.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(build_uvicorn_config(service.app))
        self._service = service
        self._acceptor: Acceptor | None = None
        self._drain = DrainState()
        self._known_heads = KnownHeads()
        self._stall_check: asyncio.TimerHandle | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await super().startup(sockets=sockets)
        if self.started:
            service = self._service
            self._acceptor = Acceptor(service.listener, self._build_protocol, shared=service.shared)
            self._acceptor.start()
            self.drop_stalled_clients()

    def start_draining(self, idle_grace_s: float) -> None:
        """Let each response end its connection from now on; requests are still accepted.

        The application's ``announce_drain`` is called, if it has one.

        Args:
            idle_grace_s: the time for which idle connections stay open.
        """
        self._drain.begin(idle_grace_s)
        for connection in list(self.server_state.connections):
            assert isinstance(connection, AnsweringProtocol)
            connection.end_after_response()
        announce = getattr(self.config.app, "announce_drain", None)
        if callable(announce):
            announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections and drain the existing ones."""
        if self._acceptor is not None:
            await self._acceptor.drain()
        await self._drain.wait_for_idle(self.server_state.connections)
        if self._stall_check is not None:
            self._stall_check.cancel()
        await super().shutdown(sockets=sockets)

    def drop_stalled_clients(self) -> None:
        """Drop the connections of stalled clients, and schedule the next check."""
        # One timer for all connections, so that an ordinary request starts none.
        for connection in list(self.server_state.connections):
            assert isinstance(connection, AnsweringProtocol)
            connection.drop_if_stalled()
        self._stall_check = asyncio.get_running_loop().call_later(
            STALL_CHECK_S, self.drop_stalled_clients
        )

    def _build_protocol(self) -> AnsweringProtocol:
        return AnsweringProtocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            drain=self._drain,
            known_heads=self._known_heads,
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Install no signal handlers."""
        # uvicorn raises the signal again after draining, which would turn a clean stop into an
        # error; and two servers in one process would each handle the signals.
        yield


def build_uvicorn_config(app: Any) -> uvicorn.Config:
    """Build the configuration: uvloop, httptools, no log line per request."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        loop="uvloop",
        http=AnsweringProtocol,
        ws="none",
        proxy_headers=False,
        lifespan="on",
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_S,
    )


def serve_until_stopped(
    services: Sequence[Service],
    on_ready: Callable[[], Awaitable[None]] | None = None,
    *,
    lifeline: int | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM, then drain the services in order.

    Args:
        services: the services, which are started together.
        on_ready: called once all of them serve.
        lifeline: file descriptor of the read end of a pipe; its end of file stops the services as
            a signal does. None: only signals stop them.

    Returns:
        The exit code: 0 after a clean stop, 1 if a service failed.
    """
    with asyncio.Runner(loop_factory=_choose_loop_factory()) as runner:
        return runner.run(_serve(services, on_ready, lifeline))


def _choose_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(
    services: Sequence[Service],
    on_ready: Callable[[], Awaitable[None]] | None,
    lifeline: int | None,
) -> int:
    servers = [Server(service) for service in services]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    notice_s = idle_grace_s = 0.0

    def stop_with_notice() -> None:
        nonlocal notice_s, idle_grace_s
        notice_s, idle_grace_s = DRAIN_NOTICE_S, IDLE_GRACE_S
        stop.set()

    _handle_signals(loop, stop.set, stop_with_notice)
    if lifeline is not None:
        # Nothing is written to the pipe: it becomes readable at its end of file.
        loop.add_reader(lifeline, stop.set)
    running = [loop.create_task(_run(server)) for server in servers]
    stopping = loop.create_task(stop.wait())
    try:
        while not all(server.started for server in servers):
            done, _ = await asyncio.wait(
                [stopping, *running], timeout=0.01, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                break
        else:
            for service in services:
                if service.on_hangup is not None:
                    loop.add_signal_handler(signal.SIGHUP, service.on_hangup)
            if on_ready is not None:
                await on_ready()
            freeze_gc()
            await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
        failed = any(task.done() for task in running)
    finally:
        stopping.cancel()
        if any(service.on_hangup is not None for service in services):
            # A process that stops reloads nothing, and must not be killed either.
            loop.add_signal_handler(signal.SIGHUP, lambda: None)
        if lifeline is not None:
            loop.remove_reader(lifeline)
        for server in servers:
            server.start_draining(idle_grace_s)
        await asyncio.wait(running, timeout=notice_s)
        for server, task in zip(servers, running, strict=True):
            server.should_exit = True
            await asyncio.wait([task])
    return 1 if failed or any(task.result() for task in running) else 0


def _handle_signals(
    loop: asyncio.AbstractEventLoop, stop: Callable[[], None], stop_with_notice: Callable[[], None]
) -> None:
    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGTERM, stop_with_notice)
    # Until a service can reload; under nohup the signal stays ignored.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        loop.add_signal_handler(signal.SIGHUP, stop)


def freeze_gc() -> None:
    """Exclude the objects that exist after the start from garbage collection."""
    # A full collection traverses a hundred thousand modules, types and tables that never become
    # garbage, and blocks every request meanwhile. Requests leave few cycles behind.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
    # Off while the command starts.
    gc.enable()


async def _run(server: Server) -> int:
    """Serve and return an exit code; uvicorn exits when an application cannot start."""
    try:
        # No socket for uvicorn: the acceptor accepts the connections.
        await server.serve(sockets=[])
    except SystemExit as error:
        return int(error.code or 0) or 1
    return 0 if server.started else 1
