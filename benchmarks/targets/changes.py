"""Measures the first request after a change, and the dashboard page's whole refresh.

The requests are sent one at a time, and the gateway's CPU clock is read around each of them, so
that what the change itself costs is not counted. ``nodes`` of as many random accounts is measured
in the same way, in turn with it, and so is the bare server with the same requests: a server that
has just been idle needs more for the same work, since the processor's caches hold other things.
"""

import http.client
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import zstandard

from benchmarks import accounts, machine
from benchmarks.servers import KEY, Server
from benchmarks.targets import documents, ledger, page
from benchmarks.targets.fallbacks import read_fallbacks
from benchmarks.targets.rows import Goal, Row
from benchmarks.targets.stand import Stand

#: How long the CPU clock must not move before a request is measured, or after it.
QUIET_S = 0.003
QUIET_TRIES = 300
#: Less CPU time than this in ``QUIET_S`` is a timer of the idle server.
IDLE_S = 0.000_05

_READ_AGAIN = (
    "query Again($id: ID!, $asOf: Date) { bankAccount(id: $id) {"
    " balance(asOf: $asOf, maxAgeSeconds: 0) { asOf } } }"
)
_WRITE = (
    "mutation Set($input: UpsertOpeningBalanceInput!) { upsertOpeningBalance(input: $input)"
    " { __typename ... on OpeningBalanceRejected { message } } }"
)


class Client:
    """One connection to a server, and the clock of its CPU time.

    Args:
        server: the server.
        seed: of the random requests; one for each case, so that none was sent before.
    """

    def __init__(self, server: Server, seed: str) -> None:
        self.server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self._pids = machine.list_processes(server.process.pid)
        self._random = random.Random(seed)
        self._written = 0
        self._tags: dict[str, str] = {}

    def send(self, request: bytes | str) -> bytes:
        """Send the body of a POST, or a GET to a path as the page does; return the body.

        A GET says what it has, and gets an empty body for it.
        """
        headers = {"Authorization": f"Bearer {KEY}"}
        if isinstance(request, bytes):
            headers["Content-Type"] = "application/json"
            self._connection.request("POST", "/graphql", request, headers)
            return self._connection.getresponse().read()
        headers["Accept-Encoding"] = "gzip, deflate, br, zstd"
        headers["Accept"] = "application/json"
        if tag := self._tags.get(request):
            headers["If-None-Match"] = tag
        self._connection.request("GET", request, None, headers)
        response = self._connection.getresponse()
        body = response.read()
        self._tags[request] = response.headers.get("ETag", "")
        is_packed = response.status == 200 and response.headers["Content-Encoding"] == "zstd"
        return zstandard.decompress(body) if is_packed else body

    def fetch_tag(self, path: str) -> str:
        """Return the entity tag of the present response to a GET."""
        self.send(path)
        return self._tags[path]

    def measure(self, bodies: Sequence[bytes | str]) -> tuple[float, list[bytes]]:
        """Send requests one after the other; return their CPU time in µs, and the responses."""
        before_s = self._wait_until_idle()
        responses = [self.send(body) for body in bodies]
        return (self._wait_until_idle() - before_s) * 1e6, responses

    def read_again(self, account: str, day: str | None) -> None:
        """Let the gateway read an account from its provider, in place of its cached value."""
        self._expect(_READ_AGAIN, {"id": account, "asOf": day}, b'"asOf":"')

    def write(self) -> None:
        """Set another opening balance of the embedded ledger's account."""
        self._written += 1
        amount = {"minorUnits": str(1_000_000 + self._written), "currency": "EUR"}
        change = {
            "accountId": ledger.CHANGED,
            "amount": amount,
            "effectiveAt": "2026-01-01T00:00:00Z",
        }
        self._expect(_WRITE, {"input": change}, b"OpeningBalanceApplied")

    @property
    def written_bank(self) -> bytes:
        """The bank balance of that account on the requested day, as its JSON text."""
        entries = accounts.LOCAL_ENTRIES * 10_000
        return f'"{1_000_000 + self._written + entries}"'.encode()

    def build_random_nodes(self, count: int) -> bytes:
        """Build a request of ``nodes`` of random accounts."""
        others = [each for each in ledger.ALL_IDS if each != ledger.CHANGED]
        return build_body(documents.NODES, ids=self._random.sample(others, count))

    def _expect(self, document: str, variables: dict[str, object], text: bytes) -> None:
        response = self.send(build_body(document, **variables))
        if text not in response:
            raise ChangeFailed(response[:500].decode())

    def _wait_until_idle(self) -> float:
        now_s = self._read_clock()
        for _ in range(QUIET_TRIES):
            time.sleep(QUIET_S)
            before_s, now_s = now_s, self._read_clock()
            if now_s - before_s < IDLE_S:
                return now_s
        return now_s

    def _read_clock(self) -> float:
        return sum(machine.get_process_cpu_s(pid) for pid in self._pids)


