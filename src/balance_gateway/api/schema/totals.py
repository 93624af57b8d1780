"""Totals per currency: what could be added up, and what is missing."""

from datetime import datetime

import strawberry

from balance_gateway.api.schema.bank_account import BankAccount, build_bank_account
from balance_gateway.api.schema.money import Money, build_money
from balance_gateway.api.schema.scalars import CurrencyCode
from balance_gateway.service import balances as service


@strawberry.type(description="An account whose balance a total lacks.")
class MissingBalance:
    """An account whose balance a total lacks."""

    bank_account: BankAccount = strawberry.field(description="The account.")
    code: str = strawberry.field(description="The code of the reason, as in errors.")


@strawberry.type(
    description="The sum of one currency's balances. Amounts are never converted, never guessed."
)
class CurrencyTotal:
    """The sum of one currency's balances."""

    currency: CurrencyCode = strawberry.field(description="The currency.")
    bank: Money | None = strawberry.field(
        description="The sum of the bank figures that are known; null when not one is."
    )
    ledger: Money | None = strawberry.field(
        description="The sum of the ledger figures that are known; null when not one is."
    )
    complete: bool = strawberry.field(
        description="Whether every account could be read. An account that was read may still "
        "have no bank or no ledger figure: compare bankIncluded and ledgerIncluded."
    )
    included: int = strawberry.field(description="How many accounts could be read.")
    bank_included: int = strawberry.field(
        description="How many of these have a bank figure that day and are in bank."
    )
    ledger_included: int = strawberry.field(
        description="How many of these have a ledger figure that day and are in ledger."
    )
    missing: list[MissingBalance] = strawberry.field(
        description="The accounts that could not be read, by their ids."
    )
    oldest_observed_at: datetime | None = strawberry.field(
        description="When the oldest figure in the sum was observed; null when none is in it."
    )


def build_currency_total(total: service.CurrencyTotal) -> CurrencyTotal:
    """A total as it is answered."""
    return CurrencyTotal(
        currency=CurrencyCode(total.currency),
        bank=build_money(total.bank),
        ledger=build_money(total.ledger),
        complete=total.complete,
        included=total.included,
        bank_included=total.bank_included,
        ledger_included=total.ledger_included,
        missing=[
            MissingBalance(bank_account=build_bank_account(each.account), code=each.code)
            for each in total.missing
        ],
        oldest_observed_at=total.oldest_observed_at,
    )
