"""Defines what ``explainBalance`` returns, and selects it."""

from balance_gateway.cli.remote.models import (
    MONEY,
    UNSETTLED_WRITE,
    ConnectorName,
    Model,
    Money,
    UnsettledWrite,
)


class Problem(Model, frozen=True):
    """Why a value is missing."""

    code: str
    message: str


class Age(Model, frozen=True):
    """The age of a value, and when its source last had news."""

    state: str
    observed_at: str
    age_seconds: int
    stale_reason: str | None
    sourced_at: str | None


class ExplainedFigures(Model, frozen=True):
    """A balance."""

    bank: Money | None
    ledger: Money | None
    difference: Money | None
    bank_missing: str | None
    ledger_missing: str | None
    difference_missing: str | None
    freshness: Age


class ExplainedOpening(Model, frozen=True):
    """An opening balance."""

    amount: Money
    effective_at: str | None
    source: str
    freshness: Age


class Kept(Model, frozen=True):
    """A value in the cache."""

    observed_at: str
    fresh_until: str
    stale_until: str


class Parameter(Model, frozen=True):
    """A query parameter of a call."""

    name: str
    value: str


class Call(Model, frozen=True):
    """A call to the source."""

    operation: str
    method: str | None
    endpoint: str
    parameters: list[Parameter]
    at: str


class Bound(Model, frozen=True):
    """Until when the source was asked to count."""

    parameter: str
    sent: str
    inclusive: bool
    instant: str | None


class RawField(Model, frozen=True):
    """A field as the source sent it."""

    name: str
    text: str | None


class RawFigure(Model, frozen=True):
    """The fields of a figure, and the rule."""

    figure: str
    fields: list[RawField]
    unit: str
    rule: str
    side: str | None


class Evidence(Model, frozen=True):
    """Where a value comes from."""

    kept: Kept | None
    calls: list[Call]
    bound: Bound | None
    figures: list[RawFigure]
    derived_from_day: str | None
    recorded_write_id: str | None
    recorded_at: str | None
    difference: str | None


class BalancePart(Model, frozen=True):
    """The balance, with where it comes from."""

    answer: ExplainedFigures | None
    problem: Problem | None
    read_problem: Problem | None
    evidence: Evidence


class OpeningPart(Model, frozen=True):
    """The opening balance, with where it comes from."""

    answer: ExplainedOpening | None
    problem: Problem | None
    read_problem: Problem | None
    evidence: Evidence


class Overlap(Model, frozen=True):
    """Another account with the same money."""

    account_id: str
    kind: str


class Explanation(Model, frozen=True):
    """Why a balance and an opening balance are what they are."""

    account_id: str
    account_name: str
    currency: str
    provider: str
    connector: ConnectorName
    configured_side: str | None
    time_zone: str
    as_of: str
    today: bool
    day_ends_at: str
    balance: BalancePart
    opening_balance: OpeningPart
    unsettled_write: UnsettledWrite | None
    overlaps: list[Overlap]


_AGE = "{ state observedAt ageSeconds staleReason sourcedAt }"
_EVIDENCE = (
    "evidence { kept { observedAt freshUntil staleUntil }"
    " calls { operation method endpoint parameters { name value } at }"
    " bound { parameter sent inclusive instant } figures { figure fields { name text } unit rule"
    " side } derivedFromDay recordedWriteId recordedAt difference }"
)
_PROBLEMS = "problem { code message } readProblem { code message }"
EXPLANATION = (
    "{ accountId accountName currency provider connector { name } configuredSide timeZone asOf"
    f" today dayEndsAt balance {{ answer {{ bank {MONEY} ledger {MONEY} difference {MONEY}"
    f" bankMissing ledgerMissing differenceMissing freshness {_AGE} }} {_PROBLEMS} {_EVIDENCE} }}"
    f" openingBalance {{ answer {{ amount {MONEY} effectiveAt source freshness {_AGE} }}"
    f" {_PROBLEMS} {_EVIDENCE} }} unsettledWrite {UNSETTLED_WRITE} overlaps {{ accountId kind }} }}"
)
