"""The upper limit: a bare ASGI application that parses the JSON body and sends a fixed response.

``PUT /answer`` sets the response body, to the bytes of the gateway's response to the same request.
"""

import orjson
from starlette.types import Receive, Scope, Send

_state: dict[str, bytes] = {"response": b"{}"}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Handle one request, or the lifespan events of the server."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    if scope["method"] == "PUT":
        _state["response"] = body
    elif body:
        orjson.loads(body)
    response = _state["response"]
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(response)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": response})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
