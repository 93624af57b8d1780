"""Adapter for Layer: single opening balances, and balances as one ledger tree per business.

Source: docs.layerfi.com, v1: ``GET …/external-accounts/{id}/opening-balance``, ``GET …/ledger/
balances``, ``POST …/custom-accounts/{id}/balance`` and ``…/opening-balance``, ``GET /whoami``.
Units: "integer … in cents".
Dates: ``end_date`` is exclusive: the first instant of the next day in the account's zone.
Auth: client credentials with HTTP Basic at a separate token URL, or a fixed bearer token.

* "Content-Type must be set to application/json", on reads too.
* The opening-balance page shows a bare object, the JSON-data page ``data`` xor ``errors``: both
  are accepted, and ``errors`` is a failure whatever the status. ``error_enum`` is "a stable,
  machine-readable identifier": it is kept as ``provider_code``; descriptions are not shown.
* For custom accounts a write is two calls: "sets the balance of the account at a specific time",
  then "overwrite the opening balance … based on the current balance and the transaction history".
  If the first succeeds and the second fails, the write may have been applied in part. Other
  accounts have only the route of Layer's own client (``upsert_route = "bank_account"``), which no
  page documents.

Undocumented: the status of ``NoOpeningBalanceFound``. With 2xx, 400 or 404 it means None.
Undocumented: the sign of an opening balance. It is assumed to be on the account's normal side, as
ledger balances are, so that a card owing 500 opens at +500 there and −500 here.
Undocumented: the normal side of an account without an entry in the ledger tree, with several, or
with another ``normality``. It is not known then, and an opening balance is refused.
Undocumented: "cents" of a currency without two decimals. They are assumed to be its minor units;
no amount outside of int64 is sent.
Undocumented: the precision of ``effective_at``; see ``is_same_instant``.
"""

from collections.abc import Hashable, Sequence
from typing import Literal

from balance_gateway.config.connector_settings import HttpConnectorSettings
from balance_gateway.config.errors import InvalidSetting
from balance_gateway.config.http_urls import HttpUrl
from balance_gateway.config.value_types import Text
from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.calendar_days import Clock, format_instant
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderError,
    ProviderUnavailable,
    Unsupported,
)
from balance_gateway.domain.remote_accounts import RemoteAccountList
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.account_lister import RunCall
from balance_gateway.ports.provider_call import CallGate, OnCall
from balance_gateway.ports.side_store import SideStore
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.authorization import build_authorization, build_basic_header
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.errors import ProviderResponse
from balance_gateway.providers.http.preconditions import (
    find_remote_id,
    get_first_instant_after,
    reject_notes,
    require_account_currency,
    require_effective_at,
    require_int64,
    require_remote_id,
)
from balance_gateway.providers.http.side_lookup import SideLookup
from balance_gateway.providers.layer import responses
from balance_gateway.providers.layer.account_list import LayerAccountList
from balance_gateway.providers.layer.bank_feed import LayerBankFeeds
from balance_gateway.providers.layer.ledger_tree import (
    NOT_OFFERED_STATUSES,
    LayerLedger,
    build_external_path,
)
from balance_gateway.transport import Transport, build_transport

CAPABILITIES = frozenset(
    {
        Capability.READ_LEDGER_BALANCE,
        Capability.READ_OPENING_BALANCE,
        Capability.WRITE_OPENING_BALANCE,
        Capability.CHOOSE_EFFECTIVE_AT,
        Capability.READ_BANK_FEED,
    }
)


