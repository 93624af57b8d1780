"""Build the ASGI application, which opens the gateway at its start and closes it after draining."""

import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Receive, Scope, Send

from balance_gateway.api.compiled.engine import CompiledEngine
from balance_gateway.api.execution.engine import Engine
from balance_gateway.api.request.limits import Limits
from balance_gateway.app.gateway_builder import GatewayComponents, open_gateway
from balance_gateway.config.settings import ApiKeySettings, ServerSettings, Settings
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.domain.secret import Secret
from balance_gateway.pipeline.redis_documents import RedisDocuments
from balance_gateway.storage.database import DatabaseError
from balance_gateway.storage.write_probe import WriteProbe
from balance_gateway.web.auth import ApiKey, ApiKeys, Authenticator, KeyOrTokenAuthenticator
from balance_gateway.web.cors import CorsPolicy
from balance_gateway.web.failed_credentials import FailedCredentials
from balance_gateway.web.graphql import GraphQLEndpoint, GraphQLEngine
from balance_gateway.web.health_endpoints import Check, HealthEndpoints
from balance_gateway.web.persisted_queries import PersistedQueries
from balance_gateway.web.routes import build_web_app
from balance_gateway.web.shared_documents import SharedDocuments

logger = logging.getLogger(__name__)


def build_app(settings: Settings, clock: Clock = system_clock) -> "GatewayApp":
    """Build the application; it opens no file or connection before the ASGI lifespan starts."""
    return GatewayApp(settings, clock)


class GatewayApp:
    """The ASGI application; serves requests while its lifespan runs.

    Args:
        settings: the configuration.
        clock: returns the current time.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._app: ASGIApp | None = None
        self._health: HealthEndpoints | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        assert self._app is not None, "the lifespan has not started"
        await self._app(scope, receive, send)

    def announce_drain(self) -> None:
        """Let ``/readyz`` report from now on that no new requests should be sent."""
        if self._health is not None:
            self._health.start_draining()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[GatewayComponents]:
        """Open the gateway, serve requests inside the context, then drain and close it."""
        server = self._settings.server
        async with (
            open_gateway(self._settings, self._clock) as components,
            _open_authenticator(self._settings, self._clock) as authenticator,
        ):
            failures = FailedCredentials(
                server.trusted_proxies,
                lambda outcome: components.metrics.failed_credentials.labels(outcome).inc(),
            )
            self._health = _build_health_endpoints(components, server, failures)
            persisted_queries = _build_persisted_queries(components, server)
            endpoint = GraphQLEndpoint(
                _build_engine(components, self._settings),
                authenticator,
                on_rejection=components.metrics.turned_away.inc,
                cors=_build_cors(server),
                persisted_queries=persisted_queries,
                failures=failures,
                compression=server.compression,
            )
            self._app = build_web_app(
                graphql=endpoint,
                operations=self._health,
                root_path=server.root_path,
                console=server.graphiql,
            )
            yield components
            await endpoint.drain()
            await persisted_queries.drain()

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


def _build_engine(components: GatewayComponents, settings: Settings) -> GraphQLEngine:
    limits = Limits(accounts=components.gateway.directory.count_largest_tenant())
    timeout_s = settings.server.request_timeout_s
    engine = Engine(components.gateway, limits=limits, request_timeout_s=timeout_s)
    if not settings.server.compiled:
        return engine
    return CompiledEngine(
        engine,
        components.gateway,
        limits=limits,
        request_timeout_s=timeout_s,
        metrics=components.metrics,
    )


def _build_persisted_queries(
    components: GatewayComponents, server: ServerSettings
) -> PersistedQueries:
    link = components.cache.link
    # Without Redis there is one process: several workers require it.
    shared = None if link is None else SharedDocuments(RedisDocuments(link))
    return PersistedQueries(enabled=server.persisted_queries, shared=shared)


def _build_cors(server: ServerSettings) -> CorsPolicy | None:
    if not server.cors_origins:
        return None
    return CorsPolicy(server.cors_origins, server.cors_headers)


def _build_health_endpoints(
    components: GatewayComponents, server: ServerSettings, failures: FailedCredentials
) -> HealthEndpoints:
    key = server.metrics_key
    optional: dict[str, Check] = {"cache": components.cache.fences.ping}
    if components.clocks.has_others:
        optional["clock"] = components.clocks.check
    return HealthEndpoints(
        checks={"storage": WriteProbe(components.database).check},
        optional_checks=optional,
        registry=components.metrics.registry,
        metrics_key_sha256=None if key is None else _hash_key(key),
        failures=failures,
    )


@contextlib.asynccontextmanager
async def _open_authenticator(settings: Settings, clock: Clock) -> AsyncIterator[Authenticator]:
    """Open the authenticator of API keys and, with ``[auth.jwt]``, of an issuer's tokens."""
    keys = ApiKeys([_build_api_key(key) for key in settings.api_keys])
    jwt = settings.jwt
    if jwt is None:
        yield keys
        return
    # Imported here, so that a gateway without tokens does not load 9 MB of cryptography.
    from balance_gateway.web.jwks import Jwks  # noqa: PLC0415
    from balance_gateway.web.jwt import JwtAuthenticator  # noqa: PLC0415

    jwks = Jwks(jwt.jwks_url, network=jwt, allow_plain_http=jwt.allow_plain_http)
    try:
        yield KeyOrTokenAuthenticator(
            keys,
            JwtAuthenticator(
                issuer=jwt.issuer,
                audience=jwt.audience,
                jwks=jwks,
                tenant_claim=jwt.tenant_claim,
                scope_claim=jwt.scope_claim,
                clock=clock,
            ),
        )
    finally:
        await jwks.aclose()


def _build_api_key(key: ApiKeySettings) -> ApiKey:
    """Build an API key, which keeps the hash of the configured key only."""
    return ApiKey(
        name=key.name,
        key_sha256=_hash_key(key.key),
        tenant=key.tenant,
        scopes=frozenset(key.scopes),
    )


def _hash_key(key: Secret) -> bytes:
    return hashlib.sha256(key.reveal().encode()).digest()
