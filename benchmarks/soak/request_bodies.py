"""Builds the request bodies of the soak test: reads of all kinds, writes and invalid requests."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

_BALANCE = "asOf bank { minorUnits } ledger { amount } freshness { state ageSeconds staleReason }"
_DASHBOARD = (
    "query ($ids: [ID!]!, $asOf: Date) { nodes(ids: $ids) { id ... on BankAccount {"
    f" currency balance(asOf: $asOf) {{ {_BALANCE} }} }} }} }}"
)
_SINGLE = (
    "query ($id: ID!, $asOf: Date) { bankAccount(id: $id) { id name connector { health { state } }"
    f" openingBalance {{ amount {{ minorUnits }} freshness {{ state }} }}"
    f" balance(asOf: $asOf) {{ {_BALANCE} }} }} }}"
)
_FRESH = (
    "query ($id: ID!) { bankAccount(id: $id) { id balance(maxAgeSeconds: 0, onStale: ERROR)"
    f" {{ {_BALANCE} }} }} }}"
)
_TOTALS = (
    "query ($asOf: Date) { balanceTotals(asOf: $asOf) { currency bank { amount } included complete"
    " missing { bankAccount { id } code } oldestObservedAt } }"
)
_HISTORY = (
    "query ($id: ID!, $from: Date!, $to: Date!) { bankAccount(id: $id) { id"
    f" balanceHistory(from: $from, to: $to) {{ {_BALANCE} }} }} }}"
)
_OPENING = (
    "query ($id: ID!) { bankAccount(id: $id) { id openingBalance { amount { minorUnits } } } }"
)
_UPSERT = (
    "mutation ($input: UpsertOpeningBalanceInput!) { upsertOpeningBalance(input: $input) {"
    " __typename ... on OpeningBalanceApplied { verified replayed }"
    " ... on OpeningBalanceRejected { code message retryable field }"
    " ... on OpeningBalanceUncertain { writeId message } } }"
)

#: The past days of dashboards: few, so that the caches are full before memory is compared.
_PAST_DAYS = ("2026-03-31", "2026-04-30")
_HISTORIES = 8
_BOOKS_OPEN = "2026-01-01T00:00:00Z"

#: Each of these must get a response without an INTERNAL error.
_INVALID_QUERIES = (
    "",
    "{",
    "}" * 50,
    "{ nodes }",
    "{ nothing }",
    "query { bankAccount(id: 7.5) { id } }",
    "{ a: " * 200 + "id" + " }" * 200,
    "{ " + " ".join(f"a{n}: connectors {{ id }}" for n in range(1_000)) + " }",
    "query ($x: [[[[ID]]]]) { nodes(ids: $x) { id } }",
    "subscription { everything }",
    "fragment f on Query { ...f } { ...f }",
    '{ bankAccount(id: "\\ud800") { id } }',
    "{ __schema { types { name fields { name type { name fields { name } } } } } }",
    'mutation { upsertOpeningBalance(input: {accountId: "x"}) { __typename } }',
    '{ bankAccount(id: "unknown-account") { id balance { asOf } } }',
    '{ balanceTotals(asOf: "2026-02-30") { currency } }',
)
_INVALID_BODIES = (b"", b"null", b"[]", b"\xff\xfe", b'{"query": 7}', b"{" * 10_000)


def _encode_body(query: str, **variables: Any) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


def build_dashboard(rng: random.Random, ids: Sequence[str]) -> tuple[bytes, list[str]]:
    """Build a dashboard of fifty accounts on a random day; also return the chosen ids."""
    chosen = rng.sample(ids, 50)
    return _encode_body(_DASHBOARD, ids=chosen, asOf=_choose_day(rng)), chosen


def build_single(rng: random.Random, ids: Sequence[str]) -> bytes:
    """Build a read of one account with its opening balance."""
    return _encode_body(_SINGLE, id=rng.choice(ids), asOf=_choose_day(rng))


def build_fresh(rng: random.Random, ids: Sequence[str]) -> bytes:
    """Build a read of one account that must not come from the cache."""
    return _encode_body(_FRESH, id=rng.choice(ids))


def build_everything(ids: Sequence[str]) -> bytes:
    """Build a dashboard of all accounts, today."""
    return _encode_body(_DASHBOARD, ids=list(ids))


def build_totals(rng: random.Random) -> bytes:
    """Build a read of the totals of all accounts."""
    return _encode_body(_TOTALS, asOf=_choose_day(rng))


def build_history(rng: random.Random, ids: Sequence[str]) -> bytes:
    """Build a read of one week of one of a few accounts."""
    chosen = rng.choice(ids[:: max(1, len(ids) // _HISTORIES)])
    return _encode_body(_HISTORY, id=chosen, **{"from": "2026-03-01", "to": "2026-03-07"})


def build_opening(account: str) -> bytes:
    """Build a read of an account's opening balance."""
    return _encode_body(_OPENING, id=account)


def build_upsert(account: str, currency: str, minor_units: int, key: str) -> bytes:
    """Build a mutation that sets an opening balance as of the first day of the sandbox's books."""
    amount = {"minorUnits": str(minor_units), "currency": currency}
    write = {"accountId": account, "amount": amount, "idempotencyKey": key}
    if not account.startswith("asset"):
        # Asset does not accept a date.
        write["effectiveAt"] = _BOOKS_OPEN
    return _encode_body(_UPSERT, input=write)


def build_invalid(rng: random.Random) -> bytes:
    """Build an invalid request; some of them are random, so that no cache knows them."""
    if rng.random() < 0.2:
        return rng.choice(_INVALID_BODIES)
    text = rng.choice(_INVALID_QUERIES)
    if rng.random() < 0.3:
        text = f"# {rng.getrandbits(64):x}\n{text}"
    elif rng.random() < 0.3 and text:
        index = rng.randrange(len(text))
        text = text[:index] + chr(rng.randrange(32, 0x2FF)) + text[index + 1 :]
    return _encode_body(text, ids=[rng.getrandbits(8)], asOf=rng.choice((None, 7, "", "today")))


def _choose_day(rng: random.Random) -> str | None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return rng.choice((None, None, str(yesterday), *_PAST_DAYS))
