"""Plans of writes at their limits: characters, amounts, expectations, and the texts of errors."""

from datetime import UTC, datetime

import pytest

from balance_gateway.domain.errors import BadInput
from balance_gateway.service.amount_input import AmountInput, resolve_expected_previous
from balance_gateway.service.opening_balances import ExpectedPrevious
from balance_gateway.service.upsert_plan import UpsertPlan, check_expectation, plan_upsert
from tests.service.fakes import ADMIN, FakeProvider, account, opening, upsert

NOW = datetime(2026, 5, 7, 12, tzinfo=UTC)


def plan(**changes: object) -> UpsertPlan:
    minor_units = changes.pop("minor_units", 200)
    request = upsert(minor_units, **changes)  # type: ignore[arg-type]
    return plan_upsert(ADMIN, request, account(), FakeProvider([]), NOW)


@pytest.mark.parametrize("field", ["idempotency_key", "memo", "reference_number"])
@pytest.mark.parametrize("code_point", [0, 0xD800, 0xDABC, 0xDFFF])
def test_a_text_that_cannot_be_stored_is_rejected(field: str, code_point: int) -> None:
    with pytest.raises(BadInput, match="a character that cannot be stored; remove it") as caught:
        plan(**{field: f"a{chr(code_point)}b"})

    names = {"idempotency_key": "idempotencyKey", "reference_number": "referenceNumber"}
    assert caught.value.field == names.get(field, field)


@pytest.mark.parametrize("field", ["idempotency_key", "memo", "reference_number"])
@pytest.mark.parametrize("code_point", [1, 0xD7FF, 0xE000, 0x1F600])
def test_any_other_character_is_accepted(field: str, code_point: int) -> None:
    planned = plan(**{field: f"a{chr(code_point)}b"})

    assert getattr(planned, field) == f"a{chr(code_point)}b"


def test_an_idempotency_key_of_one_character_is_accepted() -> None:
    assert plan(idempotency_key="k").idempotency_key == "k"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"idempotency_key": ""}, "idempotencyKey must have 1 to 255 characters."),
        ({"memo": "m" * 1001}, "memo must not be longer than 1000 characters."),
        ({"currency": "USD"}, "The account's currency is EUR; amounts are not converted."),
        ({"amount_text": "1"}, "amount must have exactly one of minorUnits and amount."),
    ],
)
def test_a_rejection_says_what_to_change(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        plan(**changes)

    assert caught.value.message == message


def test_the_instant_of_the_plan_is_the_requested_one_or_now() -> None:
    requested = datetime(2026, 1, 1, tzinfo=UTC)

    assert plan(effective_at=requested).effective_at == requested
    assert plan().effective_at == NOW


def test_the_plan_has_the_caller_and_the_account() -> None:
    planned = plan(memo="m", reference_number="r", expected_previous=ExpectedPrevious(7))

    assert planned.principal is ADMIN
    assert planned.account.id == "acct_a"
    assert (planned.memo, planned.reference_number) == ("m", "r")
    assert planned.expected_previous == ExpectedPrevious(7)


@pytest.mark.parametrize(
    ("minor_units", "text", "expected"),
    [(7, None, 7), (0, None, 0), (None, "-1.50", -150), (None, "0", 0)],
)
def test_the_expected_amount_has_either_form(
    minor_units: int | None, text: str | None, expected: int
) -> None:
    amount = AmountInput(minor_units, text, "EUR")

    assert resolve_expected_previous(amount, "EUR", "f") == ExpectedPrevious(expected)


@pytest.mark.parametrize(
    ("amount", "field", "message"),
    [
        (AmountInput(1, "1", "EUR"), "f", "f must have exactly one of minorUnits and amount."),
        (AmountInput(None, None, "USD"), "f", "f must have exactly one of minorUnits and amount."),
        (AmountInput(1, None, "USD"), "f.currency", "f must be in the currency of amount, EUR."),
        (
            AmountInput(None, "1.234", "EUR"),
            "f",
            "f has more than the 2 decimals of EUR and is not rounded",
        ),
    ],
)
def test_a_bad_expected_amount_names_its_field(
    amount: AmountInput, field: str, message: str
) -> None:
    with pytest.raises(BadInput) as caught:
        resolve_expected_previous(amount, "EUR", "f")

    assert (caught.value.field, caught.value.message) == (field, message)


@pytest.mark.parametrize(
    ("expected", "previous", "found"),
    [(200, 100, "it is 1.00 EUR"), (0, None, "none is set"), (None, 0, "it is 0.00 EUR")],
)
def test_a_failed_expectation_says_what_is_set(
    expected: int | None, previous: int | None, found: str
) -> None:
    current = None if previous is None else opening(previous)

    with pytest.raises(BadInput) as caught:
        check_expectation(ExpectedPrevious(expected), current, "EUR")

    assert caught.value.field == "expectedPrevious"
    assert caught.value.message == (
        f"expectedPrevious is not the current opening balance: {found}. Nothing was changed."
    )
