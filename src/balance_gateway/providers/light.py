"""Speaks to Light: one call per account and day gives the bank's figure and the books'.

Source: docs.light.inc, v1 - Bank Accounts: ``GET`` and ``PUT /v1/bank-accounts/{id}/balance``.
Units: "Balance amount in minor units (e.g. cents)", int64. + is money in the bank.
Dates: ``asOf`` is a date, inclusive: "all bank transactions on or before `asOf`".
Auth: "Basic authentication header of the form **Basic** **<api_key>**" (the key itself, not
base64), or a bearer token.

* ``asOf`` "defaults to today" and ``balanceAt`` "defaults to current timestamp if not provided":
  both are always sent, since nobody says whose today it is, and a correction of the amount alone
  would move the opening date.
* ``bankBalance`` is "null if no opening balance has been set": None, which is neither 0 nor
  missing. ``ledgerBalance`` is not nullable.
* No success status is stated (``default``): any 2xx is one.
* There is no read of the opening balance. By the documented formula the bank's balance on a day
  before the first transaction *is* the opening balance; which day that is, the account's owner has
  to vouch for (``derive_opening_balance_as_of``). Its date cannot be recovered.

Undocumented: an answer without ``bankBalance``, ``ledgerBalance`` or ``currency`` is refused: a
missing member says nothing. ``bankAccountId`` and ``asOf`` are compared where they are there.
Undocumented: whether minor units follow ISO 4217 for currencies without two decimals; they are
taken to. Undocumented: the books' sign for what is owed; + is taken as the holder's.
Undocumented: how precisely ``balanceAt`` is kept; an echo within a second of it is the same.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import date

import httpx

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import GatewayError, Unsupported, with_account
from balance_gateway.domain.money import Money
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.provider_call import (
    CallGate,
    OnCall,
)
from balance_gateway.providers import json_fields
from balance_gateway.providers.authorization import FixedAuthorization
from balance_gateway.providers.errors import ProviderResponse, build_refusal
from balance_gateway.providers.http import TIMEOUT_S, ProviderHTTP, reading
from balance_gateway.providers.preconditions import (
    effective_at,
    instant_text,
    own_currency,
    refuse_notes,
    remote_id,
    within_int64,
)

CAPABILITIES = frozenset(
    {
        Capability.READ_BANK_BALANCE,
        Capability.READ_LEDGER_BALANCE,
        Capability.WRITE_OPENING_BALANCE,
        Capability.CHOOSE_EFFECTIVE_AT,
    }
)

_HINT = "Check the account's bank_account_id."


@dataclass(frozen=True, slots=True, kw_only=True)
class LightSettings:
    """A connector to Light.

    Attributes:
        base_url: ``https://api.light.inc``.
        api_key: sent as ``Authorization: Basic <api_key>``.
        access_token: sent as ``Authorization: Bearer <access_token>``; exactly one of the two.
        timeout_s: seconds for a whole call.
        redirect_hosts: other hosts that may be redirected to, and get the credentials.
    """

    base_url: str
    api_key: Secret | None = None
    access_token: Secret | None = None
    timeout_s: float = TIMEOUT_S
    redirect_hosts: tuple[str, ...] = ()


class LightProvider:
    """One connector to Light."""

    kind = ProviderKind.LIGHT
    capabilities = CAPABILITIES

    def __init__(
        self,
        connector: str,
        settings: LightSettings,
        *,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        on_call: OnCall | None = None,
        gate: CallGate | None = None,
    ) -> None:
        """Takes what ``ProviderHTTP`` takes; connects to nothing yet.

        Raises:
            ValueError: a setting is wrong; the text names it and shows no secret.
        """
        self.connector = connector
        self._clock = clock
        self._http = ProviderHTTP(
            connector,
            self.kind,
            settings.base_url,
            timeout_s=settings.timeout_s,
            redirect_hosts=settings.redirect_hosts,
            content_type="application/json;charset=UTF-8",
            transport=transport,
            on_call=on_call,
            gate=gate,
        )
        if (settings.api_key is None) == (settings.access_token is None):
            raise ValueError("Light takes either api_key or access_token")
        if settings.api_key is not None:
            fixed = FixedAuthorization("Basic", "api_key", settings.api_key)
        elif settings.access_token is not None:
            fixed = FixedAuthorization("Bearer", "access_token", settings.access_token)
        self._http.authorize_with(fixed)

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """Each account and day alone."""
        return query.account.id, query.as_of

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Both figures, one call for each account and day among the queries."""
        if len(queries) == 1:
            return [await self._balance(queries[0].account, queries[0].as_of)]
        groups = {self.balance_group(query): query for query in queries}
        if len(groups) == 1:
            figures = await self._balance(queries[0].account, queries[0].as_of)
            return [figures] * len(queries)
        answers = {key: await self._balance_or_error(query) for key, query in groups.items()}
        return [answers[self.balance_group(query)] for query in queries]

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Derived from the balance on the day that the account is configured with.

        None: on that day Light had no opening balance for it.
        """
        day = account.derive_opening_balance_as_of
        if day is None:
            message = (
                "Light cannot be asked for an opening balance. Set it through this gateway, or "
                "configure derive_opening_balance_as_of, a day before the first transaction."
            )
            raise Unsupported(message, account_id=account.id, provider=self.kind.name)
        figures = await self._balance(account, day)
        if figures.bank is None:
            return None
        return OpeningBalance(figures.bank, None, OpeningBalanceSource.DERIVED)

    async def normal_balance(self, account: Account) -> Side:
        """As configured; else DEBIT, because Light's figures are the holder's as they are."""
        return account.normal_balance or Side.DEBIT

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Sends one PUT with amount and date, and compares what is echoed with what was sent."""
        account = write.account
        bank_account_id = remote_id(account, "bank_account_id")
        refuse_notes(write, "Light")
        at = effective_at(write)
        balance = within_int64(own_currency(write), write, "Light")
        path = ("v1", "bank-accounts", bank_account_id, "balance")
        body = {"balance": balance, "balanceAt": instant_text(at)}
        answer = await self._http.send("opening-balance write", "PUT", *path, body=body)
        self._require_ok(answer, account)
        with reading(answer):
            record = json_fields.an_object(answer.body, "the answer")
            _same_account(record, bank_account_id, is_required=True)
            if json_fields.int64(record, "balance") != balance:
                raise json_fields.WrongShape("balance is not the one that was sent")
            stored_at = json_fields.instant(record, "balanceAt")
            if not json_fields.same_instant(stored_at, at):
                raise json_fields.WrongShape("balanceAt is not the one that was sent")
        return OpeningBalance(write.amount, stored_at, OpeningBalanceSource.PROVIDER)

    async def probe(self) -> None:
        """Lists the bank accounts.

        Raises:
            Unsupported: the address answers, and does not offer the list: nothing is shown.
            GatewayError: address or credentials do not work.
        """
        answer = await self._http.send("probe", "GET", "v1", "bank-accounts")
        if answer.status in {404, 405}:
            message = "Light answers at this address, and does not list bank accounts there."
            raise Unsupported(message, provider=self.kind.name)
        self._require_ok(answer)
        with reading(answer):
            json_fields.a_list(answer.body, "the answer")

    async def aclose(self) -> None:
        """Closes connections."""
        await self._http.aclose()

    async def _balance_or_error(self, query: BalanceQuery) -> BalanceFigures | GatewayError:
        try:
            return await self._balance(query.account, query.as_of)
        except GatewayError as error:
            return with_account(error, account_id=query.account.id)

    async def _balance(self, account: Account, as_of: date) -> BalanceFigures:
        bank_account_id = remote_id(account, "bank_account_id")
        path = ("v1", "bank-accounts", bank_account_id, "balance")
        query = {"asOf": as_of.isoformat()}
        answer = await self._http.send("balance read", "GET", *path, query=query)
        self._require_ok(answer, account)
        with reading(answer):
            record = json_fields.an_object(answer.body, "the answer")
            _same_account(record, bank_account_id, is_required=False)
            if json_fields.text(record, "currency") != account.currency:
                raise json_fields.WrongShape(f"currency is not the account's, {account.currency}")
            if record.get("asOf") is not None and json_fields.day(record, "asOf") != as_of:
                raise json_fields.WrongShape("asOf is another day than the one asked for")
            bank = json_fields.nullable_int64(record, "bankBalance")
            ledger = json_fields.int64(record, "ledgerBalance")
        return BalanceFigures(
            as_of=as_of,
            bank=None if bank is None else Money(bank, account.currency),
            ledger=Money(ledger, account.currency),
        )

    def _require_ok(self, answer: ProviderResponse, account: Account | None = None) -> None:
        if not answer.ok:
            error = build_refusal(answer, self._clock(), hint=_HINT)
            raise with_account(error, account_id=account.id if account else None)


def _same_account(record: dict[str, object], wanted: str, *, is_required: bool) -> None:
    if record.get("bankAccountId") is None and not is_required:
        return
    if json_fields.text(record, "bankAccountId").lower() != wanted.lower():
        raise json_fields.WrongShape("bankAccountId is another account's")
