"""The part of Layer that adapters of balances and of signs share: its ledger tree.

What is learned here (normal sides, the ledger accounts of external accounts) is kept for the life
of the process; balances never are.
"""

import asyncio
from collections.abc import Sequence

from balance_gateway.domain.accounts import Account, ProviderKind, Side
from balance_gateway.domain.balances import BalanceFigures, BalanceQuery
from balance_gateway.domain.calendar_days import Clock, today
from balance_gateway.domain.errors import GatewayError, Unsupported, with_account
from balance_gateway.domain.money import Money
from balance_gateway.providers import json_fields, layer_responses
from balance_gateway.providers.errors import ProviderResponse
from balance_gateway.providers.http import ProviderHTTP, reading
from balance_gateway.providers.preconditions import (
    first_instant_after,
    instant_text,
    optional_remote_id,
    remote_id,
)
from balance_gateway.providers.single_flight import SingleFlight

#: Statuses of an endpoint that is not there.
NOT_OFFERED = frozenset({404, 405})


def external_path(account: Account) -> tuple[str, ...]:
    """The path of an external account, in segments."""
    business_id = remote_id(account, "business_id")
    external_id = remote_id(account, "external_account_id")
    return "v1", "businesses", business_id, "external-accounts", external_id


class LayerLedger:
    """The ledger trees of a connector's businesses."""

    def __init__(self, http: ProviderHTTP, clock: Clock, reporting_basis: str) -> None:
        """Takes the connector's HTTP, and the basis that every read names."""
        self._http = http
        self._clock = clock
        self._reporting_basis = reporting_basis
        self._sides: dict[tuple[str, str], Side] = {}
        self._ledger_ids: dict[tuple[str, str], str] = {}
        self._lookups: SingleFlight[bool] = SingleFlight()

    async def aclose(self) -> None:
        """Ends the look-ups under way."""
        await self._lookups.aclose()

    async def figures(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        """The figures of one business at one instant, in order, one per query."""
        account = queries[0].account
        business_id = remote_id(account, "business_id")
        ledger_ids = await asyncio.gather(*(self._ledger_id(query.account) for query in queries))
        refused = [one for one in ledger_ids if isinstance(one, GatewayError)]
        if len(refused) == len(queries):
            return refused
        until = instant_text(first_instant_after(account, queries[0].as_of))
        answer = await self._tree("balance read", business_id, until)
        with reading(answer):
            rows = layer_responses.index_rows_by_account(
                layer_responses.unwrap_data(answer, self._clock())
            )
        self._learn_sides(business_id, rows)
        return [
            ledger_id
            if isinstance(ledger_id, GatewayError)
            else self._figures(answer, rows.get(ledger_id, []), query)
            for ledger_id, query in zip(ledger_ids, queries, strict=True)
        ]

    async def side(self, account: Account) -> Side:
        """As configured, else the ``normality`` of the configured ``ledger_account_id``.

        DEBIT where no ledger account is configured, or Layer does not offer its tree.
        """
        ledger_id = optional_remote_id(account, "ledger_account_id")
        if account.normal_balance is not None or ledger_id is None:
            return account.normal_balance or Side.DEBIT
        business_id = remote_id(account, "business_id")
        if (business_id, ledger_id) not in self._sides:
            lookup = self._lookups.join(business_id, lambda: self._look_up(account, business_id))
            if not await lookup:
                return Side.DEBIT
        side = self._sides.get((business_id, ledger_id))
        if side is None:
            message = "Layer's ledger has no such account. Check the account's ledger_account_id."
            raise Unsupported(message, account_id=account.id, provider=ProviderKind.LAYER.name)
        return side

    async def _tree(self, operation: str, business_id: str, until: str) -> ProviderResponse:
        path = ("v1", "businesses", business_id, "ledger", "balances")
        query = {"end_date": until, "reporting_basis": self._reporting_basis}
        return await self._http.send(operation, "GET", *path, query=query)

    async def _look_up(self, account: Account, business_id: str) -> bool:
        """Learns the normal sides of a whole business; False where Layer does not offer them."""
        day = today(self._clock(), account.time_zone)
        until = instant_text(first_instant_after(account, day))
        answer = await self._tree("normal-balance read", business_id, until)
        if answer.status in NOT_OFFERED:
            return False
        with reading(answer):
            rows = layer_responses.index_rows_by_account(
                layer_responses.unwrap_data(answer, self._clock())
            )
        self._learn_sides(business_id, rows)
        return True

    def _learn_sides(self, business_id: str, rows: layer_responses.Rows) -> None:
        for ledger_id, own in rows.items():
            side = layer_responses.find_side(own[0])
            if side is not None and len(own) == 1:
                self._sides[business_id, ledger_id] = side

    def _figures(
        self, answer: ProviderResponse, own: list[dict[str, object]], query: BalanceQuery
    ) -> BalanceFigures | GatewayError:
        account = query.account
        try:
            with reading(answer):
                if len(own) != 1:
                    what = "no entry" if not own else "several entries"
                    raise json_fields.WrongShape(
                        f"{what} for this account; check ledger_account_id"
                    )
                side = layer_responses.find_side(own[0])
                if side is None:
                    raise json_fields.WrongShape("normality is neither DEBIT nor CREDIT")
                cents = json_fields.integer(own[0], "balance") * side.holder_sign()
        except GatewayError as error:
            return with_account(error, account_id=account.id)
        return BalanceFigures(query.as_of, None, Money(cents, account.currency))

    async def _ledger_id(self, account: Account) -> str | GatewayError:
        """The account's id in the ledger tree: configured, or else told by its external account."""
        try:
            configured = optional_remote_id(account, "ledger_account_id")
            if configured is not None:
                return configured
            path = external_path(account)
            key = path[2], path[4]
            if key not in self._ledger_ids:
                await self._lookups.join(key, lambda: self._look_up_ledger_id(path, key))
        except GatewayError as error:
            return with_account(error, account_id=account.id)
        if key in self._ledger_ids:
            return self._ledger_ids[key]
        message = "Layer does not tell the account's ledger account: configure ledger_account_id."
        return Unsupported(message, account_id=account.id, provider=ProviderKind.LAYER.name)

    async def _look_up_ledger_id(self, path: tuple[str, ...], key: tuple[str, str]) -> bool:
        """Learns the ledger account of an external account; False where Layer does not tell it."""
        answer = await self._http.send("account read", "GET", *path)
        if answer.status in NOT_OFFERED:
            return False
        data = layer_responses.unwrap_data(answer, self._clock())
        with reading(answer):
            record = json_fields.an_object(data, "the account")
            if record.get("ledger_account_id") is None:
                return False
            self._ledger_ids[key] = layer_responses.parse_account_id(record, "ledger_account_id")
        return True
