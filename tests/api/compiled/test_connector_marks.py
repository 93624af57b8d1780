"""The state of a connector in kept text is replaced at once, and written again when it changes."""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from balance_gateway.api.compiled import account_pages
from balance_gateway.api.compiled.account_blocks import AccountBlock, BlockValidity
from balance_gateway.api.compiled.account_json_cache import AccountJson
from balance_gateway.api.compiled.holes import ConnectorHole, Moment
from balance_gateway.api.compiled.kept_responses import KeptResponses
from balance_gateway.api.compiled.output import Output
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.balances import BalanceQuery
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.ports.cache_validity import CacheValidity, LocalCacheVersions
from balance_gateway.service.directory import Connector, Directory
from tests.api.compiled.gateway_harness import ACCOUNTS, START, GatewayHarness
from tests.api.compiled.random_history import ADMIN
from tests.api.compiled.whole_gateway import SentRequest, open_worlds

NO_STATE: Any = None
CONNECTORS = [Connector(name, ProviderKind.LIGHT, frozenset()) for name in ("one", "two")]


@dataclass
class Tracker:
    """Has the state of connectors: each read of it has another number."""

    changes: int = 0
    unchanged_for_s: float = 60.0
    reads: list[str] = field(default_factory=list)

    def count_changes(self, _connector: str) -> int:
        return self.changes

    def status(self, connector: str) -> ConnectorStatus:
        self.reads.append(connector)
        return ConnectorStatus(
            HealthState.UP,
            None,
            None,
            None,
            remaining=len(self.reads),
            unchanged_until_s=START.timestamp() + self.unchanged_for_s,
        )


def write(connector: Connector, status: ConnectorStatus) -> bytes:
    return b'"%b %d"' % (connector.id.encode(), status.remaining)


def fill(output: Output, tracker: Tracker, seconds: float = 0) -> tuple[bytes, Moment]:
    present_s = START.timestamp() + seconds
    moment = Moment(START, tracker, present_s)  # type: ignore[arg-type]
    return moment.fill(output.join(), output.connectors), moment


def write_output(*pieces: bytes | ConnectorHole) -> Output:
    output = Output(NO_STATE)
    for each in pieces:
        if isinstance(each, ConnectorHole):
            output.add_connector(each)
        else:
            output.parts.append(each)
    return output


def test_each_mark_is_replaced_by_its_connector() -> None:
    one, two, other = (ConnectorHole(each, write) for each in (*CONNECTORS, CONNECTORS[0]))
    output = write_output(b"[", one, b",", two, b",", one, two, b",9", other, b"]")

    text, moment = fill(output, Tracker())

    found = text.split(b'"')[1::2]
    assert [each.split()[0] for each in found] == [b"one", b"two", b"one", b"two", b"one"]
    assert found[0] == found[2]
    assert found[1] == found[3]
    assert text.endswith(b',9"%b"]' % found[4])
    assert moment.connector_changes == {"one": 0, "two": 0}
    assert moment.unchanged_until_s == START.timestamp() + 60


def test_a_connector_is_written_again_after_a_change_or_its_time() -> None:
    tracker = Tracker()
    output = write_output(b"[", ConnectorHole(CONNECTORS[0], write), b"]")
    texts = [fill(output, tracker)[0], fill(output, tracker, 59)[0]]
    tracker.changes = 1
    texts.append(fill(output, tracker, 59)[0])
    texts.append(fill(output, tracker, 60)[0])

    assert texts == [b'["one 1"]', b'["one 1"]', b'["one 2"]', b'["one 3"]']


async def test_names_with_the_sign_of_a_mark_stay_what_they_are() -> None:
    """JSON escapes it, also between two marks."""
    harness = GatewayHarness()
    accounts = [replace(each, name="\0" + "\0".join("0123456789")) for each in ACCOUNTS]
    connector = Connector("main", ProviderKind.LIGHT, frozenset())
    object.__setattr__(harness.gateway, "directory", Directory(accounts, [connector]))
    fields = "name connector { health { state } } other: connector { name budget { remaining } }"
    ids = ", ".join(f'"{each.id}"' for each in accounts)
    query = f"{{ nodes(ids: [{ids}]) {{ ... on BankAccount {{ {fields} }} }} }}"

    expected = await harness.send(harness.graphql_core, query)
    found = [await harness.send(harness.compiled, query) for _ in range(4)]

    assert b"\\u0000" in expected
    assert b"remaining" in expected
    assert found == [expected] * 4


async def test_a_request_that_waits_shows_the_state_when_it_is_answered() -> None:
    query = """query($age: Int!) { connectors { name budget { remaining } }
        bankAccount(id: "a0") { balance(maxAgeSeconds: $age) { asOf } } }"""
    async with open_worlds() as [world]:
        await world.send(world.compiled, SentRequest(query, {"age": 0}, ADMIN))
        kept = await world.send(world.compiled, SentRequest(query, {"age": 60}, ADMIN))
        provider = world.providers["main"]
        figures = provider.answer

        def read_slowly(asked: BalanceQuery) -> Any:
            world.clock.now += timedelta(seconds=5)
            return figures(asked)

        provider.answer = read_slowly
        waited = await world.send(world.compiled, SentRequest(query, {"age": 0}, ADMIN))

    remaining = [
        json.loads(each.body)["data"]["connectors"][0]["budget"] for each in (kept, waited)
    ]
    assert remaining[0]["remaining"] == remaining[1]["remaining"] + 5


@pytest.mark.parametrize(
    "fields",
    [
        "nodes { id connector { health { state } } }",
        "nodes { id } edges { node { connector { health { state } } } }",
    ],
)
async def test_the_entity_tag_of_a_long_page_changes_with_a_connector(
    fields: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page in blocks is hashed by block, and a mark says nothing of what it stands for."""
    request = SentRequest(
        f"{{ bankAccounts(first: 200) {{ {fields} }} }}", {}, ADMIN, is_post=False
    )
    monkeypatch.setattr(account_pages, "BLOCK_SIZE", 3)
    tags: dict[str, set[bytes]] = {}
    async with open_worlds() as [world]:
        for state in (HealthState.UP, HealthState.DOWN):
            world.watch.statuses = dict.fromkeys(world.watch.statuses, ConnectorStatus(state))
            for _ in range(2):
                response = await world.send(world.compiled, request)
                tags.setdefault(response.digest, set()).add(response.body)

    assert len(tags) == 2
    assert all(len(bodies) == 1 for bodies in tags.values())


def test_kept_texts_count_the_connectors_that_they_refer_to() -> None:
    holes = frozenset(ConnectorHole(CONNECTORS[0], write) for _ in range(100))
    plain = AccountJson((b"{}",), (), 1.0, CacheValidity(), (), 1)
    versions = LocalCacheVersions()
    block = AccountBlock((), (b"{}",), (), 1.0, BlockValidity((), versions), (), 1, frozenset())

    for entry in (plain, block):
        added = replace(entry, connectors=holes).size_bytes - entry.size_bytes
        assert added > 100_000


async def test_kept_responses_with_connectors_are_bounded_by_bytes() -> None:
    harness = GatewayHarness()
    responses = harness.compiled._kept_responses = KeptResponses(1_000_000)
    aliases = " ".join(f"c{number}: connector {{ health {{ state }} }}" for number in range(50))
    for number in range(100):
        query = f'{{ n{number}: node(id: "a0") {{ ... on BankAccount {{ {aliases} }} }} }}'
        for _ in range(2):
            await harness.send(harness.compiled, query)

    assert 1 < len(responses) < 20
    assert responses.size_bytes <= 1_000_000