class LayerSettings(
    HttpConnectorSettings,
    frozen=True,
    kw_only=True,
    tag_field="provider",
    tag=ProviderKind.LAYER.value,
):
    """Settings of a connector to Layer (``base_url``: ``https://api.layerfi.com``).

    Attributes:
        client_id: Together with ``client_secret``, for tokens of ``token_url``.
        client_secret: See ``client_id``.
        token_url: ``https://auth.layerfi.com/oauth2/token``; required with client credentials.
        scope: Scope of tokens, such as ``https://api.layerfi.com/production``; none by default.
        reporting_basis: Accounting basis of balances.
        upsert_route: None or ``custom_account`` for the documented route, which requires the
            account's ``custom_account_id``; ``bank_account`` for the route of Layer's own client,
            which requires its ``bank_account_id``.
    """

    own_credentials = ("client_id", "client_secret", "token_url")

    client_id: Secret | None = None
    client_secret: Secret | None = None
    token_url: HttpUrl | None = None
    scope: Text | None = None
    reporting_basis: Literal["ACCRUAL", "CASH"] = "ACCRUAL"
    upsert_route: Literal["custom_account", "bank_account"] | None = None

    def __post_init__(self) -> None:
        """Check the credentials also for what the token endpoint's Basic header can carry."""
        super().__post_init__()
        # RFC 7617, 2: "a user-id containing a colon character is invalid".
        if self.client_id is not None and ":" in self.client_id.reveal():
            raise InvalidSetting("client_id", "must not contain a colon")


def get_write_id_key(settings: LayerSettings) -> str:
    """Return the key of the id that an account needs for writes by the configured route."""
    return "bank_account_id" if settings.upsert_route == "bank_account" else "custom_account_id"


