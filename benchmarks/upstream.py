"""The built-in upstream: the balance endpoints of Light, Asset and Layer.

It runs as a process: ``python -m benchmarks.upstream --port 9000 --delay-ms 50``. It supports GET
requests without a body; ``/_count`` returns the number of all other requests.
"""

import argparse
import asyncio
import json
from typing import cast
from urllib.parse import parse_qs, urlsplit

from benchmarks import accounts


class Upstream:
    """The state that all connections share.

    Args:
        delay_s: delay of every response.
    """

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.count = 0
        self._reports = {
            "trial-balance": _encode_response(accounts.build_trial_balance()),
            "balances": _encode_response(accounts.build_ledger_tree()),
        }

    def build_response(self, target: str) -> bytes:
        """Build the response, with head and body, to a GET request of this target."""
        if target == "/_count":
            return _encode_response({"count": self.count})
        self.count += 1
        url = urlsplit(target)
        segments = url.path.split("/")
        if segments[2] == "bank-accounts":
            as_of = parse_qs(url.query)["asOf"][0]
            return _encode_response(accounts.build_light_balance(segments[3], as_of))
        return self._reports[segments[-1]]


class UpstreamProtocol(asyncio.Protocol):
    """One connection; pipelined requests get their responses in order, unless they are delayed."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Send the responses to all complete requests."""
        *heads, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        for head in heads:
            target = head.split(b" ", 2)[1].decode()
            response = self._upstream.build_response(target)
            if self._upstream.delay_s and target != "/_count":
                loop = asyncio.get_running_loop()
                loop.call_later(self._upstream.delay_s, self._transport.write, response)
            else:
                self._transport.write(response)


def _encode_response(value: object) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def _serve(port: int, delay_s: float) -> None:
    upstream = Upstream(delay_s)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: UpstreamProtocol(upstream), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


def main() -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, default=0)
    arguments = parser.parse_args()
    import uvloop

    uvloop.run(_serve(arguments.port, arguments.delay_ms / 1000))


if __name__ == "__main__":
    main()
