"""The GraphQL types of totals per currency, with the accounts that are missing from them."""

from datetime import datetime

import strawberry

from balance_gateway.api.schema.bank_account import BankAccount, build_bank_account
from balance_gateway.api.schema.list_sizes import TYPICAL_SIZE, list_size
from balance_gateway.api.schema.money import Money, build_money
from balance_gateway.api.schema.scalars import CurrencyCode
from balance_gateway.service import balances as service


@strawberry.type(description="An account not included in the total.")
class MissingBalance:
    """An account not included in the total."""

    bank_account: BankAccount = strawberry.field(description="The account.")
    code: str = strawberry.field(description="The error code, as in extensions.code of an error.")


@strawberry.type(
    description="The total of the balances in one currency. Amounts are never converted or "
    "estimated."
)
class CurrencyTotal:
    """The total of the balances in one currency."""

    currency: CurrencyCode = strawberry.field(description="The currency.")
    bank: Money | None = strawberry.field(
        description="The sum of the known bank balances; null if none is known."
    )
    ledger: Money | None = strawberry.field(
        description="The sum of the known ledger balances; null if none is known."
    )
    complete: bool = strawberry.field(
        description="Whether every account was read. An account that was read may still have "
        "no bank or no ledger balance: compare bankIncluded and ledgerIncluded with included."
    )
    included: int = strawberry.field(description="The number of accounts that were read.")
    bank_included: int = strawberry.field(
        description="The number of these accounts with a bank balance, included in bank."
    )
    ledger_included: int = strawberry.field(
        description="The number of these accounts with a ledger balance, included in ledger."
    )
    missing: list[MissingBalance] = strawberry.field(
        metadata=list_size(TYPICAL_SIZE),
        description="The accounts that could not be read, sorted by id.",
    )
    oldest_observed_at: datetime | None = strawberry.field(
        description="When the oldest balance in the total was observed; null if it has none."
    )


def build_currency_total(total: service.CurrencyTotal) -> CurrencyTotal:
    """Build the GraphQL object of a total."""
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