class ChangeFailed(Exception):
    """A change was not applied."""


@dataclass(frozen=True, slots=True)
class _Case:
    """Requests that are measured after a change, and the accounts in a response."""

    title: str
    goal: Goal
    bodies: Sequence[bytes | str]
    change: Callable[[Client], None]
    count: int = 50
    shows_written: bool = False


def build_body(document: str, **variables: object) -> bytes:
    """Build a request body."""
    request = {"query": document, "variables": variables}
    return json.dumps(request, separators=(",", ":")).encode()


def _list_cases() -> dict[str, _Case]:
    fifty = ledger.LIGHT_IDS[:50]
    light = {"connectors": [ledger.build_connector_id("light")]}
    with_changed = [*fifty[:49], ledger.CHANGED]
    fresh = build_body(documents.NODES_FRESH, ids=fifty)
    connector = build_body(documents.NODES_CONNECTOR, ids=fifty)
    a_page = build_body(documents.PAGE, filter=light)
    totals = build_body(documents.TOTALS)
    dashboard = page.list_paths()

    def wait(_: Client) -> None:
        time.sleep(1.05)

    def read_other(client: Client) -> None:
        client.read_again(ledger.LIGHT_IDS[-1], accounts.DAY)

    def read_first(client: Client) -> None:
        client.read_again(fifty[0], accounts.DAY)

    def read_first_today(client: Client) -> None:
        client.read_again(fifty[0], None)

    def keep(_: Client) -> None:
        return

    refresh: Goal = "refresh"
    changed: Goal = "refresh-changed"
    return {
        "after-tick": _Case("nodes of 50 with ages, a second later", "after", [fresh], wait),
        "after-budget": _Case(
            "nodes of 50 with connector, after a call to it", "after", [connector], read_other
        ),
        "after-read": _Case("nodes of 50, one read again", "after", [fresh], read_first),
        "after-write": _Case(
            "nodes of 50, one written", "after",
            [build_body(documents.NODES, ids=with_changed)], Client.write, shows_written=True,
        ),
        "after-page": _Case("a page of 50, one read again", "after", [a_page], read_first),
        "after-totals": _Case(
            "balanceTotals of 1,000, one read again", "after", [totals], read_first, 999
        ),
        "after-totals-write": _Case(
            "balanceTotals of 1,000, one written", "after", [totals], Client.write, 999
        ),
        "refresh": _Case("the page's refresh, at once again", refresh, dashboard, keep),
        "refresh-tick": _Case("the page's refresh, a second later", refresh, dashboard, wait),
        "refresh-read": _Case(
            "the page's refresh, one account read again", changed, dashboard, read_first_today
        ),
        "refresh-write": _Case(
            "the page's refresh, one account written", changed, dashboard, Client.write
        ),
    }  # fmt: skip


_CASES = _list_cases()
NAMES = tuple(_CASES)


def measure(stand: Stand, name: str, samples: int) -> tuple[Row, list[str]]:
    """Measure one case, in turn with ``nodes`` of as many accounts.

    Args:
        stand: the servers.
        name: one of ``NAMES``.
        samples: how often.

    Returns:
        The row, and descriptions of wrong responses.
    """
    case = _CASES[name]
    client, bare = Client(stand.gateways["sqlite"], name), Client(stand.bare, name)
    measured_us, reference_us, bare_us, wrong = [], [], [], []
    for body in [*case.bodies, client.build_random_nodes(case.count)]:
        client.send(body)
    before = read_fallbacks(client.server)
    size = 0
    for number in range(samples):
        if number % 2 and case.goal == "after":
            reference_us.append(client.measure([client.build_random_nodes(case.count)])[0])
        case.change(client)
        cpu_us, responses = client.measure(case.bodies)
        measured_us.append(cpu_us)
        # The refresh's responses differ in size, and most of them are empty.
        stand.bare.request("PUT", "/answer", responses[0] if len(responses) == 1 else b"")
        bare_us.append(bare.measure(case.bodies)[0])
        size = sum(len(each) for each in responses)
        if any(b'"errors"' in each for each in responses):
            wrong.append(f"{name}: {responses[0][:300]!r}")
        elif case.shows_written and client.written_bank not in responses[0]:
            wrong.append(f"{name}: {client.written_bank!r} is not in {responses[0][-300:]!r}")
        if number % 2 == 0 and case.goal == "after":
            reference_us.append(client.measure([client.build_random_nodes(case.count)])[0])
    after = read_fallbacks(client.server)
    row = Row(
        name=name,
        title=case.title,
        goal=case.goal,
        cpu_us=statistics.median(measured_us),
        bare_us=statistics.median(bare_us),
        reference_us=statistics.median(reference_us) if reference_us else None,
        answer_bytes=size,
        units=case.count,
        requests=samples * len(case.bodies),
        fallbacks=None if before is None or after is None else after - before,
    )
    return row, wrong[:3]
