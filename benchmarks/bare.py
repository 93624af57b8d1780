"""The limit: a bare ASGI application that parses the JSON body and prints a ready-made answer.

``PUT /answer`` sets the answer, to the bytes that the gateway gave to the same request.
"""

import orjson
from starlette.types import Receive, Scope, Send

_prepared: dict[str, bytes] = {"answer": b"{}"}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one request, or the server's start and stop."""
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
        _prepared["answer"] = body
    elif body:
        orjson.loads(body)
    answer = _prepared["answer"]
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
