"""Adapter for statement files: balances of accounts at banks without an API, from a JSON file.

Source: this page; the format is the gateway's own, see ``docs/providers/statement_file.md``.
Units: decimal text in major units, exact; a JSON number is refused, because the programs that
    write such files often round them.
Sign: the holder's side, positive is money the company has. The format has no normal side, and
    nothing but the field that shows it needs one: it is the configured side or not known.
Dates: a balance belongs to the day under which it is written. A day that is not in the file has no
    figure: neither the figure of an earlier day nor zero.
Auth: none; whoever can write the file decides the figures.

The file is read again when it changes. A file that cannot be used is an error of its accounts; a
wrong entry is an error of its account only.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from balance_gateway.config.connector_settings import ConnectorSettings
from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    MissingReason,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import (
    BadInput,
    GatewayError,
    ProviderBadResponse,
    ProviderRejected,
    Unsupported,
    with_account,
)
from balance_gateway.domain.evidence import Figure, RawUnit
from balance_gateway.domain.money import Money, parse_minor_units
from balance_gateway.domain.remote_accounts import RemoteAccount, RemoteAccountList
from balance_gateway.ports.account_lister import RunCall
from balance_gateway.ports.evidence import current_evidence
from balance_gateway.providers.http.decorations import read_decoration
from balance_gateway.providers.http.json_fields import (
    MalformedResponse,
    parse_day,
    parse_optional_instant,
    parse_optional_text,
    parse_text,
    require_object,
)
from balance_gateway.providers.http.listings import Skipped, read_name, refuse_businesses
from balance_gateway.providers.http.side_lookup import require_configured_side
from balance_gateway.providers.statement_file.statements import StatementFile

CAPABILITIES = frozenset(
    {
        Capability.READ_BANK_BALANCE,
        Capability.READ_LEDGER_BALANCE,
        Capability.READ_OPENING_BALANCE,
    }
)

_ACCOUNT_MEMBERS = frozenset({"currency", "opening_balance", "balances"})
_OPENING_MEMBERS = frozenset({"amount", "effective_at", "memo", "reference_number"})
_BALANCE_MEMBERS = frozenset({"bank", "ledger"})

_SIGN_RULE = "as it is: positive is the holder's money"


class StatementFileSettings(
    ConnectorSettings,
    frozen=True,
    kw_only=True,
    tag_field="provider",
    tag=ProviderKind.STATEMENT_FILE.value,
):
    """Settings of a connector to a statement file.

    Attributes:
        path: The JSON file; a relative path starts from the folder of the configuration file.
    """

    path: Path


class StatementFileProvider:
    """One statement file; read-only.

    Args:
        connector: Name of the connector.
        settings: The connector's settings.
        clock: Current time.
    """

    kind = ProviderKind.STATEMENT_FILE
    capabilities = CAPABILITIES

    def __init__(self, connector: str, settings: StatementFileSettings, *, clock: Clock) -> None:
        self.connector = connector
        self._file = StatementFile(settings.path, clock, self.kind.name)
        # The name alone: its folder is the machine's own affair.
        self._name = settings.path.name

    def balance_group(self, query: BalanceQuery) -> Hashable:  # noqa: ARG002
        """Return one group for all queries of the connector: one look at the file serves all."""
        return self.connector

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Read bank and ledger balances; both are None for a day that is not in the file.

        Returns:
            Figures or an error for each query, in the order of the queries.

        Raises:
            GatewayError: The file cannot be used.
        """
        self._explain_call("balance read")
        accounts = await self._file.read_accounts()
        return [self._try_build_figures(accounts, query) for query in queries]

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        """Read the opening balance; None if the file has none for the account."""
        self._explain_call("opening-balance read")
        accounts = await self._file.read_accounts()
        try:
            record = _find_account(accounts, account)
            opening = record.get("opening_balance")
            return None if opening is None else _build_opening_balance(opening, account)
        except MalformedResponse as error:
            raise self._build_bad_entry(account, error) from None

    async def normal_balance(self, account: Account) -> Side:
        """Return the configured side.

        Raises:
            SideUnknown: No side is configured.
        """
        return require_configured_side(account)

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        """Refuse the write.

        Raises:
            Unsupported: Always; the file is not the gateway's to change.
        """
        message = "A statement file is only read: change the opening balance in the file."
        raise Unsupported(message, account_id=write.account.id, provider=self.kind.name)

    async def list_accounts(self, businesses: Sequence[str], run: RunCall) -> RemoteAccountList:
        """List the accounts in the file, with their currencies."""
        refuse_businesses(businesses, "A statement file")
        found, skipped = [], Skipped()
        for name, record in (await run(self._file.read_accounts)).items():
            if not name.strip() or not name.isprintable() or not isinstance(record, dict):
                skipped["without a usable entry"] += 1
                continue
            remote = {"statement_account_id": name}
            currency = read_name(record, "currency") or None
            found.append(RemoteAccount(remote=remote, name=name, currency=currency))
        return RemoteAccountList(tuple(found), skipped)

    async def probe(self) -> None:
        """Read the file."""
        await self._file.read_accounts()

    async def aclose(self) -> None:
        """Do nothing: the file is only open while it is read."""

    def _explain_call(self, operation: str) -> None:
        if (evidence := current_evidence()) is not None:
            evidence.add_call(operation, None, f"the statement file {self._name}", {})

    def _try_build_figures(
        self, accounts: Mapping[str, Any], query: BalanceQuery
    ) -> BalanceFigures | GatewayError:
        try:
            return _build_figures(_find_account(accounts, query.account), query)
        except MalformedResponse as error:
            return self._build_bad_entry(query.account, error)
        except GatewayError as error:
            return with_account(error, account_id=query.account.id)

    def _build_bad_entry(self, account: Account, error: MalformedResponse) -> ProviderBadResponse:
        message = f"The account's entry in the statement file is not usable: {error}."
        return ProviderBadResponse(message, account_id=account.id, provider=self.kind.name)


