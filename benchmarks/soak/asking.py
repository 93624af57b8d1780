"""What the clients of a soak ask: dashboards, single reads, totals, histories, and nonsense."""

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

#: Past days that dashboards ask for: few, so that caches are warm before memory is compared.
_PAST_DAYS = ("2026-03-31", "2026-04-30")
_HISTORIES = 8
_BOOKS_OPEN = "2026-01-01T00:00:00Z"

#: Every one of these is answered, and none with INTERNAL.
_NONSENSE = (
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
    '{ bankAccount(id: "nobody-has-this") { id balance { asOf } } }',
    '{ balanceTotals(asOf: "2026-02-30") { currency } }',
)
_NONSENSE_BODIES = (b"", b"null", b"[]", b"\xff\xfe", b'{"query": 7}', b"{" * 10_000)


def _body(query: str, **variables: Any) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


def dashboard(dice: random.Random, ids: Sequence[str]) -> tuple[bytes, list[str]]:
    """Fifty accounts, today or some day, and which they are."""
    chosen = dice.sample(ids, 50)
    return _body(_DASHBOARD, ids=chosen, asOf=_day(dice)), chosen


def single(dice: random.Random, ids: Sequence[str]) -> bytes:
    """One account with its opening balance."""
    return _body(_SINGLE, id=dice.choice(ids), asOf=_day(dice))


def fresh(dice: random.Random, ids: Sequence[str]) -> bytes:
    """One account, asked of its provider now."""
    return _body(_FRESH, id=dice.choice(ids))


def everything(ids: Sequence[str]) -> bytes:
    """All accounts, today."""
    return _body(_DASHBOARD, ids=list(ids))


def totals(dice: random.Random) -> bytes:
    """All accounts, added up."""
    return _body(_TOTALS, asOf=_day(dice))


def history(dice: random.Random, ids: Sequence[str]) -> bytes:
    """A week of one of a few accounts."""
    chosen = dice.choice(ids[:: max(1, len(ids) // _HISTORIES)])
    return _body(_HISTORY, id=chosen, **{"from": "2026-03-01", "to": "2026-03-07"})


def opening(account: str) -> bytes:
    """An account's opening balance."""
    return _body(_OPENING, id=account)


def upsert(account: str, currency: str, minor_units: int, key: str) -> bytes:
    """Sets an opening balance, as of the day on which the sandbox's books open."""
    amount = {"minorUnits": str(minor_units), "currency": currency}
    wanted = {"accountId": account, "amount": amount, "idempotencyKey": key}
    if not account.startswith("asset"):
        # Asset does not let it be chosen.
        wanted["effectiveAt"] = _BOOKS_OPEN
    return _body(_UPSERT, input=wanted)


def nonsense(dice: random.Random) -> bytes:
    """Something that no client should send; a part of it was never sent before."""
    if dice.random() < 0.2:
        return dice.choice(_NONSENSE_BODIES)
    text = dice.choice(_NONSENSE)
    if dice.random() < 0.3:
        text = f"# {dice.getrandbits(64):x}\n{text}"
    elif dice.random() < 0.3 and text:
        place = dice.randrange(len(text))
        text = text[:place] + chr(dice.randrange(32, 0x2FF)) + text[place + 1 :]
    return _body(text, ids=[dice.getrandbits(8)], asOf=dice.choice((None, 7, "", "today")))


def _day(dice: random.Random) -> str | None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return dice.choice((None, None, str(yesterday), *_PAST_DAYS))
