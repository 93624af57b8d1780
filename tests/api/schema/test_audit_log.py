"""The audit log in GraphQL: its pages, its filter, and what an unreadable row shows."""

from datetime import UTC, datetime

import pytest

from balance_gateway.api.schema.pages import encode_number_cursor
from balance_gateway.domain.audit import AuditEntry, AuditEvent, RemovedRows
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteOutcome
from balance_gateway.ports.audit_log import AuditFilter
from tests.api.fakes import AUDITOR, NOW, GatewayHarness, open_client

ASK = """query ($filter: AuditFilter, $first: Int, $after: String, $order: AuditOrder) {
  auditLog(filter: $filter, first: $first, after: $after, order: $order) {
    nodes { number } edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor } } }"""


def build_entry(number: int, **changes) -> AuditEntry:
    values = {
        "number": number,
        "record": f'{{"number":{number}}}',
        "sequence": number,
        "previous_hash": "p",
        "hash": "h",
        "at": NOW,
        "event": AuditEvent.FINISHED,
        "principal": "admin",
        "account_id": "acct_operating",
        "write_id": "w1",
        "plan_id": None,
        "outcome": WriteOutcome.APPLIED,
        "amount": Money(80_000, "EUR"),
        "effective_at": None,
        "previous": None,
        "applied": Money(80_000, "EUR"),
        "found": None,
        "verified": True,
        "error_code": None,
        "error_message": None,
        "provider_code": None,
        "note": None,
        **changes,
    }
    return AuditEntry(**values)


async def test_pages_in_both_orders_have_every_entry_once(harness: GatewayHarness):
    harness.audit_log.entries = [("acme", build_entry(number)) for number in range(1, 6)]
    harness.audit_log.entries.append(("globex", build_entry(6)))
    seen = {}
    async with open_client(harness) as client:
        for order in ("NEWEST_FIRST", "OLDEST_FIRST"):
            numbers, page, after = [], {"hasNextPage": True}, None
            while page["hasNextPage"]:
                sent = {"first": 2, "after": after, "order": order}
                data = (await client.data(ASK, key=AUDITOR, variables=sent))["auditLog"]
                numbers += [node["number"] for node in data["nodes"]]
                page = data["pageInfo"]
                after = page["endCursor"]
            seen[order] = numbers

    assert seen == {"NEWEST_FIRST": list("54321"), "OLDEST_FIRST": list("12345")}


async def test_a_filter_reaches_the_log_as_it_was_sent(harness: GatewayHarness):
    sent = {
        "filter": {
            "accountIds": ["acct_operating"],
            "actions": ["BEGUN", "PRUNED"],
            "since": "2026-01-01T00:00:00Z",
            "until": "2026-02-01T00:00:00+01:00",
        }
    }
    async with open_client(harness) as client:
        await client.data(ASK, key=AUDITOR, variables=sent)

    [(selected, limit, oldest_first)] = harness.audit_log.pages
    assert selected == AuditFilter(
        frozenset({"acct_operating"}),
        frozenset({AuditEvent.BEGUN, AuditEvent.PRUNED}),
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 31, 23, tzinfo=UTC),
    )
    assert (limit, oldest_first) == (51, False)


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"first": -1}, "first"),
        ({"first": 1001}, "first"),
        ({"after": ""}, "after"),
        ({"after": "bDE6MDE"}, "after"),
        ({"after": encode_number_cursor(b"l1:", 2**63)}, "after"),
        ({"filter": {"accountIds": ["x"] * 1001}}, "filter.accountIds"),
    ],
)
async def test_a_wrong_argument_is_named(harness: GatewayHarness, variables, field):
    async with open_client(harness) as client:
        answer = await client.ask(ASK, key=AUDITOR, variables=variables)

    assert answer["errors"][0]["extensions"]["field"] == field
    assert harness.audit_log.pages == []


async def test_an_unreadable_row_and_a_removal_are_shown(harness: GatewayHarness):
    seal = RemovedRows(1, 2, "a", "b", 4)
    unreadable = dict.fromkeys(("at", "event", "account_id", "write_id", "outcome", "amount"))
    harness.audit_log.entries = [("acme", build_entry(3, **unreadable, removed_before=(seal,)))]
    ask = """{ auditLog { nodes { at action accountId outcome amount { amount } record
        removedBefore { firstSequence lastSequence previousHash lastHash removedIn } } } }"""
    async with open_client(harness) as client:
        data = await client.data(ask, key=AUDITOR)

    assert data["auditLog"]["nodes"] == [
        {
            **dict.fromkeys(("at", "action", "accountId", "outcome", "amount")),
            "record": '{"number":3}',
            "removedBefore": [
                {
                    "firstSequence": "1",
                    "lastSequence": "2",
                    "previousHash": "a",
                    "lastHash": "b",
                    "removedIn": "4",
                }
            ],
        }
    ]