class LayerProvider:
    """One connector to Layer. It caches normal sides and ledger account ids, nothing else."""

    kind = ProviderKind.LAYER
    capabilities = CAPABILITIES

    def __init__(
        self,
        connector: str,
        settings: LayerSettings,
        *,
        clock: Clock,
        transport: Transport | None = None,
        on_call: OnCall | None = None,
        gate: CallGate | None = None,
        sides: SideStore | None = None,
    ) -> None:
        """Build the HTTP client; no connection is opened. See ``ProviderHTTP`` for the arguments.

        ``sides`` remembers normal sides; None remembers nothing.

        Raises:
            ValueError: A setting is invalid; the text names it and contains no secret.
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
            transport=transport
            or build_transport(
                settings.transport, settings, concurrency_max=settings.max_concurrency
            ),
            on_call=on_call,
            gate=gate,
        )
        self._bank_feeds = LayerBankFeeds(self._http, clock)
        self._account_list = LayerAccountList(
            self._http, clock, settings.reporting_basis, get_write_id_key(settings)
        )
        self._ledger = LayerLedger(self._http, clock, settings.reporting_basis, SideLookup(sides))
        self._http.authorize_with(build_authorization(settings, self._request_token, clock))

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """Group queries by business and instant."""
        business_id = query.account.remote.get("business_id", query.account)
        return business_id, get_first_instant_after(query.account, query.as_of)

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Read ledger balances from one ledger tree; bank balances are always None.

        A parent's balance includes its children's, as in Layer's response.

        Args:
            queries: Queries of one group, see ``balance_group``.

        Returns:
            Figures or an error for each query, in the order of the queries.
        """
        return await self._ledger.read_figures(queries)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Read the opening balance with every field that Layer stores; None if none is set."""
        path = build_external_path(account)
        response = await self._http.send("opening-balance read", "GET", *path, "opening-balance")
        if responses.is_opening_balance_unset(response):
            return None
        record = responses.unwrap_data(response, self._clock())
        side = await self.normal_balance(account)
        with parsing_response(response):
            return responses.parse_opening_balance(record, account, side)

    async def normal_balance(self, account: Account) -> Side:
        """Return the configured side, else ``normality`` of the ledger account, else what it was.

        The ledger account is the configured one, or the external account's.
        """
        return await self._ledger.get_side(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Set it by the configured route, and compare the response with the sent values."""
        account = write.account
        reject_notes(write, "Layer")
        at = require_effective_at(write)
        minor_units = require_account_currency(write)
        business_id = require_remote_id(account, "business_id")
        by_bank_account = self._settings.upsert_route == "bank_account"
        key = get_write_id_key(self._settings)
        account_id = find_remote_id(account, key)
        if account_id is None:
            message = (
                f"Layer cannot set this account's opening balance: configure the account's {key}"
                + ("." if by_bank_account else ', or the connector\'s upsert_route "bank_account".')
            )
            raise Unsupported(message, account_id=account.id, provider=self.kind.name)
        # Read before anything is sent, so that a failure leaves no partial write.
        side = await self.normal_balance(account)
        cents = require_int64(minor_units * side.holder_sign(), write, "Layer")
        resource = "bank-accounts" if by_bank_account else "custom-accounts"
        path = ("v1", "businesses", business_id, resource, account_id)
        if by_bank_account:
            body = {"effective_at": format_instant(at), "balance": cents}
            response = await self._post((*path, "opening-balance"), body)
        else:
            response = await self._set_then_recalculate(path, cents, format_instant(at))
        record = responses.unwrap_data(response, self._clock())
        with parsing_response(response):
            # The undocumented route may respond without the opening balance.
            if by_bank_account and not responses.has_balance(record):
                return OpeningBalance(write.amount, at, OpeningBalanceSource.PROVIDER)
            stored = responses.parse_opening_balance(record, account, side)
            # Layer recalculates the opening balance from the transactions: it may differ.
            if stored.amount != write.amount:
                raise json_fields.MalformedResponse("balance differs from the sent one")
            stored_at = stored.effective_at
            if stored_at is None or not json_fields.is_same_instant(stored_at, at):
                raise json_fields.MalformedResponse("effective_at differs from the sent one")
        return stored

    def bank_feed_group(self, account: Account) -> Hashable:
        """Group accounts by business."""
        return account.remote.get("business_id", account)

    async def bank_feeds(
        self, accounts: Sequence[Account]
    ) -> Sequence[BankFeed | GatewayError | None]:
        """Read the bank feeds of one business from its external accounts."""
        return await self._bank_feeds.read(accounts)

    async def list_accounts(self, businesses: Sequence[str], run: RunCall) -> RemoteAccountList:
        """List the external accounts of the businesses, with the ids that writes need."""
        return await self._account_list.read(businesses, run)

    async def probe(self) -> None:
        """Request ``whoami`` to check address and credentials.

        Raises:
            Unsupported: The address responds but does not offer this endpoint; the probe proves
                nothing.
            GatewayError: The address or the credentials do not work.
        """
        response = await self._http.send("probe", "GET", "whoami")
        if response.status in NOT_OFFERED_STATUSES:
            message = "Layer responds at base_url but does not offer whoami."
            raise Unsupported(message, provider=self.kind.name)
        responses.unwrap_data(response, self._clock())

    async def aclose(self) -> None:
        """Close all connections."""
        await self._ledger.aclose()
        await self._http.aclose()

    async def _request_token(self, client_id: Secret, client_secret: Secret) -> ProviderResponse:
        form = {"grant_type": "client_credentials", "client_id": client_id.reveal()}
        if self._settings.scope is not None:
            form["scope"] = self._settings.scope
        assert self._settings.token_url is not None
        header = build_basic_header(client_id, client_secret)
        return await self._http.send_form("token request", self._settings.token_url, form, header)

    async def _post(
        self, path: tuple[str, ...], body: dict[str, object] | None
    ) -> ProviderResponse:
        return await self._http.send(
            "opening-balance write", "POST", *path, body=body, empty_ok=True
        )

    async def _set_then_recalculate(
        self, path: tuple[str, ...], cents: int, at: str
    ) -> ProviderResponse:
        """Make both calls of the documented route.

        Raises:
            GatewayError: A call failed; ``maybe_applied`` is set if it was the second one.
        """
        balance_response = await self._post((*path, "balance"), {"amount": cents, "date": at})
        responses.unwrap_data(balance_response, self._clock())
        try:
            response = await self._post((*path, "opening-balance"), None)
            responses.unwrap_data(response, self._clock())
        except ProviderError as error:
            raise responses.build_partial_write_error(error) from error
        except GatewayError as error:
            # Only a ProviderError has maybe_applied.
            raise responses.build_partial_write_error(
                ProviderUnavailable(error.message, provider=self.kind.name)
            ) from error
        return response
