"""Adapter for Asset: one trial balance serves every ledger of a business at one instant.

Source: docs.getasset.com, v0: ``PUT …/ledger/{id}/opening-balance``, ``GET …/reports/trial-
balance``, ``GET …/ledger/{id}``, ``GET /v0/business``.
Units: decimal major units; "anyOf: number, string". Amounts are sent as plain text, and numbers
are read exactly.
Dates: ``end_datetime`` "required, inclusive": the day's last microsecond in the account's zone.
Auth: client credentials at ``POST /v0/auth/token`` (the "password flow" of the page is an
artefact), or a fixed bearer token.

* Sign: "Positive values represent the normal balance side of the ledger, negative values
  represent the opposite side." A card that owes 500 is +500 there and −500 here. A trial balance
  has both sides: debit − credit is already the holder's view.
* The opening balance is "as of the business entries start date": a write cannot choose its date,
  and a write with another date is rejected, never silently moved. It cannot be read.
* ``external_balance`` has no date, so it is never reported for a day: there is no bank balance.
  ``bank_feed.py`` reads it as the latest one.
* Asset names no currency; the account's configured currency is used.
* Side: ``debit_credit`` of the ledger. Where Asset does not offer the ledger (404, 405), the side
  is the one it reported earlier; without one a write is refused. Balances need no side.

Undocumented: a ledger without a row in the trial balance. Rows have ``has_entries``, so ledgers
without entries have a row: a missing row means a wrong ``ledger_id``, an error and not zero.
Undocumented: the precision of ``end_datetime``. It is sent in microseconds; ``basis`` is always
sent.
Undocumented: "never set" and 0 are indistinguishable in a derived opening balance. It is 0 then,
never None.
"""

from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from balance_gateway.config.connector_settings import HttpConnectorSettings
from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    MissingReason,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.calendar_days import Clock, format_instant
from balance_gateway.domain.errors import BadInput, GatewayError, Unsupported, with_account
from balance_gateway.domain.evidence import Figure, RawUnit
from balance_gateway.domain.money import Money, currency_exponent, decimal_text
from balance_gateway.domain.remote_accounts import RemoteAccountList
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.account_lister import RunCall
from balance_gateway.ports.evidence import current_evidence
from balance_gateway.ports.provider_call import CallGate, OnCall
from balance_gateway.ports.side_store import SideStore
from balance_gateway.providers.asset.account_list import AssetAccountList
from balance_gateway.providers.asset.bank_feed import AssetBankFeeds
from balance_gateway.providers.asset.lookups import (
    NOT_OFFERED_STATUSES,
    AssetLookups,
    index_rows_by_ledger,
    unwrap_data,
)
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.authorization import build_authorization
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.errors import ProviderResponse, build_refusal
from balance_gateway.providers.http.preconditions import (
    get_last_instant,
    reject_notes,
    require_account_currency,
    require_effective_at,
    require_remote_id,
)
from balance_gateway.providers.http.side_lookup import SideLookup
from balance_gateway.transport import Transport, build_transport

CAPABILITIES = frozenset(
    {
        Capability.READ_LEDGER_BALANCE,
        Capability.WRITE_OPENING_BALANCE,
        Capability.READ_BANK_FEED,
    }
)


class AssetSettings(
    HttpConnectorSettings,
    frozen=True,
    kw_only=True,
    tag_field="provider",
    tag=ProviderKind.ASSET.value,
):
    """Settings of a connector to Asset (``base_url``: ``https://api.getasset.com``).

    Attributes:
        client_id: Together with ``client_secret``, for tokens of ``{base_url}/v0/auth/token``.
        client_secret: See ``client_id``.
        basis: Accounting basis of balances.
        entries_start: Start of the businesses' entries, the instant of opening balances; read from
            Asset by default.
    """

    own_credentials = ("client_id", "client_secret")

    client_id: Secret | None = None
    client_secret: Secret | None = None
    basis: Literal["accrual", "modified_cash"] = "modified_cash"
    entries_start: Annotated[datetime, Meta(tz=True)] | None = None


