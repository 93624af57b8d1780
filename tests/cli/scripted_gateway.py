"""An HTTP server that answers as a test says: a gateway, a proxy or another server."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "the-key-of-the-test-which-is-secret"


@dataclass(frozen=True)
class Reply:
    """A response; without a body the connection is closed instead.

    Attributes:
        body: text, or what becomes JSON.
        status: the status.
        headers: further headers.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def data(**roots: Any) -> Reply:
    """Return a GraphQL response without errors."""
    return Reply({"data": roots})


@dataclass
class ScriptedGateway:
    """Replies in order, and keeps what was asked.

    Attributes:
        replies: the replies that are left; the last one is repeated.
        requests: the JSON bodies of the requests.
        authorizations: their Authorization headers.
    """

    replies: list[Reply] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    url: str = ""

    def reply(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests.clear()
        self.authorizations.clear()

    def take(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def scripted_gateway() -> Iterator[ScriptedGateway]:
    """Run the server on a free port of loopback."""
    gateway = ScriptedGateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            gateway.requests.append(json.loads(self.rfile.read(length)))
            gateway.authorizations.append(self.headers["authorization"])
            reply = gateway.take()
            if reply.body is None:
                self.close_connection = True
                return
            is_text = isinstance(reply.body, str)
            content = (reply.body if is_text else json.dumps(reply.body)).encode()
            self.send_response(reply.status)
            headers = {"content-type": "text/html" if is_text else "application/json"}
            for name, value in {**headers, **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
