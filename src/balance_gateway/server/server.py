"""Runs ASGI applications under uvicorn: on sockets bound beforehand, and drained on a signal."""

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

from balance_gateway.server.acceptor import Acceptor
from balance_gateway.server.http_protocol import UNREAD_S, DeadlineProtocol

logger = logging.getLogger(__name__)

#: How long requests that are being answered may take after the signal to stop.
DRAIN_S = 20

#: After SIGTERM new requests are still answered for so long, so that a balancer that looks at
#: ``/readyz`` has sent its last one before the socket closes.
DRAIN_NOTICE_S = 1.5


@dataclass(frozen=True, slots=True)
class Service:
    """An application and the socket it is to be served on.

    Attributes:
        app: an ASGI application.
        listener: listens already.
        shared: whether other processes accept from the same socket.
    """

    app: Any
    listener: socket.socket
    shared: bool = False

    @property
    def url(self) -> str:
        """Where it can be reached."""
        host, port = self.listener.getsockname()[:2]
        if self.listener.family is socket.AF_INET6:
            host = f"[{host}]"
        return f"http://{host}:{port}"


class AddressUnavailable(Exception):
    """The host and port cannot be bound."""


def bind(host: str, port: int) -> socket.socket:
    """Binds a non-blocking listening socket.

    Raises:
        AddressUnavailable: the port is in use, or the host is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        reason = error.strerror or "it cannot be used"
        raise AddressUnavailable(f"Cannot listen on {host} port {port}: {reason}.") from None
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """A uvicorn server whose signals are handled for it.

    uvicorn raises the signal again once it has drained, which would end a clean stop with an
    error, and two servers in one process would each take the signals for itself.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(uvicorn_config(service.app))
        self._service = service
        self._acceptor: Acceptor | None = None
        self._looking: asyncio.TimerHandle | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application, then accepts connections."""
        await super().startup(sockets=sockets)
        if self.started:
            service = self._service
            self._acceptor = Acceptor(service.listener, self._new_protocol, shared=service.shared)
            self._acceptor.start()
            self.drop_stalled_clients()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts no more, and drains what is there."""
        if self._acceptor is not None:
            self._acceptor.stop()
        if self._looking is not None:
            self._looking.cancel()
        await super().shutdown(sockets=sockets)

    def drop_stalled_clients(self) -> None:
        """Drops connections whose clients do not read, every now and then.

        One timer looks at all of them: a request that is answered and read starts none.
        """
        for connection in list(self.server_state.connections):
            assert isinstance(connection, DeadlineProtocol)
            connection.drop_if_unread()
        self._looking = asyncio.get_running_loop().call_later(UNREAD_S, self.drop_stalled_clients)

    def _new_protocol(self) -> DeadlineProtocol:
        return DeadlineProtocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves signals alone."""
        yield


def uvicorn_config(app: Any) -> uvicorn.Config:
    """Our settings: uvloop, httptools, no log line per request."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        loop="uvloop",
        http=DeadlineProtocol,
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
    """Serves until SIGINT or SIGTERM, then drains the services in order. Returns the exit code.

    Args:
        services: are started together.
        on_ready: called once all of them serve.
        lifeline: the reading end of a pipe whose end stops the services, as a signal does.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(services, on_ready, lifeline))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
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
    notice_s = 0.0

    def stop_with_notice() -> None:
        nonlocal notice_s
        notice_s = DRAIN_NOTICE_S
        stop.set()

    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGTERM, stop_with_notice)
    if lifeline is not None:
        # Nothing is ever written to it: it becomes readable as it ends.
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
            if on_ready is not None:
                await on_ready()
            freeze_gc()
            await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
        failed = any(task.done() for task in running)
    finally:
        stopping.cancel()
        if lifeline is not None:
            loop.remove_reader(lifeline)
        for server in servers:
            _announce_drain(server)
        await asyncio.wait(running, timeout=notice_s)
        for server, task in zip(servers, running, strict=True):
            server.should_exit = True
            await asyncio.wait([task])
    return 1 if failed or any(task.result() for task in running) else 0


def _announce_drain(server: Server) -> None:
    """Lets the application answer "not ready" while it still answers."""
    announce = getattr(server.config.app, "announce_drain", None)
    if callable(announce):
        announce()


def freeze_gc() -> None:
    """Takes what was made at the start out of the garbage collector's way.

    A full collection walks a hundred thousand modules, types and tables that will never be
    garbage, and holds up every request meanwhile; and requests leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


async def _run(server: Server) -> int:
    """Serves; an application that cannot start makes uvicorn exit, which becomes a code here."""
    try:
        # uvicorn is given no socket: it is we who accept.
        await server.serve(sockets=[])
    except SystemExit as error:
        return int(error.code or 0) or 1
    return 0 if server.started else 1
