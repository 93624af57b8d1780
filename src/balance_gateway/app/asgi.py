"""The gateway as one ASGI application: assembled when it starts, closed when it has drained."""

import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Receive, Scope, Send

from balance_gateway.api.execution.engine import Engine
from balance_gateway.api.fast_path.engine import FastPathEngine
from balance_gateway.api.request.limits import Limits
from balance_gateway.app.gateway_builder import GatewayComponents, open_gateway
from balance_gateway.config.settings import ApiKeySettings, Settings
from balance_gateway.domain.access import Scope as AccessScope
from balance_gateway.domain.calendar_days import Clock, system_clock
from balance_gateway.storage.database import DatabaseError
from balance_gateway.web.auth import ApiKey, ApiKeys, Authenticator, KeyOrTokenAuthenticator
from balance_gateway.web.graphql import GraphQLEndpoint, GraphQLEngine
from balance_gateway.web.health_endpoints import HealthEndpoints
from balance_gateway.web.routes import build_web_app

logger = logging.getLogger(__name__)


def build_app(settings: Settings, clock: Clock = system_clock) -> "GatewayApp":
    """The application for these settings. Nothing is opened before its lifespan starts."""
    return GatewayApp(settings, clock)


class GatewayApp:
    """Answers requests while its lifespan runs; an ASGI application."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._app: ASGIApp | None = None
        self._endpoint: GraphQLEndpoint | None = None
        self._operations: HealthEndpoints | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        assert self._app is not None, "the lifespan has not started"
        if self._endpoint is not None and scope["path"] == "/graphql":
            # The one path that is asked all the time goes past routing.
            await self._endpoint(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def announce_drain(self) -> None:
        """From now on ``/readyz`` says that no new requests should be sent."""
        if self._operations is not None:
            self._operations.start_draining()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[GatewayComponents]:
        """Assembles the gateway, serves while inside, and closes it."""
        async with (
            open_gateway(self._settings, self._clock) as assembly,
            _authenticating(self._settings, self._clock) as authenticator,
        ):
            self._operations = _operations(assembly)
            endpoint = GraphQLEndpoint(
                _engine(assembly, self._settings),
                authenticator,
                on_rejection=assembly.metrics.turned_away.inc,
            )
            self._endpoint = None if self._settings.server.cors_origins else endpoint
            self._app = build_web_app(
                graphql=endpoint,
                operations=self._operations,
                cors_origins=self._settings.server.cors_origins,
                console=self._settings.server.graphiql,
            )
            yield assembly
            await endpoint.drain()

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


def _engine(assembly: GatewayComponents, settings: Settings) -> GraphQLEngine:
    limits, timeout_s = Limits(), settings.server.request_timeout_s
    plain = Engine(assembly.gateway, limits=limits, request_timeout_s=timeout_s)
    if not settings.server.compiled:
        return plain
    return FastPathEngine(
        plain,
        assembly.gateway,
        limits=limits,
        request_timeout_s=timeout_s,
        metrics=assembly.metrics,
    )


def _operations(assembly: GatewayComponents) -> HealthEndpoints:
    return HealthEndpoints(
        checks={"storage": assembly.database.ping},
        optional_checks={"cache": assembly.caching.fences.ping},
        registry=assembly.metrics.registry,
    )


@contextlib.asynccontextmanager
async def _authenticating(settings: Settings, clock: Clock) -> AsyncIterator[Authenticator]:
    """API keys, and the tokens of an issuer when ``[auth.jwt]`` names one."""
    keys = ApiKeys([_api_key(key) for key in settings.api_keys])
    jwt = settings.jwt
    if jwt is None:
        yield keys
        return
    # Imported here: a gateway without tokens does without 9 MB of cryptography.
    from balance_gateway.web.jwks import Jwks  # noqa: PLC0415
    from balance_gateway.web.jwt import JwtAuthenticator  # noqa: PLC0415

    jwks = Jwks(jwt.jwks_url)
    try:
        yield KeyOrTokenAuthenticator(
            keys,
            JwtAuthenticator(issuer=jwt.issuer, audience=jwt.audience, jwks=jwks, clock=clock),
        )
    finally:
        await jwks.aclose()


def _api_key(key: ApiKeySettings) -> ApiKey:
    """The key's hash takes its place; from here on nobody holds the key itself."""
    return ApiKey(
        name=key.name,
        key_sha256=hashlib.sha256(key.key.reveal().encode()).digest(),
        tenant=key.tenant,
        scopes=frozenset(AccessScope(scope) for scope in key.scopes),
    )
