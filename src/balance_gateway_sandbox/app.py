"""Puts the sandbox together: the three providers, their faults and the control API."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from balance_gateway_sandbox.asset.api import AssetApi
from balance_gateway_sandbox.control.routes import Control
from balance_gateway_sandbox.http.faults import Faults
from balance_gateway_sandbox.http.middleware import Exchange
from balance_gateway_sandbox.http.rate_limits import RateLimits
from balance_gateway_sandbox.http.request_log import Journal
from balance_gateway_sandbox.layer.api import LayerApi
from balance_gateway_sandbox.layer.token_endpoint import LayerAuth
from balance_gateway_sandbox.light.api import LightApi
from balance_gateway_sandbox.options import Options
from balance_gateway_sandbox.state.catalogue import Catalogue
from balance_gateway_sandbox.state.clock import Clock
from balance_gateway_sandbox.state.sandbox_state import World
from balance_gateway_sandbox.state.seeding import seeded


class Sandbox:
    """The whole sandbox as one ASGI application; keep it outermost, or connections cannot drop.

    Attributes:
        catalogue: Its credentials and accounts.
        clock: Its time; a test in the same process may pin or shift it directly.
    """

    def __init__(self, seed: int, clock: Clock, options: Options) -> None:
        self.clock = clock
        world = World(seed, clock, options, seeded(seed))
        self.catalogue: Catalogue = world.catalogue
        journal, faults = Journal(), Faults()
        limits = RateLimits(clock.now, lambda: world.options.limits)
        control = Control(
            world=world,
            journal=journal,
            limits=limits,
            faults=faults,
            initial=options,
            exchange=lambda: self._exchange,
        )
        routes = [
            Mount("/light", app=LightApi(world).app()),
            Mount("/asset", app=AssetApi(world).app()),
            Mount("/layer-auth", routes=LayerAuth(world).routes()),
            Mount("/layer", app=LayerApi(world).app()),
            Mount("/_control", app=control.app()),
        ]
        app = Starlette(routes=routes, lifespan=self._lifespan)
        self._exchange = Exchange(app, world, journal, limits, faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self._exchange(scope, receive, send)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._exchange.cancel_late()


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
            providers' real rate limits.
    """
    return Sandbox(seed, Clock(clock), options or Options())
