"""A real uvicorn with the sandbox in it, and a client that knows its credentials."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import pytest
import uvicorn

from balance_gateway_sandbox import Account, Catalogue, create_sandbox

NOW = "2026-05-07T10:00:00Z"


def exact(response: httpx.Response) -> Any:
    """The answer's JSON with exact numbers."""
    return json.loads(response.content, parse_float=Decimal)


@dataclass
class Box:
    """A running sandbox: one HTTP client, its catalogue and tokens fetched when needed."""

    url: str
    client: httpx.Client
    catalogue: Catalogue
    tokens: dict[str, str] = field(default_factory=dict)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        response = self.client.request(method, f"/_control/{path}", json=body)
        assert response.is_success, response.text
        return exact(response) if response.content else None

    def fault(self, kind: str, **spec: Any) -> Any:
        return self.control("POST", "faults", {"kind": kind, **spec})

    def auth(self, credential_name: str) -> dict[str, str]:
        credential = self.catalogue.credential(credential_name)
        if credential.provider == "light":
            return {"Authorization": f"Basic {credential.api_key}"}
        if credential_name not in self.tokens:
            self.tokens[credential_name] = self.token(credential_name)
        return {"Authorization": f"Bearer {self.tokens[credential_name]}"}

    def token(self, credential_name: str) -> str:
        credential = self.catalogue.credential(credential_name)
        form = {"grant_type": "client_credentials", "scope": " ".join(credential.scopes)}
        client = (credential.client_id or "", credential.client_secret or "")
        if credential.provider == "asset":
            form |= {"client_id": client[0], "client_secret": client[1]}
            answer = self.client.post("/asset/v0/auth/token", data=form)
        else:
            answer = self.client.post("/layer-auth/oauth2/token", data=form, auth=client)
        token: str = answer.json()["access_token"]
        return token

    def path(self, account: Account, what: str) -> str:
        if account.provider == "light":
            return f"/light/v1/bank-accounts/{account.bank_account_id}/{what}"
        if account.provider == "asset":
            return f"/asset/v0/business/{account.business_id}/{what}"
        return f"/layer/v1/businesses/{account.business_id}/{what}"

    def call(
        self, method: str, account: Account, what: str, credential: str = "", **options: Any
    ) -> httpx.Response:
        headers = self.auth(credential or account.credential) | options.pop("headers", {})
        return self.client.request(method, self.path(account, what), headers=headers, **options)

    def get(self, account: Account, what: str, **params: Any) -> Any:
        response = self.call("GET", account, what, params=params)
        assert response.status_code == 200, response.text
        return exact(response)

    def state(self, account: Account) -> Any:
        return self.control("GET", f"state/{account.provider}/{account.remote_id}")

    def eventually(self, holds: Any, within_s: float = 3) -> bool:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if holds():
                return True
            threading.Event().wait(0.01)
        return False


@contextmanager
def running(loop: str, http: str) -> Iterator[Box]:
    sandbox = create_sandbox()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(sandbox, loop=loop, http=http, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, trust_env=False, timeout=5) as client:
        yield Box(url, client, sandbox.catalogue)
    server.should_exit = True
    thread.join(timeout=5)
    listener.close()


@pytest.fixture(scope="session")
def fast_server() -> Iterator[Box]:
    with running("uvloop", "httptools") as box:
        yield box


@pytest.fixture(scope="session")
def plain_server() -> Iterator[Box]:
    with running("asyncio", "h11") as box:
        yield box


@pytest.fixture
def box(fast_server: Box) -> Box:
    """The sandbox as seeded, its clock standing still on 7 May 2026."""
    return fresh(fast_server)


@pytest.fixture(params=["uvloop+httptools", "asyncio+h11"])
def either_box(request: pytest.FixtureRequest) -> Box:
    """The same on both transports that uvicorn offers."""
    name = "fast_server" if request.param == "uvloop+httptools" else "plain_server"
    return fresh(request.getfixturevalue(name))


def fresh(box: Box) -> Box:
    box.tokens.clear()
    box.control("POST", "reset")
    box.control("PUT", "clock", {"now": NOW})
    return box
