"""Run the sandbox in uvicorn and provide a client with its credentials."""

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


def parse_exact_json(response: httpx.Response) -> Any:
    """Parse the response's JSON with exact numbers."""
    return json.loads(response.content, parse_float=Decimal)


@dataclass
class SandboxClient:
    """An HTTP client for a running sandbox. It fetches tokens when they are needed."""

    url: str
    client: httpx.Client
    catalogue: Catalogue
    tokens: dict[str, str] = field(default_factory=dict)

    def call_control(self, method: str, path: str, body: Any = None) -> Any:
        response = self.client.request(method, f"/_control/{path}", json=body)
        assert response.is_success, response.text
        return parse_exact_json(response) if response.content else None

    def add_fault(self, kind: str, **spec: Any) -> Any:
        return self.call_control("POST", "faults", {"kind": kind, **spec})

    def build_auth_headers(self, credential_name: str) -> dict[str, str]:
        credential = self.catalogue.get_credential(credential_name)
        if credential.provider == "light":
            return {"Authorization": f"Basic {credential.api_key}"}
        if credential_name not in self.tokens:
            self.tokens[credential_name] = self.fetch_token(credential_name)
        return {"Authorization": f"Bearer {self.tokens[credential_name]}"}

    def fetch_token(self, credential_name: str) -> str:
        credential = self.catalogue.get_credential(credential_name)
        form = {"grant_type": "client_credentials", "scope": " ".join(credential.scopes)}
        client = (credential.client_id or "", credential.client_secret or "")
        if credential.provider == "asset":
            form |= {"client_id": client[0], "client_secret": client[1]}
            response = self.client.post("/asset/v0/auth/token", data=form)
        else:
            response = self.client.post("/layer-auth/oauth2/token", data=form, auth=client)
        token: str = response.json()["access_token"]
        return token

    def build_path(self, account: Account, path: str) -> str:
        if account.provider == "light":
            return f"/light/v1/bank-accounts/{account.bank_account_id}/{path}"
        if account.provider == "asset":
            return f"/asset/v0/business/{account.business_id}/{path}"
        return f"/layer/v1/businesses/{account.business_id}/{path}"

    def call(
        self, method: str, account: Account, path: str, credential: str = "", **options: Any
    ) -> httpx.Response:
        headers = self.build_auth_headers(credential or account.credential) | options.pop(
            "headers", {}
        )
        return self.client.request(
            method, self.build_path(account, path), headers=headers, **options
        )

    def get(self, account: Account, path: str, **params: Any) -> Any:
        response = self.call("GET", account, path, params=params)
        assert response.status_code == 200, response.text
        return parse_exact_json(response)

    def get_state(self, account: Account) -> Any:
        return self.call_control("GET", f"state/{account.provider}/{account.remote_id}")

    def wait_until(self, condition: Any, within_s: float = 3) -> bool:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if condition():
                return True
            threading.Event().wait(0.01)
        return False


@contextmanager
def run_sandbox(loop: str, http: str) -> Iterator[SandboxClient]:
    app = create_sandbox()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, loop=loop, http=http, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, trust_env=False, timeout=5) as client:
        yield SandboxClient(url, client, app.catalogue)
    server.should_exit = True
    thread.join(timeout=5)
    listener.close()


@pytest.fixture(scope="session")
def uvloop_server() -> Iterator[SandboxClient]:
    with run_sandbox("uvloop", "httptools") as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def asyncio_server() -> Iterator[SandboxClient]:
    with run_sandbox("asyncio", "h11") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(uvloop_server: SandboxClient) -> SandboxClient:
    """A freshly seeded sandbox with its clock pinned to 7 May 2026."""
    return reset(uvloop_server)


@pytest.fixture(params=["uvloop+httptools", "asyncio+h11"])
def any_sandbox(request: pytest.FixtureRequest) -> SandboxClient:
    """The same sandbox on both of uvicorn's event loops and HTTP parsers."""
    name = "uvloop_server" if request.param == "uvloop+httptools" else "asyncio_server"
    return reset(request.getfixturevalue(name))


def reset(sandbox: SandboxClient) -> SandboxClient:
    sandbox.tokens.clear()
    sandbox.call_control("POST", "reset")
    sandbox.call_control("PUT", "clock", {"now": NOW})
    return sandbox
