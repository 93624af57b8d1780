"""Read Layer's ledger trees, for balances and for normal sides.

Normal sides and the ledger accounts of external accounts are cached for the life of the process;
balances are never cached.
"""

import asyncio
from collections.abc import Sequence

from balance_gateway.domain.accounts import Account, ProviderKind, Side
from balance_gateway.domain.balances import BalanceFigures, BalanceQuery, MissingReason
from balance_gateway.domain.calendar_days import Clock, format_instant, today
from balance_gateway.domain.errors import GatewayError, Unsupported, with_account
from balance_gateway.domain.evidence import Figure
from balance_gateway.domain.money import Money
from balance_gateway.ports.evidence import current_evidence
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.client import ProviderHTTP, parsing_response
from balance_gateway.providers.http.errors import ProviderResponse
from balance_gateway.providers.http.preconditions import (
    find_remote_id,
    get_first_instant_after,
    require_remote_id,
)
from balance_gateway.providers.http.side_lookup import SideLookup, build_side_unknown
from balance_gateway.providers.http.single_flight import SingleFlight
from balance_gateway.providers.layer import responses

#: Statuses of an endpoint that the provider does not offer.
NOT_OFFERED_STATUSES = frozenset({404, 405})


def build_external_path(account: Account) -> tuple[str, ...]:
    """Build the path segments of an external account."""
    business_id = require_remote_id(account, "business_id")
    external_id = require_remote_id(account, "external_account_id")
    return "v1", "businesses", business_id, "external-accounts", external_id


