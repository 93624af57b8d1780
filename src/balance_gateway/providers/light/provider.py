"""Adapter for Light: one call per account and day returns bank and ledger balance.

Source: docs.light.inc, v1 - Bank Accounts: ``GET`` and ``PUT /v1/bank-accounts/{id}/balance``.
Units: "Balance amount in minor units (e.g. cents)", int64. Positive is money in the bank.
Dates: ``asOf`` is a date, inclusive: "all bank transactions on or before `asOf`".
Auth: "Basic authentication header of the form **Basic** **<api_key>**" (the key itself, not
base64), or a bearer token.

* ``asOf`` "defaults to today" and ``balanceAt`` "defaults to current timestamp if not provided":
  both are always sent, because the page does not name the time zone of "today", and correcting
  only the amount would move the opening date.
* ``bankBalance`` is "null if no opening balance has been set": None, which is neither 0 nor
  missing. ``ledgerBalance`` is not nullable.
* The page states no success status (``default``): any 2xx is a success.
* The opening balance cannot be read. By the documented formula the bank balance on a day before
  the first transaction *is* the opening balance; the account's owner must configure that day
  (``derive_opening_balance_as_of``). The date of the opening balance cannot be recovered.

* Light names no normal side, and an amount's sign does not tell it: an account is a card or a
  current account only by configuration. Amounts are the holder's, so nothing but the field that
  shows the side needs it.

Undocumented: a response without ``bankBalance``, ``ledgerBalance`` or ``currency``. It is rejected,
because a missing field has no meaning. ``bankAccountId`` and ``asOf`` of a read are compared if
present; one that is not readable is dropped and logged, because the request had named both.
Undocumented: whether minor units follow ISO 4217 for currencies without two decimals. They are
assumed to.
Undocumented: the sign of a ledger balance that is owed. Positive is assumed to be the holder's.
Undocumented: the precision of ``balanceAt``. An echo within a second of it counts as equal.
"""

from collections.abc import Callable, Hashable, Sequence
from datetime import date

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
from balance_gateway.domain.calendar_days import Clock, format_instant
from balance_gateway.domain.errors import GatewayError, Unsupported, with_account
from balance_gateway.domain.evidence import Figure, RawUnit
from balance_gateway.domain.money import Money
from balance_gateway.domain.remote_accounts import RemoteAccountList
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.account_lister import RunCall
from balance_gateway.ports.evidence import current_evidence
from balance_gateway.ports.provider_call import CallGate, OnCall
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.authorization import FixedAuthorization
from balance_gateway.providers.http.begun_read import BegunRead
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.decorations import read_decoration
from balance_gateway.providers.http.errors import ProviderResponse, build_refusal
from balance_gateway.providers.http.listings import refuse_businesses
from balance_gateway.providers.http.preconditions import (
    is_remote_id,
    reject_notes,
    require_account_currency,
    require_effective_at,
    require_int64,
    require_remote_id,
)
from balance_gateway.providers.http.side_lookup import require_configured_side
from balance_gateway.providers.light.account_list import read_account_list
from balance_gateway.transport import Transport, build_transport

CAPABILITIES = frozenset(
    {
        Capability.READ_BANK_BALANCE,
        Capability.READ_LEDGER_BALANCE,
        Capability.WRITE_OPENING_BALANCE,
        Capability.CHOOSE_EFFECTIVE_AT,
    }
)

_HINT = "Check the account's bank_account_id."


class LightSettings(
    HttpConnectorSettings,
    frozen=True,
    kw_only=True,
    tag_field="provider",
    tag=ProviderKind.LIGHT.value,
):
    """Settings of a connector to Light (``base_url``: ``https://api.light.inc``).

    Attributes:
        api_key: Sent as it is, as ``Authorization: Basic <api_key>``.
    """

    own_credentials = ("api_key",)

    api_key: Secret | None = None


