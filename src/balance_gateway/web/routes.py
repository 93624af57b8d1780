"""The web application: every route in one place."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from balance_gateway.web.console import console_routes
from balance_gateway.web.dashboard import dashboard_routes
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
    """The application.

    Args:
        graphql: answers /graphql.
        operations: answers /healthz, /readyz and /metrics.
        cors_origins: other origins whose pages may ask /graphql; none: no CORS headers at all.
        dashboard: whether / shows the page.
        console: whether /graphiql shows the query console.
    """
    routes = [
        Route("/graphql", graphql),
        Route("/healthz", operations.healthz),
        Route("/readyz", operations.readyz),
        Route("/metrics", operations.metrics),
        *(dashboard_routes() if dashboard else []),
        *(console_routes() if console else []),
    ]
    return Starlette(routes=routes, middleware=_cors(cors_origins))


def _cors(origins: Sequence[str]) -> list[Middleware]:
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
