"""Cancel the execution of a request when its client disconnects."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive

from balance_gateway.api.execution.engine import GraphQLResponse
from balance_gateway.web.request_parsing import ClientDisconnected


async def cancel_on_disconnect(
    execution: Coroutine[Any, Any, GraphQLResponse], receive: Receive
) -> GraphQLResponse:
    """Return the execution's response; cancel the execution if the client disconnects first.

    Raises:
        ClientDisconnected: the client disconnected.
    """
    task = asyncio.ensure_future(execution)
    disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait((task, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnected
        return task.result()
    finally:
        disconnect.cancel()
        task.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