class LayerLedger:
    """Reads the ledger trees of a connector's businesses."""

    def __init__(
        self, http: ProviderHTTP, clock: Clock, reporting_basis: str, side_lookup: SideLookup
    ) -> None:
        """Store the connector's HTTP client and clock, the basis of every read, and the sides."""
        self._http = http
        self._clock = clock
        self._reporting_basis = reporting_basis
        self._side_lookup = side_lookup
        self._sides: dict[tuple[str, str], Side] = {}
        self._ledger_ids: dict[tuple[str, str], str] = {}
        self._lookups: SingleFlight[bool] = SingleFlight()

    async def aclose(self) -> None:
        """Cancel running look-ups."""
        await self._lookups.aclose()

    async def read_figures(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """Read the balances of one business at one instant.

        Args:
            queries: Queries for accounts of one business, all with the same end of the day.

        Returns:
            Figures or an error for each query, in the order of the queries.

        Raises:
            GatewayError: The ledger tree cannot be read.
        """
        account = queries[0].account
        business_id = require_remote_id(account, "business_id")
        ledger_ids = await asyncio.gather(
            *(self._get_ledger_id(query.account) for query in queries)
        )
        errors = [ledger_id for ledger_id in ledger_ids if isinstance(ledger_id, GatewayError)]
        if len(errors) == len(queries):
            return errors
        until = format_instant(get_first_instant_after(account, queries[0].as_of))
        response = await self._read_tree("balance read", business_id, until)
        with parsing_response(response):
            rows = responses.index_rows_by_account(responses.unwrap_data(response, self._clock()))
        # The tree has every account's normal side: a later write need not read it again.
        self._learn_sides(business_id, rows)
        for ledger_id, query in zip(ledger_ids, queries, strict=True):
            side = self._sides.get((business_id, ledger_id)) if ledger_id in rows else None
            if side is not None and query.account.normal_balance is None:
                await self._side_lookup.remember(query.account, side)
        return [
            ledger_id
            if isinstance(ledger_id, GatewayError)
            else self._build_figures(response, rows.get(ledger_id, []), query)
            for ledger_id, query in zip(ledger_ids, queries, strict=True)
        ]

    async def get_side(self, account: Account) -> Side:
        """Return the configured side, else ``normality`` of the account's ledger account.

        Raises:
            SideUnknown: It is not configured, and Layer does not report it and never did.
            GatewayError: The ledger tree cannot be read, and no side is remembered.
        """
        return await self._side_lookup.get_side(account, lambda: self._find_side(account))

    async def _find_side(self, account: Account) -> Side | None:
        """Return ``normality``; None if Layer does not offer the look-up.

        Raises:
            SideUnknown: The ledger tree has no such account or several, or no known normality.
        """
        ledger_id = await self._find_ledger_id(account)
        if ledger_id is None:
            return None
        business_id = require_remote_id(account, "business_id")
        if (business_id, ledger_id) not in self._sides:
            lookup = self._lookups.join(
                business_id, lambda: self._learn_business_sides(account, business_id)
            )
            if not await lookup:
                return None
        side = self._sides.get((business_id, ledger_id))
        if side is None:
            reason = (
                "Layer's ledger has no such account, or several, or one without a normality; check"
                " the account's ledger_account_id"
            )
            raise build_side_unknown(account, reason)
        return side

    async def _read_tree(self, operation: str, business_id: str, until: str) -> ProviderResponse:
        path = ("v1", "businesses", business_id, "ledger", "balances")
        query = {"end_date": until, "reporting_basis": self._reporting_basis}
        return await self._http.send(operation, "GET", *path, query=query)

    async def _learn_business_sides(self, account: Account, business_id: str) -> bool:
        """Cache the normal sides of a whole business; return False if Layer does not offer them."""
        # Normal sides do not depend on the day.
        day = today(self._clock(), account.time_zone)
        until = format_instant(get_first_instant_after(account, day))
        response = await self._read_tree("normal-balance read", business_id, until)
        if response.status in NOT_OFFERED_STATUSES:
            return False
        with parsing_response(response):
            rows = responses.index_rows_by_account(responses.unwrap_data(response, self._clock()))
        self._learn_sides(business_id, rows)
        return True

    def _learn_sides(self, business_id: str, rows: responses.Rows) -> None:
        for ledger_id, entries in rows.items():
            side = responses.find_side(entries[0].record)
            # A duplicate id is ambiguous and is not cached.
            if side is not None and len(entries) == 1:
                self._sides[business_id, ledger_id] = side

    def _build_figures(
        self, response: ProviderResponse, entries: list[responses.LedgerEntry], query: BalanceQuery
    ) -> BalanceFigures | GatewayError:
        account = query.account
        try:
            with parsing_response(response):
                if len(entries) != 1:
                    found = "several entries" if entries else "no entry"
                    raise json_fields.MalformedResponse(
                        f"{found} for this account; check ledger_account_id"
                    )
                # Without the normal side the sign of the balance is unknown.
                record = entries[0].record
                side = responses.find_side(record)
                if side is None:
                    raise json_fields.MalformedResponse("normality is neither DEBIT nor CREDIT")
                cents = json_fields.parse_integer(record, "balance") * side.holder_sign()
        except GatewayError as error:
            return with_account(error, account_id=account.id)
        if (evidence := current_evidence()) is not None:
            until = get_first_instant_after(account, query.as_of)
            sent = format_instant(until)
            evidence.set_bound("end_date", sent, is_inclusive=False, instant=until)
            names = ("id", "normality", "balance")
            responses.explain_cents(evidence, Figure.LEDGER, record, names, side)
        return BalanceFigures(
            query.as_of,
            None,
            Money(cents, account.currency),
            bank_missing=MissingReason.NOT_OFFERED,
            # A parent's balance includes its children's.
            remote_path=(require_remote_id(account, "business_id"), *entries[0].path),
        )

    async def _get_ledger_id(self, account: Account) -> str | GatewayError:
        """Return the account's id in the ledger tree: configured, or read from Layer.

        Returns an error instead of raising it, so that one account cannot fail the others.
        """
        try:
            ledger_id = await self._find_ledger_id(account)
        except GatewayError as error:
            return with_account(error, account_id=account.id)
        if ledger_id is not None:
            return ledger_id
        message = (
            "Layer does not provide the account's ledger account: configure ledger_account_id."
        )
        return Unsupported(message, account_id=account.id, provider=ProviderKind.LAYER.name)

    async def _find_ledger_id(self, account: Account) -> str | None:
        """Return the account's id in the ledger tree; None if Layer does not provide it."""
        configured = find_remote_id(account, "ledger_account_id")
        if configured is not None:
            return configured
        path = build_external_path(account)
        key = path[2], path[4]
        if key not in self._ledger_ids:
            await self._lookups.join(key, lambda: self._learn_ledger_id(path, key))
        return self._ledger_ids.get(key)

    async def _learn_ledger_id(self, path: tuple[str, ...], key: tuple[str, str]) -> bool:
        """Cache the ledger account of an external account; return False if Layer has none."""
        response = await self._http.send("account read", "GET", *path)
        if response.status in NOT_OFFERED_STATUSES:
            return False
        data = responses.unwrap_data(response, self._clock())
        with parsing_response(response):
            record = json_fields.require_object(data, "the account")
            if record.get("ledger_account_id") is None:
                return False
            self._ledger_ids[key] = responses.parse_account_id(record, "ledger_account_id")
        return True