def _find_account(accounts: Mapping[str, Any], account: Account) -> dict[str, Any]:
    """Return the account's entry.

    Raises:
        ProviderRejected: The file has no such account.
        MalformedResponse: The entry is malformed, or is in another currency.
    """
    statement_id = account.remote["statement_account_id"]
    if statement_id not in accounts:
        message = "The statement file has no such account: check statement_account_id."
        provider = ProviderKind.STATEMENT_FILE.name
        raise ProviderRejected(message, account_id=account.id, provider=provider)
    record = _require_members(accounts[statement_id], _ACCOUNT_MEMBERS, "the entry")
    if parse_text(record, "currency") != account.currency:
        raise MalformedResponse(f"currency differs from the account's, {account.currency}")
    return record


def _build_figures(record: dict[str, Any], query: BalanceQuery) -> BalanceFigures:
    days = require_object(record.get("balances", {}), "balances")
    for day in days:
        # A misspelt day would be missing without a word.
        parse_day({"a day of balances": day}, "a day of balances")
    written = days.get(query.as_of.isoformat())
    figures = {} if written is None else _require_members(written, _BALANCE_MEMBERS, "a balance")
    currency = query.account.currency
    bank, ledger = (_parse_amount(figures, key, currency) for key in ("bank", "ledger"))
    if (evidence := current_evidence()) is not None:
        evidence.set_bound("balances", query.as_of.isoformat(), is_inclusive=True)
        for figure in (Figure.BANK, Figure.LEDGER):
            evidence.set_figure(figure, figures, [figure.value], RawUnit.MAJOR_UNITS, _SIGN_RULE)
    return BalanceFigures(
        query.as_of,
        bank,
        ledger,
        bank_missing=MissingReason.NOT_IN_FILE if bank is None else None,
        ledger_missing=MissingReason.NOT_IN_FILE if ledger is None else None,
        remote_path=(query.account.remote["statement_account_id"],),
    )


def _build_opening_balance(value: Any, account: Account) -> OpeningBalance:
    record = _require_members(value, _OPENING_MEMBERS, "opening_balance")
    amount = _parse_amount(record, "amount", account.currency)
    if amount is None:
        raise MalformedResponse("opening_balance has no amount")
    if (evidence := current_evidence()) is not None:
        names, unit = ("amount", "effective_at"), RawUnit.MAJOR_UNITS
        evidence.set_figure(Figure.OPENING_BALANCE, record, names, unit, _SIGN_RULE)
    return OpeningBalance(
        amount=amount,
        effective_at=parse_optional_instant(record, "effective_at"),
        source=OpeningBalanceSource.PROVIDER,
        memo=_read_note(record, "memo", account),
        reference_number=_read_note(record, "reference_number", account),
    )


def _read_note(record: dict[str, Any], key: str, account: Account) -> str | None:
    return read_decoration(account, key, lambda: parse_optional_text(record, key), None)


def _require_members(value: Any, known: frozenset[str], what: str) -> dict[str, Any]:
    record = require_object(value, what)
    if not record.keys() <= known:
        raise MalformedResponse(f"{what} has a member that is none of {', '.join(sorted(known))}")
    return record


def _parse_amount(record: dict[str, Any], key: str, currency: str) -> Money | None:
    text = parse_optional_text(record, key)
    if text is None:
        return None
    try:
        return Money(parse_minor_units(text, currency), currency)
    except BadInput:
        raise MalformedResponse(f"{key} is not an amount in {currency}, such as -1234.56") from None
