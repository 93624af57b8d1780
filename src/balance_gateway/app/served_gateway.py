"""Serve one configuration over HTTP: engine, callers and endpoint over its gateway."""

import asyncio
import hashlib
from dataclasses import dataclass, field

from balance_gateway.api.compiled.engine import CompiledEngine
from balance_gateway.api.execution.engine import Engine
from balance_gateway.api.request.limits import Limits
from balance_gateway.app.gateway_builder import ConfiguredGateway, GatewayComponents
from balance_gateway.config.settings import ApiKeySettings, ServerSettings, Settings
from balance_gateway.domain.secret import Secret
from balance_gateway.web.auth import ApiKey, ApiKeys, Authenticator, KeyOrTokenAuthenticator
from balance_gateway.web.cors import CorsPolicy
from balance_gateway.web.failed_credentials import FailedCredentials
from balance_gateway.web.graphql import GraphQLEndpoint
from balance_gateway.web.graphql_engine import GraphQLEngine
from balance_gateway.web.health_endpoints import HealthEndpoints
from balance_gateway.web.load_shedding import LoadShedder
from balance_gateway.web.persisted_queries import PersistedQueries
from balance_gateway.web.routes import WebApp, build_web_app


@dataclass(frozen=True, slots=True)
class SharedParts:
    """The parts of the web layer that a reload keeps.

    Attributes:
        health: serves the probes and the metrics.
        failures: counts failed credentials.
        tokens: verifies the tokens of an issuer; None without one.
        persisted_queries: the documents that callers may name by a hash.
        load_shedder: counts concurrent requests.
    """

    health: HealthEndpoints
    failures: FailedCredentials
    tokens: Authenticator | None
    persisted_queries: PersistedQueries
    load_shedder: LoadShedder


@dataclass(slots=True, eq=False)
class ServedGateway:
    """A gateway with its web application, and the number of its requests.

    Attributes:
        gateway: the gateway.
        app: the application.
        endpoint: its endpoint /graphql.
        requests: the number of requests in progress.
    """

    gateway: ConfiguredGateway
    app: WebApp
    endpoint: GraphQLEndpoint
    requests: int = 0
    _idle: asyncio.Event | None = field(default=None)

    def leave(self) -> None:
        """Count a request that has ended."""
        self.requests -= 1
        if self._idle is not None and not self.requests:
            self._idle.set()

    async def finish(self) -> None:
        """Wait until no request is in progress; the application gets no more requests."""
        if self.requests:
            self._idle = asyncio.Event()
            await self._idle.wait()
        await self.endpoint.finish()


def serve_gateway(gateway: ConfiguredGateway, shared: SharedParts) -> ServedGateway:
    """Build the web application of a gateway."""
    settings, server = gateway.settings, gateway.settings.server
    endpoint = GraphQLEndpoint(
        _build_engine(gateway.components, settings),
        _build_authenticator(settings, shared.tokens),
        cors=_build_cors(server),
        persisted_queries=shared.persisted_queries,
        failures=shared.failures,
        requests=gateway.components.metrics.requests,
        compression=server.compression,
        load_shedder=shared.load_shedder,
    )
    app = build_web_app(
        graphql=endpoint,
        operations=shared.health,
        root_path=server.root_path,
        console=server.graphiql,
        metrics=not server.metrics_address,
    )
    return ServedGateway(gateway, app, endpoint)


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


def _build_cors(server: ServerSettings) -> CorsPolicy | None:
    if not server.cors_origins:
        return None
    return CorsPolicy(server.cors_origins, server.cors_headers)


def _build_authenticator(settings: Settings, tokens: Authenticator | None) -> Authenticator:
    keys = ApiKeys([_build_api_key(key) for key in settings.api_keys])
    return keys if tokens is None else KeyOrTokenAuthenticator(keys, tokens)


def _build_api_key(key: ApiKeySettings) -> ApiKey:
    """Build an API key, which keeps the hash of the configured key only."""
    return ApiKey(
        name=key.name,
        key_sha256=hash_key(key.key),
        tenant=key.tenant,
        scopes=frozenset(key.scopes),
    )


def hash_key(key: Secret) -> bytes:
    """Return the SHA-256 of a key."""
    return hashlib.sha256(key.reveal().encode()).digest()
