"""Tests planning a write: errors name their field, fingerprints identify requests."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.domain.accounts import Capability
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.errors import BadInput, GatewayError, Unsupported
from balance_gateway.domain.money import Money
from balance_gateway.service.opening_balances import ExpectedPrevious, UpsertRequest
from balance_gateway.service.upsert_plan import UpsertPlan, check_expectation, plan_upsert
from tests.service.fakes import ADMIN, EVERYTHING, FakeProvider, account, upsert

NOW = datetime(2026, 5, 7, 12, tzinfo=UTC)


def plan(
    request: UpsertRequest, *, currency: str = "EUR", without: Capability | None = None
) -> UpsertPlan:
    provider = FakeProvider([])
    provider.capabilities = EVERYTHING - {without}
    return plan_upsert(ADMIN, request, account(currency=currency), provider, NOW)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"currency": "USD"}, "amount.currency"),
        ({"currency": "eur"}, "amount.currency"),
        ({"minor_units": None}, "amount"),
        ({"amount_text": "2.00"}, "amount"),
        ({"minor_units": None, "amount_text": "2.001"}, "amount.amount"),
        ({"minor_units": None, "amount_text": "1e3"}, "amount.amount"),
        ({"minor_units": None, "amount_text": ""}, "amount.amount"),
        ({"minor_units": None, "amount_text": "9" * 1001}, "amount.amount"),
        ({"idempotency_key": ""}, "idempotencyKey"),
        ({"idempotency_key": "k" * 256}, "idempotencyKey"),
        ({"memo": "m" * 1001}, "memo"),
        ({"reference_number": "r" * 1001}, "referenceNumber"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_rejection_names_its_field(changes: dict[str, Any], field: str) -> None:
    request = upsert(**{"minor_units": 200, **changes})

    with pytest.raises(BadInput) as caught:
        plan(request)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "without", "field"),
    [
        ({}, Capability.WRITE_OPENING_BALANCE, None),
        ({"memo": ""}, Capability.WRITE_MEMO, "memo"),
        ({"reference_number": "r"}, Capability.WRITE_MEMO, "referenceNumber"),
    ],
)
def test_unsupported_fields_are_rejected_not_dropped(
    changes: dict[str, Any], without: Capability, field: str | None
) -> None:
    with pytest.raises(Unsupported) as caught:
        plan(upsert(**changes), without=without)

    assert caught.value.field == field


@pytest.mark.parametrize(
    "changes",
    [
        {"idempotency_key": "k" * 255},
        {"memo": "m" * 1000},
        {"reference_number": "r" * 1000},
        {"expected_previous": ExpectedPrevious(0)},
    ],
    ids=lambda value: str(value)[:40],
)
def test_values_at_the_limits_are_accepted(changes: dict[str, Any]) -> None:
    planned = plan(upsert(**changes))

    assert {name: getattr(planned, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("currency", "text", "minor_units"),
    [("JPY", "12", 12), ("EUR", "-.5", -50), ("KWD", "1.234", 1234), ("CLF", "1", 10000)],
)
def test_decimal_text_uses_the_decimals_of_the_accounts_currency(
    currency: str, text: str, minor_units: int
) -> None:
    planned = plan(upsert(None, amount_text=text, currency=currency), currency=currency)

    assert planned.amount == Money(minor_units, currency)


def test_zero_is_a_valid_amount() -> None:
    assert plan(upsert(0)).amount == Money(0, "EUR")


def test_a_missing_instant_becomes_now_if_the_provider_accepts_one() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    missing, explicit, no_choice = (
        plan(upsert()),
        plan(upsert(effective_at=at)),
        plan(upsert(), without=Capability.CHOOSE_EFFECTIVE_AT),
    )

    assert (missing.effective_at, explicit.effective_at) == (NOW, at)
    assert no_choice.effective_at is None


TEXTS = st.none() | st.sampled_from(["", "None", "null", "a"]) | st.text(max_size=3)
REQUESTS = st.builds(
    UpsertRequest,
    account_id=st.sampled_from(["acct_a", "acct_b"]),
    minor_units=st.none() | st.integers(-2, 2),
    amount_text=TEXTS,
    currency=st.just("EUR"),
    effective_at=st.none() | st.sampled_from([NOW, datetime(2026, 1, 1, tzinfo=UTC)]),
    expected_previous=st.none() | st.builds(ExpectedPrevious, st.none() | st.integers(-1, 1)),
    memo=TEXTS,
    reference_number=TEXTS,
)


def fingerprint(request: UpsertRequest) -> str:
    from balance_gateway.service.upsert_plan import compute_fingerprint

    return compute_fingerprint(request)


@given(REQUESTS, REQUESTS)
def test_only_equal_requests_have_equal_fingerprints(
    one: UpsertRequest, other: UpsertRequest
) -> None:
    assert (fingerprint(one) == fingerprint(other)) is (one == other)


def test_a_memo_with_the_text_none_differs_from_no_memo() -> None:
    """A memo that equals the printed form of a missing value once had the same fingerprint."""
    assert fingerprint(upsert(memo="None")) != fingerprint(upsert())


@given(REQUESTS)
def test_planning_raises_only_errors_with_a_field(request: UpsertRequest) -> None:
    refused_field: str | None = None
    try:
        plan(request)
    except GatewayError as refusal:
        refused_field = refusal.field
        is_refused = True
    else:
        is_refused = False

    assert (refused_field is not None) is is_refused


@pytest.mark.parametrize(
    ("current", "is_met"),
    [
        (Money(200_000, "EUR"), True),
        (Money(200_000, "USD"), False),
        (Money(200_001, "EUR"), False),
        (None, False),
    ],
)
def test_an_expectation_covers_amount_and_currency(current: Money | None, *, is_met: bool) -> None:
    """2000.00 USD once met an expectation of 2000.00 in the account's later currency."""
    previous = current and OpeningBalance(current, None, OpeningBalanceSource.PROVIDER)

    if is_met:
        check_expectation(ExpectedPrevious(200_000), previous, "EUR")
        return
    with pytest.raises(BadInput, match="none is set" if current is None else current.currency):
        check_expectation(ExpectedPrevious(200_000), previous, "EUR")
