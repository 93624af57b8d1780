"""Speaks to Layer: opening balances one by one, balances as one ledger tree per business.

Source: docs.layerfi.com, v1: ``GET …/external-accounts/{id}/opening-balance``, ``GET …/ledger/
balances``, ``POST …/custom-accounts/{id}/balance`` and ``…/opening-balance``, ``GET /whoami``.
Units: "integer … in cents".
Dates: ``end_date`` is exclusive: the first instant of the next day in the account's zone.
Auth: client credentials with HTTP Basic at a token URL of its own, or a fixed bearer token.

* "Content-Type must be set to application/json", on reads too.
* The opening-balance page shows a bare object, the JSON-data page ``data`` xor ``errors``: both
  are taken, and ``errors`` is a failure whatever the status. ``error_enum`` is "a stable,
  machine-readable identifier": it is kept as ``provider_code``; descriptions are not shown.
* Setting is two calls for custom accounts: "sets the balance of the account at a specific time",
  then "overwrite the opening balance … based on the current balance and the transaction history".
  When the first is done and the second fails, something may have been applied. Other accounts
  have only the route of Layer's own client (``upsert_route = "bank_account"``), on no page.

Undocumented: the status of ``NoOpeningBalanceFound``; with 2xx, 400 or 404 it means None.
Undocumented: the sign of an opening balance; taken to be on the account's normal side, as ledger
balances are, so that a card owing 500 opens at +500 there and −500 here.
Undocumented: "cents" of a currency without two decimals; taken as its minor units, and no
amount outside of int64 is sent. Undocumented: precision of ``effective_at``; see ``same_instant``.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

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
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderError,
    ProviderUnavailable,
    Unsupported,
    with_account,
)
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.provider_call import (
    CallGate,
    OnCall,
)
from balance_gateway.providers import json_fields, layer_responses
from balance_gateway.providers.authorization import basic, build_authorization
from balance_gateway.providers.errors import ProviderResponse
from balance_gateway.providers.http import TIMEOUT_S, ProviderHTTP, reading
from balance_gateway.providers.layer_ledger import NOT_OFFERED, LayerLedger, external_path
from balance_gateway.providers.preconditions import (
    effective_at,
    first_instant_after,
    instant_text,
    optional_remote_id,
    own_currency,
    refuse_notes,
    remote_id,
    within_int64,
)

CAPABILITIES = frozenset(
    {
        Capability.READ_LEDGER_BALANCE,
        Capability.READ_OPENING_BALANCE,
        Capability.WRITE_OPENING_BALANCE,
        Capability.CHOOSE_EFFECTIVE_AT,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSettings:
    """A connector to Layer.

    Attributes:
        base_url: ``https://api.layerfi.com``, or the sandbox's.
        token_url: ``https://auth.layerfi.com/oauth2/token``; needed with client credentials.
        scope: such as ``https://api.layerfi.com/production``; None to ask for none.
        client_id: with ``client_secret``, for tokens.
        client_secret: see there.
        access_token: a fixed token instead of the two.
        reporting_basis: the accounting basis of balances.
        upsert_route: None or ``custom_account`` for the documented route, which needs the
            account's ``custom_account_id``; ``bank_account`` for the route of Layer's own client,
            which needs its ``bank_account_id``.
        timeout_s: seconds for a whole call; a write of the documented route makes two.
        redirect_hosts: other hosts that may be redirected to, and get the credentials.
    """

    base_url: str
    token_url: str | None = None
    scope: str | None = None
    client_id: Secret | None = None
    client_secret: Secret | None = None
    access_token: Secret | None = None
    reporting_basis: Literal["ACCRUAL", "CASH"] = "ACCRUAL"
    upsert_route: Literal["custom_account", "bank_account"] | None = None
    timeout_s: float = TIMEOUT_S
    redirect_hosts: tuple[str, ...] = ()


class LayerProvider:
    """One connector to Layer. It remembers normal sides and ledger account ids, nothing else."""

    kind = ProviderKind.LAYER
    capabilities = CAPABILITIES

    def __init__(
        self,
        connector: str,
        settings: LayerSettings,
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
        self._ledger = LayerLedger(self._http, clock, settings.reporting_basis)
        if settings.access_token is None and settings.token_url is None:
            raise ValueError("Layer takes client_id and client_secret with a token_url")
        self._http.authorize_with(build_authorization(settings, self._token, clock, who="Layer"))

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """A business at one instant."""
        business_id = query.account.remote.get("business_id", query.account)
        return business_id, first_instant_after(query.account, query.as_of)

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """The books' figures, from one ledger tree; the bank's are always None.

        A parent's balance includes its children's, as Layer gives it.
        """
        return await self._ledger.figures(queries)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """The opening balance with all that Layer keeps of it. None: none is set."""
        path = external_path(account)
        answer = await self._http.send("opening-balance read", "GET", *path, "opening-balance")
        if layer_responses.is_not_set(answer):
            return None
        record = layer_responses.unwrap_data(answer, self._clock())
        side = await self.normal_balance(account)
        with reading(answer):
            return layer_responses.parse_opening_balance(record, account.currency, side)

    async def normal_balance(self, account: Account) -> Side:
        """As configured, else the ``normality`` of the configured ``ledger_account_id``.

        DEBIT where no ledger account is configured, or Layer does not offer its tree.
        """
        return await self._ledger.side(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Sets it by the configured route, and compares what is answered with what was sent."""
        account = write.account
        refuse_notes(write, "Layer")
        at = effective_at(write)
        held = own_currency(write)
        business_id = remote_id(account, "business_id")
        by_bank_account = self._settings.upsert_route == "bank_account"
        key = "bank_account_id" if by_bank_account else "custom_account_id"
        account_id = optional_remote_id(account, key)
        if account_id is None:
            message = (
                f"Layer has no route to set this account's opening balance: configure its {key}"
                + ("." if by_bank_account else ', or the connector\'s upsert_route "bank_account".')
            )
            raise Unsupported(message, account_id=account.id, provider=self.kind.name)
        side = await self.normal_balance(account)
        cents = within_int64(held * side.holder_sign(), write, "Layer")
        resource = "bank-accounts" if by_bank_account else "custom-accounts"
        path = ("v1", "businesses", business_id, resource, account_id)
        if by_bank_account:
            body = {"effective_at": instant_text(at), "balance": cents}
            answer = await self._post((*path, "opening-balance"), body)
        else:
            answer = await self._state_and_recalculate(path, cents, instant_text(at))
        record = layer_responses.unwrap_data(answer, self._clock())
        with reading(answer):
            if by_bank_account and not layer_responses.has_balance(record):
                return OpeningBalance(write.amount, at, OpeningBalanceSource.PROVIDER)
            stored = layer_responses.parse_opening_balance(record, account.currency, side)
            if stored.amount != write.amount:
                raise json_fields.WrongShape("balance is not the one that was sent")
            if stored.effective_at is None or not json_fields.same_instant(stored.effective_at, at):
                raise json_fields.WrongShape("effective_at is not the one that was sent")
        return stored

    async def probe(self) -> None:
        """Asks who we are.

        Raises:
            Unsupported: the address answers, and does not offer the question: nothing is shown.
            GatewayError: address or credentials do not work.
        """
        answer = await self._http.send("probe", "GET", "whoami")
        if answer.status in NOT_OFFERED:
            message = "Layer answers at this address, and does not tell who is asking there."
            raise Unsupported(message, provider=self.kind.name)
        layer_responses.unwrap_data(answer, self._clock())

    async def aclose(self) -> None:
        """Closes connections."""
        await self._ledger.aclose()
        await self._http.aclose()

    async def _token(self, client_id: Secret, client_secret: Secret) -> ProviderResponse:
        form = {"grant_type": "client_credentials", "client_id": client_id.reveal()}
        if self._settings.scope is not None:
            form["scope"] = self._settings.scope
        assert self._settings.token_url is not None
        proof = basic(client_id, client_secret)
        return await self._http.send_form("token request", self._settings.token_url, form, proof)

    async def _post(
        self, path: tuple[str, ...], body: dict[str, object] | None
    ) -> ProviderResponse:
        return await self._http.send(
            "opening-balance write", "POST", *path, body=body, empty_ok=True
        )

    async def _state_and_recalculate(
        self, path: tuple[str, ...], cents: int, at: str
    ) -> ProviderResponse:
        """Both calls of the documented route; a failure of the second may have been applied."""
        stated = await self._post((*path, "balance"), {"amount": cents, "date": at})
        layer_responses.unwrap_data(stated, self._clock())
        try:
            answer = await self._post((*path, "opening-balance"), None)
            layer_responses.unwrap_data(answer, self._clock())
        except ProviderError as error:
            # A copy: an error of a token's renewal is shared by all that wait for the token.
            raise partial_write_error(error) from error
        except GatewayError as error:
            raise partial_write_error(
                ProviderUnavailable(error.message, provider=self.kind.name)
            ) from error
        return answer


def partial_write_error(error: ProviderError) -> ProviderError:
    """A copy of the second call's error that says that the first was taken."""
    copy = with_account(error)
    assert isinstance(copy, ProviderError)
    copy.maybe_applied = True
    copy.message += " Layer took the balance and may not have recalculated the opening balance."
    copy.args = (copy.message,)
    return copy
