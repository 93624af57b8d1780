"""Build the web application: all of its routes and its CORS policy."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from balance_gateway.web.console import build_console_routes
from balance_gateway.web.dashboard import build_dashboard_routes
from balance_gateway.web.graphql import GraphQLEndpoint
from balance_gateway.web.health_endpoints import HealthEndpoints


def build_web_app(
    *,
    graphql: GraphQLEndpoint,
    operations: HealthEndpoints,
    cors_origins: Sequence[str] = (),
    dashboard: bool = True,
    console: bool = False,
) -> Starlette:
    """Build the application.

    Args:
        graphql: serves /graphql.
        operations: serves /healthz, /readyz and /metrics.
        cors_origins: other origins from which pages may query /graphql. If empty, no CORS headers
            are sent.
        dashboard: whether / serves the dashboard.
        console: whether /graphiql serves the query console.
    """
    routes = [
        Route("/graphql", graphql),
        Route("/healthz", operations.healthz),
        Route("/readyz", operations.readyz),
        Route("/metrics", operations.metrics),
        *(build_dashboard_routes() if dashboard else []),
        *(build_console_routes() if console else []),
    ]
    return Starlette(routes=routes, middleware=_build_cors(cors_origins))


def _build_cors(origins: Sequence[str]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=["X-Request-Id", "Retry-After"],
            allow_credentials=False,
            max_age=600,
        )
    ]
