"""Reads the values of the accounts that have no cached JSON, in one batch per kind of value.

``response_builder`` uses it after the cache lookup. Input: a ``PartialResponse`` with missing
bodies. Output: the observed values and failures of each account, from which ``response_builder``
writes the missing JSON. When graphql-core takes over, the request's loaders get the results.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar, cast

from balance_gateway.api.fast_path.account_projection import (
    BalanceArguments,
    BalanceField,
    NormalBalanceField,
    OpeningBalanceField,
    ReadField,
)
from balance_gateway.api.fast_path.collect_fields import FallBackToGraphQLCore
from balance_gateway.api.fast_path.response_state import PartialResponse, RootFieldState
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.errors import GatewayError
from balance_gateway.ports.reads import BalanceRequest

T = TypeVar("T")


class MissingReads:
    """The missing reads of one request, and their results.

    A gateway error becomes a GraphQL error at the field's path. Any other exception is a defect:
    it leads to ``FallBackToGraphQLCore``, and graphql-core reports it.

    Args:
        partial: the response with the missing bodies.

    Raises:
        FallBackToGraphQLCore: the principal has no account with a requested id.
    """

    def __init__(self, partial: PartialResponse) -> None:
        self._context = partial.context
        self.accounts = partial.context.gateway.directory.accounts_for(partial.context.principal)
        self._requests: dict[tuple[int, str], list[BalanceRequest]] = {}
        self._balances: dict[BalanceRequest, Any] = {}
        self._accounts_with_opening: dict[str, Account] = {}
        self._opening_balances: dict[str, Any] = {}
        self._accounts_without_side: dict[str, Account] = {}
        self._sides: dict[str, Side | Exception] = {}
        for root_field in partial.root_fields:
            for account_id, body in zip(root_field.ids, root_field.bodies, strict=True):
                if body is None:
                    self._add_account(root_field, account_id)

    def _add_account(self, root_field: RootFieldState, account_id: str) -> None:
        account = self.accounts.get(account_id)
        if account is None:
            # graphql-core reports unknown accounts, at the right path and location.
            raise FallBackToGraphQLCore
        projection = root_field.root.projection
        requests = [self._build_request(account, each) for each in root_field.arguments]
        self._requests[id(root_field), account_id] = requests
        for request in requests:
            self._balances[request] = None
        if projection.opening_balance_fields:
            self._accounts_with_opening[account.id] = account
        if projection.needs_normal_balance:
            if account.normal_balance is not None:
                self._sides[account.id] = account.normal_balance
            else:
                self._accounts_without_side[account.id] = account

    def _build_request(self, account: Account, arguments: BalanceArguments) -> BalanceRequest:
        return self._context.balance_request(
            account, arguments.as_of, arguments.max_age_s, arguments.on_stale
        )

    async def read(self) -> None:
        """Read all balances, opening balances and normal balances concurrently, a call each."""
        requests = list(self._balances)
        with_opening = list(self._accounts_with_opening.values())
        without_side = list(self._accounts_without_side.values())
        calls: list[Awaitable[None]] = []
        if requests:
            calls.append(self._read_balances(requests))
        if with_opening:
            calls.append(self._read_opening_balances(with_opening))
        if without_side:
            calls.append(self._read_normal_balances(without_side))
        if len(calls) == 1:
            await calls[0]
        elif calls:
            await asyncio.gather(*calls)

    async def _read_balances(self, requests: list[BalanceRequest]) -> None:
        reads = self._context.gateway.reads
        results: Sequence[Any]
        try:
            results = await self._context.deadline.wait_for(reads.balances(requests))
        except Exception as error:
            results = [error] * len(requests)
        self._balances.update(zip(requests, results, strict=True))

    async def _read_opening_balances(self, accounts: list[Account]) -> None:
        reads = self._context.gateway.reads
        results: Sequence[Any]
        try:
            results = await self._context.deadline.wait_for(reads.opening_balances(accounts))
        except Exception as error:
            results = [error] * len(accounts)
        for account, result in zip(accounts, results, strict=True):
            self._opening_balances[account.id] = result

    async def _read_normal_balances(self, accounts: list[Account]) -> None:
        # Few accounts have no configured normal balance, so the loader is fast enough. It keeps
        # its results itself, so ``prime_loaders`` has nothing to do for it.
        results = self._context.normal_balances.load_all(accounts, _return_unchanged)
        found = await cast("Awaitable[list[Side | Exception]]", results)
        self._sides.update(zip(self._accounts_without_side, found, strict=True))

    def prime_loaders(self) -> None:
        """Store the results in the request's loaders, so that graphql-core reads nothing twice."""
        context, accounts = self._context, self.accounts
        context.balances.prime(self._balances)
        context.opening_balances.prime(
            {accounts[account_id]: result for account_id, result in self._opening_balances.items()}
        )

    def list_observed(self, root_field: RootFieldState, account: Account) -> list[Any]:
        """Return the results of an account: balances in order, then the opening balance if any."""
        observed = [self._balances[each] for each in self._requests[id(root_field), account.id]]
        if root_field.root.projection.opening_balance_fields:
            observed.append(self._opening_balances[account.id])
        return observed

    def split_results(
        self, root_field: RootFieldState, account: Account
    ) -> tuple[dict[int, Any], list[tuple[ReadField, GatewayError]]]:
        """Split the results of an account into values and failures.

        Returns:
            The observed value or the side of each field by the ``id()`` of the field, None for a
            null or a failure; and the failed fields with their errors, in the response's order.

        Raises:
            FallBackToGraphQLCore: a read raised something other than a gateway error.
        """
        values: dict[int, Any] = {}
        failures: list[tuple[ReadField, GatewayError]] = []
        requests = iter(self._requests[id(root_field), account.id])
        for _, source in root_field.root.projection.members:
            if isinstance(source, BalanceField):
                result = self._balances[next(requests)]
            elif isinstance(source, OpeningBalanceField):
                result = self._opening_balances[account.id]
            elif isinstance(source, NormalBalanceField):
                result = self._sides[account.id]
            else:
                continue
            if isinstance(result, GatewayError):
                failures.append((source, result))
                result = None
            elif isinstance(result, Exception):
                raise FallBackToGraphQLCore
            elif not isinstance(result, Side) and result.value is None:
                result = None
            values[id(source)] = result
        return values, failures


def _return_unchanged(results: T) -> T:
    return results
