"""Adapter for the embedded ledger: opening balances and entries in the gateway's own database.

Source: the same meaning as Light's "Get bank account balance": "The bank balance is derived
    from the opening balance plus all bank transactions on or before ``asOf``; the ledger balance
    is the sum of ledger transaction lines posted on or before ``asOf``".
Units: integers of minor units, of any size; positive is money the holder has.
Dates: an entry counts from its day on, whatever the time zone. The opening balance counts from the
    day of its ``effective_at`` in the account's time zone on, and contains what happened before:
    before that day there is no bank balance, and bank transactions dated before it do not count.
    Those dated on that day count, at whatever time the opening balance takes effect.
Currency: the one in which the opening balance was set, and the entries were first imported. An
    account that is configured in another one later has no figures: nothing is re-labelled.
Side: the configured one or not known; amounts are the holder's and need none.
Auth: none.
"""

from collections.abc import Hashable, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from balance_gateway.domain.account_currency import (
    build_other_entries_currency,
    build_other_opening_currency,
    require_currency,
)
from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    MissingReason,
    OpeningBalance,
    OpeningBalanceWrite,
)
from balance_gateway.domain.errors import BadInput, GatewayError, ProviderRejected
from balance_gateway.domain.evidence import Figure, RawUnit
from balance_gateway.domain.ledger import Sums
from balance_gateway.domain.money import Money
from balance_gateway.ports.evidence import current_evidence
from balance_gateway.ports.ledger_store import LedgerStore, OtherCurrency
from balance_gateway.providers.http.side_lookup import require_configured_side

CAPABILITIES = frozenset(
    {
        Capability.READ_BANK_BALANCE,
        Capability.READ_LEDGER_BALANCE,
        Capability.READ_OPENING_BALANCE,
        Capability.WRITE_OPENING_BALANCE,
        Capability.CHOOSE_EFFECTIVE_AT,
        Capability.WRITE_MEMO,
    }
)


