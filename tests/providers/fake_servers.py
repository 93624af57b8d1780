"""Minimal servers of Light, Asset and Layer, written from their balance pages alone.

Only the endpoints of the opening-balance and balance pages and the token endpoints exist;
everything else is 404. They share no code with the sandbox. A test may set ``handler`` to handle
any request itself and to write raw bytes.
"""

import asyncio
import base64
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API_KEY = "key-b7Q2-secret"
ACCESS_TOKEN = "fixed-token-x9-secret"
CLIENT_ID = "client-id-4f-secret"
CLIENT_SECRET = "client-secret-8c"
TOKEN_PREFIX = "issued-secret-token-"
SECRETS = (API_KEY, ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, TOKEN_PREFIX)

LIGHT_ID = "6f1c0b6e-3c0e-4d0a-9c56-1d1d6a7f2a11"
BUSINESS = "biz_GA6EG2qFxA97NZHtxeLPUy"
LEDGER = "ldg_WQMDNUHpBThYSNh4AprDBo"
LAYER_BUSINESS = "0e0b7a2c-5d6e-4d7a-8f12-aa0c9c1f7b01"
EXTERNAL = "3c90c3cc-0d44-4b50-8888-8dd25736052a"

#: Asset's documented pattern for an amount sent as text.
AMOUNT = re.compile(r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", re.ASCII)


@dataclass
class ReceivedRequest:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return {k: v[-1] for k, v in parse_qs(urlsplit(self.target).query).items()}

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def wire(self) -> bytes:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"content-type": "application/json", "content-length": str(len(content))}
        lines = [f"HTTP/1.1 {self.status} X"]
        lines += [f"{name}: {value}" for name, value in (headers | self.headers).items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


#: Handles a request: returns a reply, or None after handling the socket itself.
RequestHandler = Callable[[ReceivedRequest, asyncio.StreamWriter], Awaitable[Reply | None]]


class FakeServer:
    """A raw HTTP server; subclasses implement ``respond``."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[ReceivedRequest] = []
        self.handler: RequestHandler | None = None
        self.issued = 0
        self.valid: set[str] = set()
        self.token_body: dict[str, Any] = {"token_type": "Bearer", "expires_in": 3600}
        self.token_delay_s = 0.0

    def respond(self, request: ReceivedRequest) -> Reply:
        raise NotImplementedError

    def reply_with(self, *replies: Reply) -> None:
        """Reply to the next calls (except token calls) with these, then as usual."""
        remaining = list(replies)

        async def scripted(request: ReceivedRequest, _: asyncio.StreamWriter) -> Reply | None:
            if request.path.endswith("/token") or not remaining:
                return self.respond(request)
            return remaining.pop(0)

        self.handler = scripted

    def calls(self, method: str | None = None) -> list[ReceivedRequest]:
        """Return the received calls, except token calls."""
        return [
            one
            for one in self.received
            if not one.path.endswith("/token") and method in (None, one.method)
        ]

    def token_calls(self) -> int:
        return len(self.received) - len(self.calls())

    def issue(self) -> Reply:
        self.issued += 1
        token = f"{TOKEN_PREFIX}{self.issued}"
        self.valid.add(token)
        return Reply(body={"access_token": token, **self.token_body})

    def is_bearer(self, request: ReceivedRequest) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and (token in self.valid or token == ACCESS_TOKEN)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await self._read(reader)
                self.received.append(request)
                if request.path.endswith("/token"):
                    await asyncio.sleep(self.token_delay_s)
                if self.handler is not None:
                    reply = await self.handler(request, writer)
                else:
                    reply = self.respond(request)
                if reply is None:
                    break
                writer.write(reply.wire())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> ReceivedRequest:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip("\r\n").split("\r\n")
        method, target, _ = line.split(" ")
        pairs = (one.split(": ", 1) for one in rest)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return ReceivedRequest(method, target, headers, body)


class FakeLightServer(FakeServer):
    """``GET`` and ``PUT /v1/bank-accounts/{id}/balance``."""

    def __init__(self) -> None:
        super().__init__()
        self.currency = "EUR"
        self.opening: int | None = 125_00
        self.balance_at: str | None = None
        self.ledger = 90_00

    def respond(self, request: ReceivedRequest) -> Reply:
        allowed = {f"Basic {API_KEY}", f"Bearer {ACCESS_TOKEN}"}
        if request.headers.get("authorization") not in allowed:
            return Reply(401, {"type": "UNAUTHORIZED", "message": "Credentials are required"})
        if request.path != f"/v1/bank-accounts/{LIGHT_ID}/balance":
            return Reply(404, {"name": "NotFound", "type": "NOT_FOUND", "errors": []})
        if request.method == "PUT":
            sent = request.json()
            self.opening, self.balance_at = sent["balance"], sent["balanceAt"]
            echo = {"id": EXTERNAL, "bankAccountId": LIGHT_ID}
            return Reply(body=echo | {"balanceAt": self.balance_at, "balance": self.opening})
        body = {
            "bankAccountId": LIGHT_ID,
            "currency": self.currency,
            "bankBalance": self.opening,
            "ledgerBalance": self.ledger,
            "asOf": request.query["asOf"],
        }
        return Reply(body=body)


class FakeAssetServer(FakeServer):
    """``PUT /v0/business/{b}/ledger/{l}/opening-balance`` and ``POST /v0/auth/token``."""

    def __init__(self) -> None:
        super().__init__()
        self.amount: Decimal | None = None

    def respond(self, request: ReceivedRequest) -> Reply:
        if request.path == "/v0/auth/token":
            form = parse_qs(request.body.decode())
            if form.get("client_secret") != [CLIENT_SECRET]:
                return Reply(401, {"error": "Invalid client", "data": None})
            assert form["grant_type"] == ["client_credentials"]
            return self.issue()
        if not self.is_bearer(request):
            return Reply(401, {"error": "Unauthorized", "data": None})
        if request.path != f"/v0/business/{BUSINESS}/ledger/{LEDGER}/opening-balance":
            return Reply(404, {"error": "Not Found", "data": None})
        if request.method != "PUT":
            return Reply(405, {"error": "Method Not Allowed", "data": None})
        amount = request.json()["amount"]
        if not (isinstance(amount, str) and AMOUNT.fullmatch(amount)):
            return Reply(422, {"error": "Unprocessable Content", "data": None})
        self.amount = Decimal(amount)
        number = format(self.amount, "f")
        body = f'{{"data": {{"ledger_id": "{LEDGER}", "amount": {number}}}}}'
        return Reply(body=body.encode())


class FakeLayerServer(FakeServer):
    """``GET …/external-accounts/{id}/opening-balance`` and a token endpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.opening: dict[str, Any] = {
            "external_account_external_id": "0Br385JmgbTryJn8nEBnUb4A5ydv06U9Vbqqq",
            "external_account_source": "UNIT",
            "balance": 432100,
            "effective_at": "2023-11-07T05:31:56Z",
            "created_at": "2023-11-07T05:31:57Z",
            "updated_at": "2023-11-08T05:31:58Z",
            "transaction_tags": [
                {
                    "id": EXTERNAL,
                    "key": "ExampleTagKey",
                    "value": "ExampleTagValue",
                    "dimension_id": EXTERNAL,
                    "definition_id": EXTERNAL,
                    "dimension_display_name": "<string>",
                    "value_display_name": "<string>",
                    "archived_at": "2023-11-07T05:31:56Z",
                }
            ],
            "memo": "<string>",
            "metadata": {"custom_field": "value", "nested": {"meaning of life": 42, "array": []}},
            "reference_number": "<string>",
        }

    def respond(self, request: ReceivedRequest) -> Reply:
        if request.path == "/oauth2/token":
            pair = f"{CLIENT_ID}:{CLIENT_SECRET}".encode()
            if request.headers.get("authorization") != "Basic " + base64.b64encode(pair).decode():
                return Reply(401, {"error": "invalid_client"})
            return self.issue()
        if not self.is_bearer(request):
            return Reply(401, {"type": "AuthFailure", "description": "No access"})
        base = f"/v1/businesses/{LAYER_BUSINESS}/external-accounts/{EXTERNAL}"
        if request.method != "GET" or request.path != f"{base}/opening-balance":
            return Reply(404, {"type": "ResourceNotFound", "description": "Not found"})
        assert request.headers["content-type"] == "application/json"
        return Reply(body=self.opening)


@asynccontextmanager
async def run_server(fake: FakeServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Run the fake server on a free local port."""
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    fake.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        server.close()
