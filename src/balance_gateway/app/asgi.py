"""Build the ASGI application, which opens the gateway at its start and closes it after draining."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from balance_gateway.app.gateway_builder import GatewayComponents
from balance_gateway.app.running_gateway import RunningGateway, open_running_gateway
from balance_gateway.app.served_gateway import ServedGateway, SharedParts, hash_key, serve_gateway
from balance_gateway.config.errors import ConfigError
from balance_gateway.config.reloading import merge_reloaded
from balance_gateway.config.settings import JwtSettings, ServerSettings, Settings
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.observability.shared_metrics import SharedMetrics
from balance_gateway.pipeline.redis_documents import RedisDocuments
from balance_gateway.server.direct_response import AnswerAtOnce, OnReady
from balance_gateway.server.known_heads import RequestHead
from balance_gateway.storage.database import DatabaseError
from balance_gateway.storage.write_probe import WriteProbe
from balance_gateway.web.auth import Authenticator
from balance_gateway.web.failed_credentials import FailedCredentials
from balance_gateway.web.health_endpoints import Check, HealthEndpoints
from balance_gateway.web.load_shedding import LoadShedder
from balance_gateway.web.persisted_queries import PersistedQueries
from balance_gateway.web.shared_documents import SharedDocuments

logger = logging.getLogger(__name__)


def build_app(
    settings: Settings,
    clock: Clock = system_clock,
    read_settings: Callable[[], Settings] | None = None,
    shared_metrics: SharedMetrics | None = None,
) -> "GatewayApp":
    """Build the application; it opens no file or connection before the ASGI lifespan starts.

    Args:
        settings: the configuration.
        clock: returns the current time.
        read_settings: reads the configuration again, for a reload; raises ConfigError. None: the
            configuration stays.
        shared_metrics: the metrics' files, which workers share; None: there is one process.
    """
    return GatewayApp(settings, clock, read_settings, shared_metrics)


class GatewayApp:
    """The ASGI application; serves requests while its lifespan runs.

    Args:
        settings: the configuration.
        clock: returns the current time.
        read_settings: see ``build_app``.
        shared_metrics: see ``build_app``.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        read_settings: Callable[[], Settings] | None = None,
        shared_metrics: SharedMetrics | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._read_settings = read_settings
        self._shared_metrics = shared_metrics
        self._served: ServedGateway | None = None
        self._running: RunningGateway | None = None
        self._shared: SharedParts | None = None
        self._reload_wanted = False
        self._reloading: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        served = self._served
        assert served is not None, "the lifespan has not started"
        served.requests += 1
        try:
            await served.app(scope, receive, send)
        finally:
            served.leave()

    def answer_at_once(self, head: RequestHead, body: bytes, on_ready: OnReady) -> AnswerAtOnce:
        """Return the response to a complete request if it needs no task."""
        if self._served is None:
            return None
        return self._served.app.answer_at_once(head, body, on_ready)

    def expects_body(self, head: RequestHead) -> bool:
        """Whether a request may be answered at once when its body is there."""
        return self._served is not None and self._served.app.expects_body(head)

    def announce_drain(self) -> None:
        """Let ``/readyz`` report from now on that no new requests should be sent."""
        if self._shared is not None:
            self._shared.health.start_draining()

    def build_metrics_app(self) -> Starlette:
        """Build the application of ``metrics_address``, which serves /metrics of this one."""

        async def serve(request: Request) -> Response:
            if self._shared is None:
                return Response(status_code=503)
            response = await self._shared.health.metrics(request)
            response.headers["x-content-type-options"] = "nosniff"
            return response

        return Starlette(routes=[Route("/metrics", serve)])

    @property
    def components(self) -> GatewayComponents:
        """The parts that serve new requests."""
        assert self._running is not None, "the lifespan has not started"
        return self._running.current.components

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[GatewayComponents]:
        """Open the gateway, serve requests inside the context, then drain and close it."""
        async with (
            open_running_gateway(self._settings, self._clock, self._shared_metrics) as running,
            _open_tokens(self._settings.jwt, self._clock) as tokens,
        ):
            self._running = running
            self._shared = shared = self._build_shared_parts(running.current.components, tokens)
            self._served = serve_gateway(running.current, shared)
            self._show_version()
            try:
                yield running.current.components
            finally:
                await self._stop_reloading()
            await self._served.endpoint.drain()
            await shared.persisted_queries.drain()

    def start_reload(self) -> None:
        """Read the configuration again in the background, after a reload that is under way."""
        self._reload_wanted = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._reload_while_wanted())

    async def reload(self) -> bool:
        """Read the configuration again and use it for new requests.

        Returns:
            Whether it is used. A wrong one changes nothing; the log has the reason.
        """
        assert self._running is not None, "the lifespan has not started"
        assert self._read_settings is not None, "the configuration stays"
        outcomes = self.components.metrics.config_reloads
        try:
            # In a thread: a large file takes a while, and requests must not wait for it.
            read = await asyncio.to_thread(self._read_settings)
            settings, restart_keys = merge_reloaded(self._running.current.settings, read)
            await self._use(settings)
        except (ConfigError, DatabaseError, ValueError) as error:
            logger.error("config.refused", extra={"reason": str(error)})
            outcomes.labels("refused").inc()
            return False
        except Exception:
            logger.exception("config.reload_failed")
            outcomes.labels("refused").inc()
            return False
        outcomes.labels("applied").inc()
        self.components.metrics.config_restart_keys.set(len(restart_keys))
        logger.info("config.reloaded", extra={"version": settings.version})
        if restart_keys:
            logger.warning("config.needs_restart", extra={"keys": ", ".join(restart_keys)})
        return True

    async def _use(self, settings: Settings) -> None:
        assert self._running is not None
        assert self._shared is not None
        former = self._served
        assert former is not None
        prepared = await self._running.prepare(settings)
        served = serve_gateway(prepared, self._shared)
        await self._running.replace(prepared)
        self._served = served
        self._show_version()
        closing = asyncio.get_running_loop().create_task(self._close_former(former))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close_former(self, former: ServedGateway) -> None:
        assert self._running is not None
        await former.finish()
        await self._running.close_former(former.gateway)

    async def _reload_while_wanted(self) -> None:
        while self._reload_wanted:
            self._reload_wanted = False
            await self.reload()

    async def _stop_reloading(self) -> None:
        """End a reload under way, and let the writes of former gateways end."""
        self._reload_wanted = False
        if self._reloading is not None:
            await asyncio.wait({self._reloading})
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _show_version(self) -> None:
        self.components.metrics.show_config(self._get_version())

    def _get_version(self) -> str:
        assert self._running is not None
        return self._running.current.settings.version

    def _build_shared_parts(
        self, components: GatewayComponents, tokens: Authenticator | None
    ) -> SharedParts:
        server, metrics = self._settings.server, components.metrics
        failures = FailedCredentials(
            server.trusted_proxies, lambda outcome: metrics.failed_credentials.labels(outcome).inc()
        )
        return SharedParts(
            health=_build_health_endpoints(components, server, failures, self._get_version),
            failures=failures,
            tokens=tokens,
            persisted_queries=_build_persisted_queries(components, server),
            load_shedder=LoadShedder(on_rejection=metrics.turned_away.inc),
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except DatabaseError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


def _build_health_endpoints(
    components: GatewayComponents,
    server: ServerSettings,
    failures: FailedCredentials,
    get_configuration: Callable[[], str],
) -> HealthEndpoints:
    key = server.metrics_key
    optional: dict[str, Check] = {"cache": components.cache.fences.ping}
    if components.clocks.has_others:
        optional["clock"] = components.clocks.check
    return HealthEndpoints(
        checks={"storage": WriteProbe(components.database).check},
        optional_checks=optional,
        registry=components.metrics.scraped,
        metrics_key_sha256=None if key is None else hash_key(key),
        failures=failures,
        get_configuration=get_configuration,
    )


def _build_persisted_queries(
    components: GatewayComponents, server: ServerSettings
) -> PersistedQueries:
    link = components.cache.link
    # Without Redis there is one process: several workers require it.
    shared = None if link is None else SharedDocuments(RedisDocuments(link))
    return PersistedQueries(enabled=server.persisted_queries, shared=shared)


@contextlib.asynccontextmanager
async def _open_tokens(
    jwt: JwtSettings | None, clock: Clock
) -> AsyncIterator[Authenticator | None]:
    """Open the authenticator of an issuer's tokens; None without ``[auth.jwt]``."""
    if jwt is None:
        yield None
        return
    # Imported here, so that a gateway without tokens does not load 9 MB of cryptography.
    from balance_gateway.web.jwks import Jwks  # noqa: PLC0415
    from balance_gateway.web.jwt import JwtAuthenticator  # noqa: PLC0415

    jwks = Jwks(jwt.jwks_url, network=jwt, allow_plain_http=jwt.allow_plain_http)
    try:
        yield JwtAuthenticator(
            issuer=jwt.issuer,
            audience=jwt.audience,
            jwks=jwks,
            tenant_claim=jwt.tenant_claim,
            scope_claim=jwt.scope_claim,
            clock=clock,
        )
    finally:
        await jwks.aclose()