class LocalProvider:
    """Implements ``BalanceProvider`` and ``StoredBalancesReader`` over a ``LedgerStore``.

    Args:
        connector: Name of the connector.
        store: Stores the ledger. The caller closes it.
    """

    kind = ProviderKind.LOCAL
    capabilities = CAPABILITIES

    def __init__(self, connector: str, store: LedgerStore) -> None:
        self.connector = connector
        self._store = store

    def balance_group(self, query: BalanceQuery) -> Hashable:  # noqa: ARG002
        """Return one group for all queries of the connector: the store reads them in one query."""
        return self.connector

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Read the balances.

        Returns:
            Figures for each query, in the order of the queries. ``bank`` is None if no opening
            balance is set, or before its day; ``ledger`` is never None, and 0 without entries. An
            error where the opening balance or the entries are in another currency than the account.
        """
        if (evidence := current_evidence()) is not None:
            tables = "tables ledger_opening_balances and ledger_days of the gateway's storage"
            evidence.add_call("balance read", None, tables, {})
        sums = await self._store.sums(queries)
        return [_build_figures(query, one) for query, one in zip(queries, sums, strict=True)]

    def read_balances_now(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError] | None:
        """Read the balances as ``balances`` does, if that needs no waiting, else return None."""
        sums = self._store.sums_now(queries)
        if sums is None:
            return None
        return [_build_figures(query, one) for query, one in zip(queries, sums, strict=True)]

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Read the opening balance; None if none is set.

        Raises:
            ProviderBadResponse: It was set while the account was configured with another currency.
        """
        opening = await self._store.opening_balance(account)
        if (evidence := current_evidence()) is not None:
            table = "table ledger_opening_balances of the gateway's storage"
            evidence.add_call("opening-balance read", None, table, {})
            stored = {} if opening is None else {"minor_units": opening.amount.minor_units}
            rule = "as it is: positive is the holder's money"
            figure, unit = Figure.OPENING_BALANCE, RawUnit.MINOR_UNITS
            evidence.set_figure(figure, stored, ["minor_units"], unit, rule)
        return None if opening is None else require_currency(account, opening)

    async def opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[OpeningBalance | GatewayError | None]:
        """Read the opening balances of several accounts; see ``opening_balance``.

        Returns:
            One item per account, in order. An error where the opening balance was set while the
            account was configured with another currency.
        """
        found = await self._store.opening_balances(accounts)
        return [
            None if opening is None else _check_currency(account, opening)
            for account, opening in zip(accounts, found, strict=True)
        ]

    async def normal_balance(self, account: Account) -> Side:
        """Return the configured normal side.

        Raises:
            SideUnknown: No side is configured.
        """
        return require_configured_side(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Replace the opening balance and return the new one.

        Without ``effective_at`` it is effective from now on.

        Raises:
            BadInput: The amount is not in the account's currency, or a text contains a character
                that cannot be stored; nothing was set.
            ProviderRejected: The account's entries are in another currency; nothing was set.
        """
        if write.amount.currency != write.account.currency:
            message = f"amount must be in {write.account.currency}"
            raise BadInput(message, field="amount", account_id=write.account.id)
        for field, text in (
            ("memo", write.memo),
            ("referenceNumber", write.reference_number),
        ):
            # Checked here, because the databases differ in how they reject such a text.
            if text is not None and not is_storable(text):
                message = f"{field} contains a NUL or a lone surrogate, which cannot be stored"
                raise BadInput(message, field=field, account_id=write.account.id)
        try:
            return await self._store.set_opening_balance(write)
        except OtherCurrency as error:
            raise ProviderRejected(
                error.error.message,
                field="amount.currency",
                account_id=write.account.id,
                provider=self.kind.name,
            ) from error

    async def probe(self) -> None:
        """Read an account that does not exist, to check the store."""
        missing_account = Account(
            id="",
            tenant="",
            connector=self.connector,
            provider=ProviderKind.LOCAL,
            name="",
            currency="EUR",
            time_zone=ZoneInfo("UTC"),
        )
        await self._store.sums([BalanceQuery(missing_account, date(2000, 1, 1))])

    async def aclose(self) -> None:
        """Do nothing: the caller closes the store."""


def is_storable(text: str) -> bool:
    """Return whether every supported database can store the text: valid UTF-8 without NUL."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _check_currency(account: Account, opening: OpeningBalance) -> OpeningBalance | GatewayError:
    try:
        return require_currency(account, opening)
    except GatewayError as error:
        return error


def _build_figures(query: BalanceQuery, sums: Sums) -> BalanceFigures | GatewayError:
    currency = query.account.currency
    # Also where there are no entries to add: the account's amounts are not in this currency.
    if sums.entries_currency not in (None, currency):
        return build_other_entries_currency(query.account, sums.entries_currency)
    if sums.opening_currency not in (None, currency):
        return build_other_opening_currency(query.account, sums.opening_currency)
    bank, missing = None, None
    # Without an opening balance the bank balance is unknown, and not the sum of transactions.
    if sums.opening is None:
        missing = MissingReason.NO_OPENING_BALANCE
    elif sums.opening_day is not None and query.as_of < sums.opening_day:
        missing = MissingReason.BEFORE_OPENING
    else:
        bank = Money(sums.opening + sums.bank, currency)
    _explain(query.as_of, sums)
    return BalanceFigures(
        as_of=query.as_of,
        bank=bank,
        ledger=Money(sums.ledger, currency),
        bank_missing=missing,
        remote_path=(query.account.id,),
    )


def _explain(as_of: date, sums: Sums) -> None:
    if (evidence := current_evidence()) is None:
        return
    evidence.set_bound("day", as_of.isoformat(), is_inclusive=True)
    # Without an opening balance there is no bank figure, and no day from which to count.
    since = "" if sums.opening_day is None else f" from {sums.opening_day} on"
    entries = f"bank transactions{since}"
    raw = {"opening balance": sums.opening, entries: sums.bank, "ledger lines": sums.ledger}
    unit = RawUnit.MINOR_UNITS
    names = ("opening balance", entries)
    evidence.set_figure(Figure.BANK, raw, names, unit, "opening balance + bank transactions")
    evidence.set_figure(Figure.LEDGER, raw, ["ledger lines"], unit, "the sum of all lines")