class AssetProvider:
    """One connector to Asset. It caches the ledgers' normal sides and nothing else."""

    kind = ProviderKind.ASSET
    capabilities = CAPABILITIES

    def __init__(
        self,
        connector: str,
        settings: AssetSettings,
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
        self._lookups = AssetLookups(self._http, clock)
        self._bank_feeds = AssetBankFeeds(self._http, clock)
        self._account_list = AssetAccountList(self._http, clock)
        self._sides = SideLookup(sides)
        self._http.authorize_with(build_authorization(settings, self._request_token, clock))

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """Group queries by business and instant."""
        business_id = query.account.remote.get("business_id", query.account)
        return business_id, get_last_instant(query.account, query.as_of)

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Read ledger balances from one trial balance; bank balances are always None.

        Args:
            queries: Queries of one group, see ``balance_group``.

        Returns:
            Figures or an error for each query, in the order of the queries.
        """
        account = queries[0].account
        business_id = require_remote_id(account, "business_id")
        parameters = {
            "end_datetime": format_instant(get_last_instant(account, queries[0].as_of)),
            # Always sent, so that the result does not depend on Asset's default.
            "basis": self._settings.basis,
        }
        path = ("v0", "business", business_id, "reports", "trial-balance")
        response = await self._http.send("balance read", "GET", *path, query=parameters)
        with parsing_response(response):
            rows = index_rows_by_ledger(unwrap_data(response, self._clock()))
        return [self._build_figures(response, rows, query) for query in queries]

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Derive the opening balance from the trial balance of the configured day.

        Raises:
            Unsupported: The account has no ``derive_opening_balance_as_of``.
        """
        day = account.derive_opening_balance_as_of
        if day is None:
            message = (
                "Asset offers no read of the opening balance. Set it through this gateway, or "
                "configure derive_opening_balance_as_of, the day of the entries start."
            )
            raise Unsupported(message, account_id=account.id, provider=self.kind.name)
        [figures] = await self.balances([BalanceQuery(account, day)])
        if isinstance(figures, GatewayError):
            raise figures
        assert figures.ledger is not None
        if (evidence := current_evidence()) is not None:
            evidence.set_derived_from(day)
        return OpeningBalance(figures.ledger, None, OpeningBalanceSource.DERIVED)

    async def normal_balance(self, account: Account) -> Side:
        """Return the configured side, else the ledger's ``debit_credit``, else what it once was."""
        return await self._sides.get_side(account, lambda: self._lookups.find_side(account))

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Send one PUT on the ledger's normal side, and compare the response with it."""
        account = write.account
        business_id = require_remote_id(account, "business_id")
        ledger_id = require_remote_id(account, "ledger_id")
        reject_notes(write, "Asset")
        minor_units = require_account_currency(write)
        if len(str(abs(minor_units))) > json_fields.AMOUNT_DIGITS_MAX:
            message = f"The amount must have at most {json_fields.AMOUNT_DIGITS_MAX} digits."
            raise BadInput(message, field="amount", account_id=account.id)
        # Asset's write has no date: any other date would be dropped silently.
        start = await self._require_matching_start(write, business_id)
        side = await self.normal_balance(account)
        # Asset expects the amount on the ledger's normal side.
        sent = minor_units * side.holder_sign()
        path = ("v0", "business", business_id, "ledger", ledger_id, "opening-balance")
        body = {"amount": decimal_text(sent, currency_exponent(account.currency))}
        response = await self._http.send("opening-balance write", "PUT", *path, body=body)
        if response.status == 422:
            hint = "Check the amount, and that the ledger accepts an opening balance."
            raise build_refusal(response, self._clock(), hint=hint, field="amount")
        with parsing_response(response):
            record = json_fields.require_object(unwrap_data(response, self._clock()), "data")
            if json_fields.parse_text(record, "ledger_id") != ledger_id:
                raise json_fields.MalformedResponse("ledger_id belongs to another ledger")
            if json_fields.parse_major_units(record, "amount", account.currency) != sent:
                raise json_fields.MalformedResponse("amount differs from the sent one")
        return OpeningBalance(write.amount, start, OpeningBalanceSource.PROVIDER)

    def bank_feed_group(self, account: Account) -> Hashable:
        """Group accounts by business."""
        return account.remote.get("business_id", account)

    async def bank_feeds(
        self, accounts: Sequence[Account]
    ) -> Sequence[BankFeed | GatewayError | None]:
        """Read the bank feeds of one business from its external accounts."""
        return await self._bank_feeds.read(accounts)

    async def list_accounts(self, businesses: Sequence[str], run: RunCall) -> RemoteAccountList:
        """List the ledgers of bank and card accounts of the businesses."""
        return await self._account_list.read(businesses, run)

    async def probe(self) -> None:
        """List one business to check address and credentials.

        Raises:
            Unsupported: The address responds but does not offer this endpoint; the probe proves
                nothing.
            GatewayError: The address or the credentials do not work.
        """
        response = await self._http.send("probe", "GET", "v0", "business", query={"page_size": "1"})
        if response.status in NOT_OFFERED_STATUSES:
            message = "Asset responds at base_url but does not offer the list of businesses."
            raise Unsupported(message, provider=self.kind.name)
        unwrap_data(response, self._clock())

    async def aclose(self) -> None:
        """Close all connections."""
        await self._lookups.aclose()
        await self._http.aclose()

    async def _request_token(self, client_id: Secret, client_secret: Secret) -> ProviderResponse:
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id.reveal(),
            "client_secret": client_secret.reveal(),
        }
        return await self._http.send_form(
            "token request", f"{self._http.base_url}/v0/auth/token", form
        )

    def _build_figures(
        self, response: ProviderResponse, rows: dict[str, list[dict[str, Any]]], query: BalanceQuery
    ) -> BalanceFigures | GatewayError:
        account = query.account
        try:
            with parsing_response(response):
                ledger_rows = rows.get(require_remote_id(account, "ledger_id"), [])
                # Ledgers without entries have a row too: a missing row is not a zero balance.
                if len(ledger_rows) != 1:
                    found = "several rows" if ledger_rows else "no row"
                    raise json_fields.MalformedResponse(f"{found} for this ledger; check ledger_id")
                debit = json_fields.parse_major_units(ledger_rows[0], "debit", account.currency)
                credit = json_fields.parse_major_units(ledger_rows[0], "credit", account.currency)
        except GatewayError as error:
            return with_account(error, account_id=account.id)
        _explain(ledger_rows[0], get_last_instant(account, query.as_of))
        # Both sides are in the row, so the difference needs no normal side.
        return BalanceFigures(
            query.as_of,
            None,
            Money(debit - credit, account.currency),
            bank_missing=MissingReason.NOT_OFFERED,
            # A row of the trial balance is one ledger's own: none includes another.
            remote_path=(account.remote["business_id"], account.remote["ledger_id"]),
        )

    async def _require_matching_start(
        self, write: OpeningBalanceWrite, business_id: str
    ) -> datetime | None:
        """Return the business's entries start after checking the write's date against it.

        Returns:
            The entries start; None if it is not configured and the write has no date to check.

        Raises:
            BadInput: The write's date differs from the entries start, or cannot be checked.
        """
        start = self._settings.entries_start
        if write.effective_at is None:
            return start
        requested = require_effective_at(write)
        start = start or await self._lookups.get_entries_start(business_id)
        if start != requested:
            expected = "an unknown instant" if start is None else format_instant(start)
            message = (
                f"Asset sets an opening balance as of the business's entries start, {expected}: "
                "omit effectiveAt, or set it to exactly that instant."
            )
            raise BadInput(message, field="effectiveAt", account_id=write.account.id)
        return start


def _explain(row: dict[str, Any], until: datetime) -> None:
    if (evidence := current_evidence()) is None:
        return
    evidence.set_bound("end_datetime", format_instant(until), is_inclusive=True, instant=until)
    names, rule = ("ledger_id", "debit", "credit"), "debit − credit"
    evidence.set_figure(Figure.LEDGER, row, names, RawUnit.MAJOR_UNITS, rule)


def _index_rows_by_ledger(data: Any) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for item in json_fields.require_list(data, "data"):
        row = json_fields.require_object(item, "a row")
        rows.setdefault(json_fields.parse_text(row, "ledger_id"), []).append(row)
    return rows
