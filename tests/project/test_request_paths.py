"""The lists of files in docs/architecture.md are the files that real requests enter."""

import asyncio
import http.client
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

import balance_gateway
from balance_gateway.app.asgi import build_app
from balance_gateway.app.configuration import read_settings
from balance_gateway.cli.demo_files import write_demo_files
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.server.server import Server, Service, bind
from balance_gateway_sandbox import build_catalogue, create_sandbox

SOURCE = str(Path(balance_gateway.__file__).parent) + "/"
PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")

#: Opening a connection and letting it go are the server's own doing.
SERVING = {"server/acceptor.py", "server/server.py"}

READ = """{ nodes(ids: ["light-operating-eur"]) { ... on BankAccount {
    name balance(asOf: "2026-05-07") { ledger { amount } } } } }"""
WRITE = """mutation { upsertOpeningBalance(input: {accountId: "light-operating-eur",
    amount: {amount: "1.00", currency: "EUR"}}) { __typename
    ... on OpeningBalanceApplied { openingBalance { amount { amount } } } } }"""


def documented(heading: str) -> list[str]:
    section = PAGE.split(f"### {heading}\n")[1].split("\n### ")[0].split("\n## ")[0]
    return re.findall(r"`([a-z_/]+\.py)`", section)


@contextmanager
def sandbox_url() -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_sandbox(), lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = server.force_exit = True
    thread.join(timeout=5)
    listener.close()


@contextmanager
def note_files() -> Iterator[set[str]]:
    """Note the files of the gateway that are entered in this thread meanwhile."""
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _arg: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(SOURCE):
            entered.add(path.removeprefix(SOURCE))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield entered
    finally:
        sys.setprofile(before)


async def wait_until_idle() -> None:
    """Wait until the work in the background after the start, such as recovery, has ended."""
    is_idle = False
    while not is_idle:
        with note_files() as entered:
            await asyncio.sleep(0.1)
        is_idle = not entered - SERVING


async def trace(url: str, key: str, **body: Any) -> tuple[dict[str, Any], set[str]]:
    """The response, and the files of the gateway that were entered in this thread meanwhile."""

    def post() -> dict[str, Any]:
        content, at = json.dumps(body).encode(), urlsplit(url)
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nAccept-Encoding: gzip\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        with socket.create_connection((at.hostname, at.port), timeout=20) as connection:
            # Head and body together, as browsers send them, and http.client does not.
            connection.sendall(head.encode() + content)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return json.load(response)

    # The client runs in a thread of its own, which a profile of this thread does not see.
    with note_files() as entered:
        answer = await asyncio.to_thread(post)
    return answer, entered


async def trace_kept(url: str, key: str, **body: Any) -> tuple[dict[str, Any], set[str]]:
    """Trace a repeated request whose response is kept.

    Work of the gateway in the background may still end what the first response depends on.
    """
    for _ in range(10):
        answer, entered = await trace(url, key, **body)
        if "web/request_parsing.py" not in entered:
            break
    return answer, entered


async def test_documented_paths_are_the_files_that_requests_enter(tmp_path: Path) -> None:
    with sandbox_url() as providers:
        settings = read_settings(
            write_demo_files(tmp_path, build_catalogue(1), providers).config_path
        )
        admin = next(key for key in settings.api_keys if len(key.scopes) > 1)
        service = Service(build_app(settings), bind("127.0.0.1", 0))
        server = Server(service)
        task = asyncio.ensure_future(server.serve(sockets=[]))
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await wait_until_idle()
        try:
            url, key = f"{service.url}/graphql", admin.key.reveal()
            missed, miss = await trace(url, key, query=READ)
            # From the second time on it is kept.
            twice, second = await trace(url, key, query=READ)
            again, same = await trace_kept(url, key, query=READ)
            hit, cached = await trace(url, key, query=READ, variables={})
            written, write = await trace(url, key, query=WRITE)
        finally:
            server.should_exit = True
            await task

    assert missed == twice == again == hit
    assert written["data"]["upsertOpeningBalance"]["openingBalance"] == {
        "amount": {"amount": "1.00"}
    }
    same_path = set(documented("The same request again"))
    cached_path = same_path | set(documented("Another request with kept accounts"))
    assert same - SERVING == same_path
    assert (second | cached) - SERVING == cached_path
    # A head is remembered when its request is answered without a task.
    # Only what is kept as a whole counts its validities.
    not_kept = {"server/known_heads.py", "api/compiled/account_blocks.py"}
    missing = (cached_path | set(documented("A miss"))) - not_kept
    assert miss - SERVING == missing
    assert write - SERVING == set(documented("A write"))


@pytest.mark.parametrize(
    "heading", ["The same request again", "Another request with kept accounts", "A miss", "A write"]
)
def test_a_path_names_each_file_once(heading: str) -> None:
    files = documented(heading)

    assert files
    assert sorted(files) == sorted(set(files))


def test_architecture_names_every_package() -> None:
    folders = [path.parent for path in Path(SOURCE).rglob("__init__.py")]
    packages = {
        ".".join(path.relative_to(SOURCE).parts) for path in folders if path != Path(SOURCE)
    }
    parents = {"api", "pipeline"}
    inner = {"storage.migrations", "storage.migrations.versions"}
    # One line stands for the packages of all providers.
    inner |= {f"providers.{kind.value}" for kind in ProviderKind}

    named = set(re.findall(r"^\| `([a-z_.]+)` \|", PAGE, re.MULTILINE))

    assert named == packages - parents - inner | {"balance_gateway_sandbox"}
