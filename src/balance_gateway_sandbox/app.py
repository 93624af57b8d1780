"""Assemble the sandbox application: the three providers, fault injection and the control API."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from balance_gateway_sandbox.asset.api import AssetApi
from balance_gateway_sandbox.control.routes import ControlApi
from balance_gateway_sandbox.http.faults import FaultRegistry
from balance_gateway_sandbox.http.middleware import ProviderMiddleware
from balance_gateway_sandbox.http.rate_limits import RateLimiter
from balance_gateway_sandbox.http.request_log import RequestLog
from balance_gateway_sandbox.layer.api import LayerApi
from balance_gateway_sandbox.layer.token_endpoint import LayerTokenEndpoint
from balance_gateway_sandbox.light.api import LightApi
from balance_gateway_sandbox.options import Options
from balance_gateway_sandbox.state.catalogue import Catalogue
from balance_gateway_sandbox.state.clock import Clock
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.state.seeding import build_seeded_records


class Sandbox:
    """The sandbox as one ASGI application.

    It must be the outermost application: connection faults need direct access to the server's
    socket.

    Attributes:
        catalogue: The seeded credentials and accounts.
        clock: The sandbox's clock. A test in the same process may pin or shift it directly.
    """

    def __init__(self, seed: int, clock: Clock, options: Options) -> None:
        self.clock = clock
        state = SandboxState(seed, clock, options, build_seeded_records(seed))
        self.catalogue: Catalogue = state.catalogue
        request_log, faults = RequestLog(), FaultRegistry()
        limiter = RateLimiter(clock.now, lambda: state.options.limits)
        control = ControlApi(
            state=state,
            request_log=request_log,
            limiter=limiter,
            faults=faults,
            initial=options,
            # The middleware wraps the app that contains the control API, so it is built later.
            middleware=lambda: self._middleware,
        )
        routes = [
            Mount("/light", app=LightApi(state).build_app()),
            Mount("/asset", app=AssetApi(state).build_app()),
            Mount("/layer-auth", routes=LayerTokenEndpoint(state).build_routes()),
            Mount("/layer", app=LayerApi(state).build_app()),
            Mount("/_control", app=control.build_app()),
        ]
        app = Starlette(routes=routes, lifespan=self._lifespan)
        self._middleware = ProviderMiddleware(app, state, request_log, limiter, faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self._middleware(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._middleware.cancel_late_writes()


def create_sandbox(
    seed: int = 1,
    clock: Callable[[], datetime] | None = None,
    options: Options | None = None,
) -> Sandbox:
    """Create a sandbox with seeded accounts.

    Args:
        seed: Determines every id and amount. The same seed gives the same sandbox.
        clock: Returns the current time. The system clock is used when omitted.
        options: The initial options, which a reset restores. The defaults apply the providers'
            real rate limits.
    """
    return Sandbox(seed, Clock(clock), options or Options())
