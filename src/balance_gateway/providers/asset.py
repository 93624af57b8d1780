"""Speaks to Asset: one trial balance serves every ledger of a business at one instant.

Source: docs.getasset.com, v0: ``PUT …/ledger/{id}/opening-balance``, ``GET …/reports/trial-
balance``, ``GET …/ledger/{id}``, ``GET /v0/business``.
Units: decimal major units; "anyOf: number, string". We send plain text and read numbers exactly.
Dates: ``end_datetime`` "required, inclusive": the day's last microsecond in the account's zone.
Auth: client credentials at ``POST /v0/auth/token`` (the "password flow" of the page is an
artefact), or a fixed bearer token.

* Sign: "Positive values represent the normal balance side of the ledger, negative values
  represent the opposite side." A card that owes 500 has +500 there and −500 here. A trial balance
  has both sides: debit − credit is the holder's view as it stands.
* The opening balance is "as of the business entries start date": a write cannot choose its date,
  and one that names another is refused, never quietly moved. There is no read of it.
* ``external_balance`` has no time of its own, so it is never put under a day: no bank figure.
* No currency is named anywhere; the account's configured one is used.

Undocumented: a ledger without a row in the trial balance. Rows tell ``has_entries``, so ledgers
without entries have one: a missing row is a wrong ``ledger_id``, an error and not zero.
Undocumented: the precision of ``end_datetime``; microseconds. ``basis`` is always sent.
Undocumented: "never set" and 0 look alike in a derived opening balance: it is 0 then, never None.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

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
from balance_gateway.domain.errors import BadInput, GatewayError, Unsupported, with_account
from balance_gateway.domain.money import Money, currency_exponent, decimal_text
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.provider_call import (
    CallGate,
    OnCall,
)
from balance_gateway.providers import json_fields
from balance_gateway.providers.asset_lookups import NOT_OFFERED, AssetLookups, unwrap_data
from balance_gateway.providers.authorization import build_authorization
from balance_gateway.providers.errors import ProviderResponse, build_refusal
from balance_gateway.providers.http import TIMEOUT_S, ProviderHTTP, reading
from balance_gateway.providers.preconditions import (
    effective_at,
    instant_text,
    last_instant,
    own_currency,
    refuse_notes,
    remote_id,
)

CAPABILITIES = frozenset({Capability.READ_LEDGER_BALANCE, Capability.WRITE_OPENING_BALANCE})


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSettings:
    """A connector to Asset.

    Attributes:
        base_url: ``https://api.getasset.com``, or the sandbox's.
        client_id: with ``client_secret``, for tokens of ``{base_url}/v0/auth/token``.
        client_secret: see there.
        access_token: a fixed token instead of the two.
        scope: asked for with a token; None for all that the client has.
        basis: the accounting basis of balances.
        entries_start: when the businesses' books start; None to ask Asset.
        timeout_s: seconds for a whole call.
        redirect_hosts: other hosts that may be redirected to, and get the credentials.
    """

    base_url: str
    client_id: Secret | None = None
    client_secret: Secret | None = None
    access_token: Secret | None = None
    scope: str | None = None
    basis: Literal["accrual", "modified_cash"] = "modified_cash"
    entries_start: datetime | None = None
    timeout_s: float = TIMEOUT_S
    redirect_hosts: tuple[str, ...] = ()


class AssetProvider:
    """One connector to Asset. It remembers the ledgers' normal sides, and nothing else."""

    kind = ProviderKind.ASSET
    capabilities = CAPABILITIES

    def __init__(
        self,
        connector: str,
        settings: AssetSettings,
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
        self._settings = settings
        self._clock = clock
        self._http = ProviderHTTP(
            connector,
            self.kind,
            settings.base_url,
            timeout_s=settings.timeout_s,
            redirect_hosts=settings.redirect_hosts,
            transport=transport,
            on_call=on_call,
            gate=gate,
        )
        self._lookups = AssetLookups(self._http, clock)
        self._http.authorize_with(build_authorization(settings, self._token, clock, who="Asset"))

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """A business at one instant."""
        business_id = query.account.remote.get("business_id", query.account)
        return business_id, last_instant(query.account, query.as_of)

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """The books' figures, from one trial balance; the bank's are always None."""
        account = queries[0].account
        business_id = remote_id(account, "business_id")
        query = {
            "end_datetime": instant_text(last_instant(account, queries[0].as_of)),
            "basis": self._settings.basis,
        }
        path = ("v0", "business", business_id, "reports", "trial-balance")
        answer = await self._http.send("balance read", "GET", *path, query=query)
        with reading(answer):
            rows = _rows_by_ledger(unwrap_data(answer, self._clock()))
        return [self._figures(answer, rows, one) for one in queries]

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Derived from the trial balance of the day that the account is configured with."""
        day = account.derive_opening_balance_as_of
        if day is None:
            message = (
                "Asset cannot be asked for an opening balance. Set it through this gateway, or "
                "configure derive_opening_balance_as_of, the day of the entries start."
            )
            raise Unsupported(message, account_id=account.id, provider=self.kind.name)
        [figures] = await self.balances([BalanceQuery(account, day)])
        if isinstance(figures, GatewayError):
            raise figures
        assert figures.ledger is not None
        return OpeningBalance(figures.ledger, None, OpeningBalanceSource.DERIVED)

    async def normal_balance(self, account: Account) -> Side:
        """As configured, else the ledger's ``debit_credit``; DEBIT where that is not offered."""
        if account.normal_balance is not None:
            return account.normal_balance
        business_id, ledger_id = (remote_id(account, key) for key in ("business_id", "ledger_id"))
        return await self._lookups.side(business_id, ledger_id)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Sends one PUT on the ledger's normal side, and compares the answer with it."""
        account = write.account
        business_id, ledger_id = (remote_id(account, key) for key in ("business_id", "ledger_id"))
        refuse_notes(write, "Asset")
        held = own_currency(write)
        if len(str(abs(held))) > json_fields.AMOUNT_DIGITS_MAX:
            raise BadInput("The amount has too many digits.", field="amount", account_id=account.id)
        starts = await self._checked_start(write, business_id)
        side = await self.normal_balance(account)
        sent = held * side.holder_sign()
        path = ("v0", "business", business_id, "ledger", ledger_id, "opening-balance")
        body = {"amount": decimal_text(sent, currency_exponent(account.currency))}
        answer = await self._http.send("opening-balance write", "PUT", *path, body=body)
        if answer.status == 422:
            hint = "Check the amount, and that the ledger takes an opening balance."
            raise build_refusal(answer, self._clock(), hint=hint, field="amount")
        with reading(answer):
            record = json_fields.an_object(unwrap_data(answer, self._clock()), "data")
            if json_fields.text(record, "ledger_id") != ledger_id:
                raise json_fields.WrongShape("ledger_id is another ledger's")
            if json_fields.major_units(record, "amount", account.currency) != sent:
                raise json_fields.WrongShape("amount is not the one that was sent")
        return OpeningBalance(write.amount, starts, OpeningBalanceSource.PROVIDER)

    async def probe(self) -> None:
        """Lists one business.

        Raises:
            Unsupported: the address answers, and does not offer the list: nothing is shown.
            GatewayError: address or credentials do not work.
        """
        answer = await self._http.send("probe", "GET", "v0", "business", query={"page_size": "1"})
        if answer.status in NOT_OFFERED:
            message = "Asset answers at this address, and does not list businesses there."
            raise Unsupported(message, provider=self.kind.name)
        unwrap_data(answer, self._clock())

    async def aclose(self) -> None:
        """Closes connections."""
        await self._lookups.aclose()
        await self._http.aclose()

    async def _token(self, client_id: Secret, client_secret: Secret) -> ProviderResponse:
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id.reveal(),
            "client_secret": client_secret.reveal(),
        }
        if self._settings.scope is not None:
            form["scope"] = self._settings.scope
        return await self._http.send_form(
            "token request", f"{self._http.base_url}/v0/auth/token", form
        )

    def _figures(
        self, answer: ProviderResponse, rows: dict[str, list[dict[str, Any]]], query: BalanceQuery
    ) -> BalanceFigures | GatewayError:
        account = query.account
        try:
            with reading(answer):
                own = rows.get(remote_id(account, "ledger_id"), [])
                if len(own) != 1:
                    what = "no row" if not own else "several rows"
                    raise json_fields.WrongShape(f"{what} for this ledger; check ledger_id")
                debit = json_fields.major_units(own[0], "debit", account.currency)
                credit = json_fields.major_units(own[0], "credit", account.currency)
        except GatewayError as error:
            return with_account(error, account_id=account.id)
        return BalanceFigures(query.as_of, None, Money(debit - credit, account.currency))

    async def _checked_start(self, write: OpeningBalanceWrite, business_id: str) -> datetime | None:
        """The entries start, if it is known or was asked for by the write's date.

        Raises:
            BadInput: the write names another date, or one that cannot be checked.
        """
        starts = self._settings.entries_start
        if write.effective_at is None:
            return starts
        wanted = effective_at(write)
        starts = starts or await self._lookups.entries_start(business_id)
        if starts != wanted:
            what = "an unknown instant" if starts is None else instant_text(starts)
            message = (
                f"Asset sets an opening balance as of the business's entries start, {what}: "
                "leave effectiveAt out, or give exactly that."
            )
            raise BadInput(message, field="effectiveAt", account_id=write.account.id)
        return starts


def _rows_by_ledger(data: Any) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for item in json_fields.a_list(data, "data"):
        row = json_fields.an_object(item, "a row")
        rows.setdefault(json_fields.text(row, "ledger_id"), []).append(row)
    return rows
