"""Build the web application: all of its routes, also below ``root_path``."""

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from balance_gateway.server.direct_response import AnswerAtOnce, OnReady
from balance_gateway.server.known_heads import RequestHead
from balance_gateway.web.console import build_console_routes
from balance_gateway.web.dashboard import build_dashboard_routes
from balance_gateway.web.graphql import GraphQLEndpoint
from balance_gateway.web.health_endpoints import HealthEndpoints


class WebApp:
    """The web application; serves /graphql without routing, since nearly all requests are for it.

    Args:
        graphql: serves /graphql.
        routed: serves all other paths.
        root_path: the path below which everything is served as well, such as ``/balances``; empty
            for none.
    """

    def __init__(self, graphql: GraphQLEndpoint, routed: ASGIApp, root_path: str = "") -> None:
        self._graphql = graphql
        self._routed = routed
        self._root_path = root_path
        self._graphql_paths = frozenset(
            prefix + path for prefix in ("", root_path) for path in _with_slash("/graphql")
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope["path"]
        if path in self._graphql_paths:
            await self._graphql(scope, receive, send)
            return
        app = self._routed
        if self._root_path and path == self._root_path:
            # Relative to the host and the scheme of the request, whatever a proxy made of them.
            app = RedirectResponse(f"{self._root_path}/")
        elif self._root_path and path.startswith(f"{self._root_path}/"):
            scope = {**scope, "path": path.removeprefix(self._root_path)}

        async def send_with_nosniff(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("x-content-type-options", "nosniff")
            await send(message)

        await app(scope, receive, send_with_nosniff)

    def answer_at_once(self, head: RequestHead, body: bytes, on_ready: OnReady) -> AnswerAtOnce:
        """Return the response to a complete request if it needs no task."""
        if head.path not in self._graphql_paths:
            return None
        return self._graphql.answer_at_once(head, body, on_ready)

    def expects_body(self, head: RequestHead) -> bool:
        """Whether a request may be answered at once when its body is there."""
        return head.path in self._graphql_paths and self._graphql.expects_body(head)


def build_web_app(
    *,
    graphql: GraphQLEndpoint,
    operations: HealthEndpoints,
    root_path: str = "",
    dashboard: bool = True,
    console: bool = False,
    metrics: bool = True,
) -> WebApp:
    """Build the application.

    Args:
        graphql: serves /graphql.
        operations: serves /healthz, /readyz and /metrics.
        root_path: the path below which everything is served as well; empty for none.
        dashboard: whether / serves the dashboard.
        console: whether /graphiql serves the query console.
        metrics: whether /metrics is served.
    """
    probes = {
        "/healthz": operations.healthz,
        "/readyz": operations.readyz,
        **({"/metrics": operations.metrics} if metrics else {}),
    }
    routed = Starlette(
        routes=[
            *(Route(each, serve) for path, serve in probes.items() for each in _with_slash(path)),
            *(build_dashboard_routes() if dashboard else []),
            *(build_console_routes() if console else []),
        ]
    )
    # Starlette would redirect a path with a slash to a URL made of the header Host.
    routed.router.redirect_slashes = False
    return WebApp(graphql, routed, root_path)


def _with_slash(path: str) -> tuple[str, str]:
    return path, f"{path}/"
