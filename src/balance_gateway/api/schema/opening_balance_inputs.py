"""The inputs of the mutations, and their translation to the service's write request."""

from datetime import datetime

import strawberry

from balance_gateway.api.schema.scalars import BigInt, CurrencyCode, DecimalText, unset_to_none
from balance_gateway.api.schema.unreadable_inputs import require_readable
from balance_gateway.domain.errors import BadInput
from balance_gateway.service.amount_input import (
    AmountInput,
    require_one_form,
    resolve_expected_previous,
)
from balance_gateway.service.opening_balances import ExpectedPrevious, UpsertRequest


@strawberry.input(
    description="An amount from the account holder's perspective: the currency, and exactly one of "
    "minorUnits and amount."
)
class MoneyInput:
    """An amount in one of two forms."""

    minor_units: BigInt | None = strawberry.field(
        default=strawberry.UNSET,
        description="The amount in the currency's smallest unit, such as cents.",
    )
    amount: DecimalText | None = strawberry.field(
        default=strawberry.UNSET,
        description="The amount in major units. An amount with more decimals than the currency "
        "has is rejected, not rounded.",
    )
    currency: CurrencyCode = strawberry.field(
        description="The currency; must be the account's currency."
    )


@strawberry.input(
    description="The opening balance that the caller expects to be set. The write is rejected if "
    "the current opening balance differs."
)
class ExpectedPreviousInput:
    """The opening balance that the caller expects to be set."""

    amount: MoneyInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="The expected amount; null if no opening balance is expected. Must be sent, so "
        "that a variable omitted by mistake does not count as null.",
    )


@strawberry.input(description="An opening balance to set. Needs the scope balances:write.")
class UpsertOpeningBalanceInput:
    """An opening balance to set."""

    account_id: strawberry.ID = strawberry.field(description="The account's id.")
    amount: MoneyInput = strawberry.field(description="The amount of the opening balance.")
    effective_at: datetime | None = strawberry.field(
        default=strawberry.UNSET,
        description="When the account had this balance. Default: now, or the provider's own date "
        "if it has one. Rejected if the provider does not accept an instant.",
    )
    expected_previous: ExpectedPreviousInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="The expected current opening balance. Default: it is not compared.",
    )
    idempotency_key: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="1 to 255 characters. A repeated request with the same key returns the first "
        "result; a different request with the same key is rejected.",
    )
    memo: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A free-text note. Rejected if the provider stores none.",
    )
    reference_number: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A reference number shown to users. Rejected if the provider stores none.",
    )


def build_upsert_request(sent: UpsertOpeningBalanceInput) -> UpsertRequest:
    """Translate the input into the service's request.

    Raises:
        BadInput: an amount has both minorUnits and amount, or neither; or expectedPrevious is
            incomplete, or in another currency, or has too many decimals; or a scalar could not
            read a value.
    """
    amount = _build_amount(sent.amount, "amount")
    # The service checks this again when it plans the write. It is checked here as well because
    # callers get an error about the amount before an error about the account.
    require_one_form(amount, "amount")
    return UpsertRequest(
        account_id=str(sent.account_id),
        minor_units=amount.minor_units,
        amount_text=amount.text,
        currency=amount.currency,
        effective_at=unset_to_none(require_readable(sent.effective_at, "effectiveAt")),
        expected_previous=_build_expected_previous(sent),
        idempotency_key=unset_to_none(sent.idempotency_key),
        memo=unset_to_none(sent.memo),
        reference_number=unset_to_none(sent.reference_number),
    )


def _build_expected_previous(sent: UpsertOpeningBalanceInput) -> ExpectedPrevious | None:
    if not sent.expected_previous:
        return None
    field = "expectedPrevious.amount"
    expected = sent.expected_previous.amount
    # Only this layer can tell a field that is left out from one that is null.
    if expected is strawberry.UNSET:
        message = f"{field} is missing; send null if no opening balance is set."
        raise BadInput(message, field=field)
    if expected is None:
        return ExpectedPrevious(minor_units=None)
    # Resolved before planning: the fingerprint of a request under an idempotency key covers the
    # expectation in minor units.
    return resolve_expected_previous(_build_amount(expected, field), sent.amount.currency, field)


def _build_amount(money: MoneyInput, field: str) -> AmountInput:
    return AmountInput(
        unset_to_none(require_readable(money.minor_units, f"{field}.minorUnits")),
        unset_to_none(require_readable(money.amount, f"{field}.amount")),
        require_readable(money.currency, f"{field}.currency"),
    )
