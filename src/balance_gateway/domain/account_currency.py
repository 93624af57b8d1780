"""The rule that an amount counts only in the currency of its account.

An account's currency comes from the configuration, and amounts outlive it: in the journal, in the
embedded ledger. A number is never shown, compared or added under another currency than its own.
"""

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.errors import ProviderBadResponse


def require_currency(account: Account, opening: OpeningBalance) -> OpeningBalance:
    """Return the stored opening balance of an account.

    Raises:
        ProviderBadResponse: it was set while the account was configured in another currency.
    """
    if opening.amount.currency != account.currency:
        raise build_other_opening_currency(account, opening.amount.currency)
    return opening


def build_other_opening_currency(account: Account, stored: str) -> ProviderBadResponse:
    """Build the error of an opening balance that was set in the currency ``stored``."""
    return _build_error(
        account,
        f"The opening balance was set in {stored}, but the account is configured in"
        f" {account.currency}: set the opening balance again, or configure {stored}.",
    )


def build_other_entries_currency(account: Account, stored: str) -> ProviderBadResponse:
    """Build the error of entries that were imported in the currency ``stored``."""
    return _build_error(
        account,
        f"The account's entries are in {stored}, but the account is configured in"
        f" {account.currency}: configure {stored}, and add an account with another id for"
        f" amounts in {account.currency}.",
    )


def _build_error(account: Account, message: str) -> ProviderBadResponse:
    return ProviderBadResponse(message, account_id=account.id, provider=account.provider.name)
