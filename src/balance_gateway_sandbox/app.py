"""Puts the sandbox together: the three providers, their faults and the control API."""

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
    """The whole sandbox as one ASGI application; keep it outermost, or connections cannot drop.

    Attributes:
        catalogue: Its credentials and accounts.
        clock: Its time; a test in the same process may pin or shift it directly.
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
    """Make a fresh sandbox.

    Args:
        seed: Decides every id and amount; the same seed gives the same sandbox.
        clock: Where the time comes from; the machine's clock when left out.
        options: The switches to start with and to return to on reset; the default keeps the
            providers' real rate limiter.
    """
    return Sandbox(seed, Clock(clock), options or Options())