class LightProvider:
    """One connector to Light. Keeps no state except its connections."""

    kind = ProviderKind.LIGHT
    capabilities = CAPABILITIES

    def __init__(
        self,
        connector: str,
        settings: LightSettings,
        *,
        clock: Clock,
        transport: Transport | None = None,
        on_call: OnCall | None = None,
        gate: CallGate | None = None,
    ) -> None:
        """Build the HTTP client; no connection is opened. See ``ProviderHTTP`` for the arguments.

        Raises:
            ValueError: A setting is invalid; the text names it and contains no secret.
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
            transport=transport
            or build_transport(
                settings.transport, settings, concurrency_max=settings.max_concurrency
            ),
            on_call=on_call,
            gate=gate,
        )
        self._http.authorize_with(_build_authorization(settings))

    def balance_group(self, query: BalanceQuery) -> Hashable:
        """Return a group of its own for each account and day."""
        return query.account.id, query.as_of

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Read bank and ledger balances with one call per account and day.

        Returns:
            Figures or an error for each query, in the order of the queries.
        """
        if len(queries) == 1:
            return [await self._read_balance(queries[0].account, queries[0].as_of)]
        groups = {self.balance_group(query): query for query in queries}
        if len(groups) == 1:
            # Errors are raised here: they concern all queries of the group.
            figures = await self._read_balance(queries[0].account, queries[0].as_of)
            return [figures] * len(queries)
        results = {key: await self._try_read_balance(query) for key, query in groups.items()}
        return [results[self.balance_group(query)] for query in queries]

    def begin_balance(
        self, query: BalanceQuery, within_s: float, on_end: Callable[[BegunRead], None]
    ) -> BegunRead | None:
        """Begin a read; see ``BalanceBeginner``."""
        # An id that is not usable is refused by ``balances``.
        if not is_remote_id(query.account.remote.get("bank_account_id")):
            return None
        return self._http.begin_read(
            "balance read",
            *_build_path(query.account.remote["bank_account_id"]),
            query={"asOf": query.as_of.isoformat()},
            within_s=within_s,
            on_end=on_end,
        )

    def take_balance(self, query: BalanceQuery, begun: BegunRead) -> BalanceFigures | None:
        """Return the figures of a complete response that echoes the query; see the port."""
        record = begun.decode()
        if not isinstance(record, dict) or not _echoes(record, query.account, query.as_of):
            return None
        try:
            figures = _parse_figures(record, query.account, query.as_of)
        except json_fields.MalformedResponse:
            return None
        begun.conclude()
        return figures

    async def finish_balance(
        self, query: BalanceQuery, begun: BegunRead
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Read the response to a begun read, whatever it is."""
        response = await self._http.finish_read(begun)
        return [self._read_response(response, query.account, query.as_of)]

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Derive the opening balance from the balance on the configured day.

        Returns:
            The opening balance without a date; None if none is set at Light.

        Raises:
            Unsupported: The account has no ``derive_opening_balance_as_of``.
        """
        day = account.derive_opening_balance_as_of
        if day is None:
            message = (
                "Light offers no read of the opening balance. Set it through this gateway, or "
                "configure derive_opening_balance_as_of, a day before the first transaction."
            )
            raise Unsupported(message, account_id=account.id, provider=self.kind.name)
        figures = await self._read_balance(account, day)
        if (evidence := current_evidence()) is not None:
            evidence.set_derived_from(day)
        if figures.bank is None:
            return None
        return OpeningBalance(figures.bank, None, OpeningBalanceSource.DERIVED)

    async def normal_balance(self, account: Account) -> Side:
        """Return the configured side; Light has none, and its amounts need none.

        Raises:
            SideUnknown: No side is configured.
        """
        return require_configured_side(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Send one PUT with amount and date, and compare the echo with the sent values."""
        account = write.account
        bank_account_id = require_remote_id(account, "bank_account_id")
        reject_notes(write, "Light")
        at = require_effective_at(write)
        balance = require_int64(require_account_currency(write), write, "Light")
        path = _build_path(bank_account_id)
        # Without balanceAt Light would move the opening date to the current time.
        body = {"balance": balance, "balanceAt": format_instant(at)}
        response = await self._http.send("opening-balance write", "PUT", *path, body=body)
        self._require_ok(response, account)
        with parsing_response(response):
            record = json_fields.require_object(response.body, "the response")
            _require_same_account(json_fields.parse_text(record, "bankAccountId"), bank_account_id)
            if json_fields.parse_int64(record, "balance") != balance:
                raise json_fields.MalformedResponse("balance differs from the sent one")
            stored_at = json_fields.parse_instant(record, "balanceAt")
            if not json_fields.is_same_instant(stored_at, at):
                raise json_fields.MalformedResponse("balanceAt differs from the sent one")
        return OpeningBalance(write.amount, stored_at, OpeningBalanceSource.PROVIDER)

    async def list_accounts(self, businesses: Sequence[str], run: RunCall) -> RemoteAccountList:
        """List the bank accounts; Light has no businesses."""
        refuse_businesses(businesses, "Light")
        return await read_account_list(self._http, self._clock, run)

    async def probe(self) -> None:
        """List the bank accounts to check address and credentials.

        Raises:
            Unsupported: The address responds but does not offer this endpoint; the probe proves
                nothing.
            GatewayError: The address or the credentials do not work.
        """
        response = await self._http.send("probe", "GET", "v1", "bank-accounts")
        if response.status in {404, 405}:
            message = "Light responds at base_url but does not offer the list of bank accounts."
            raise Unsupported(message, provider=self.kind.name)
        self._require_ok(response)
        with parsing_response(response):
            json_fields.require_list(response.body, "the response")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _try_read_balance(self, query: BalanceQuery) -> BalanceFigures | GatewayError:
        try:
            return await self._read_balance(query.account, query.as_of)
        except GatewayError as error:
            return with_account(error, account_id=query.account.id)

    async def _read_balance(self, account: Account, as_of: date) -> BalanceFigures:
        bank_account_id = require_remote_id(account, "bank_account_id")
        # Always sent: "today", the default, depends on an undocumented time zone.
        query = {"asOf": as_of.isoformat()}
        path = _build_path(bank_account_id)
        response = await self._http.send("balance read", "GET", *path, query=query)
        return self._read_response(response, account, as_of)

    def _read_response(
        self, response: ProviderResponse, account: Account, as_of: date
    ) -> BalanceFigures:
        self._require_ok(response, account)
        with parsing_response(response):
            record = json_fields.require_object(response.body, "the response")
            _check_echo(record, account, as_of)
            figures = _parse_figures(record, account, as_of)
        _explain(record, as_of)
        return figures

    def _require_ok(self, response: ProviderResponse, account: Account | None = None) -> None:
        if not response.ok:
            error = build_refusal(response, self._clock(), hint=_HINT)
            raise with_account(error, account_id=account.id if account else None)


def _build_authorization(settings: LightSettings) -> FixedAuthorization:
    if settings.access_token is not None:
        return FixedAuthorization("Bearer", "access_token", settings.access_token)
    assert settings.api_key is not None
    # The page's "Basic" takes the key itself, unlike HTTP Basic.
    return FixedAuthorization("Basic", "api_key", settings.api_key)


def _explain(record: dict[str, object], as_of: date) -> None:
    if (evidence := current_evidence()) is None:
        return
    evidence.set_bound("asOf", as_of.isoformat(), is_inclusive=True)
    rule = "as it is: positive is the holder's money"
    for figure, name in ((Figure.BANK, "bankBalance"), (Figure.LEDGER, "ledgerBalance")):
        evidence.set_figure(figure, record, [name], RawUnit.MINOR_UNITS, rule)


def _build_path(bank_account_id: str) -> tuple[str, ...]:
    return "v1", "bank-accounts", bank_account_id, "balance"


def _parse_figures(record: dict[str, object], account: Account, as_of: date) -> BalanceFigures:
    if json_fields.parse_currency(record, "currency") != account.currency:
        raise json_fields.MalformedResponse(
            f"currency differs from the account's, {account.currency}"
        )
    # Null means that no opening balance is set; a missing field is an error.
    bank = json_fields.parse_nullable_int64(record, "bankBalance")
    ledger = json_fields.parse_int64(record, "ledgerBalance")
    return BalanceFigures(
        as_of=as_of,
        bank=None if bank is None else Money(bank, account.currency),
        ledger=Money(ledger, account.currency),
        bank_missing=MissingReason.NO_OPENING_BALANCE if bank is None else None,
        remote_path=(account.remote["bank_account_id"],),
    )


def _echoes(record: dict[str, object], account: Account, as_of: date) -> bool:
    """Return whether the response repeats account and day as the request named them."""
    remote_id = account.remote["bank_account_id"]
    return record.get("bankAccountId") == remote_id and record.get("asOf") == as_of.isoformat()


def _check_echo(record: dict[str, object], account: Account, as_of: date) -> None:
    """Compare the echoed account and day of a read, as far as they are present and readable."""
    expected_id = account.remote["bank_account_id"]
    # The usual case needs no parsing.
    if _echoes(record, account, as_of):
        return
    echoed_id = read_decoration(
        account,
        "bankAccountId",
        lambda: json_fields.parse_optional_text(record, "bankAccountId"),
        None,
    )
    if echoed_id is not None:
        _require_same_account(echoed_id, expected_id)
    if record.get("asOf") is None:
        return
    day = read_decoration(account, "asOf", lambda: json_fields.parse_day(record, "asOf"), None)
    if day is not None and day != as_of:
        raise json_fields.MalformedResponse("asOf differs from the requested day")


def _require_same_account(echoed: str, expected: str) -> None:
    if echoed.lower() != expected.lower():
        raise json_fields.MalformedResponse("bankAccountId belongs to another account")
