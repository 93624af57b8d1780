"""What the fragments of one request lack: read in one call of each kind."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar, cast

from balance_gateway.api.fast_path.account_projection import (
    BalanceArguments,
    BalanceField,
    OpeningField,
)
from balance_gateway.api.fast_path.collect_fields import FallBackToGraphQLCore
from balance_gateway.api.fast_path.response_state import PartialResponse, RootFieldState
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.errors import GatewayError
from balance_gateway.ports.reads import (
    BalanceRequest,
)

T = TypeVar("T")


class MissingReads:
    """What the fragments lack: the reads of one request, and what they came to.

    A failure that has a place in the answer is told; a defect is kept for graphql-core to find.
    """

    def __init__(self, answering: PartialResponse) -> None:
        self._context = answering.context
        self.accounts = answering.context.gateway.directory.accounts_of(answering.context.principal)
        self._sides: dict[str, Side | Exception] = {}
        self._balances: dict[BalanceRequest, Any] = {}
        self._requests: dict[tuple[int, str], list[BalanceRequest]] = {}
        self._openings: dict[str, Any] = {}
        self._unsided: dict[str, Account] = {}
        for wanted in answering.wanted:
            for account_id, body in zip(wanted.ids, wanted.bodies, strict=True):
                if body is None:
                    self._note(wanted, account_id)

    def _note(self, wanted: RootFieldState, account_id: str) -> None:
        account = self.accounts.get(account_id)
        if account is None:
            # Its error stands where graphql-core puts it; that is for graphql-core to do.
            raise FallBackToGraphQLCore
        entity = wanted.root.entity
        requests = [self._request(account, arguments) for arguments in wanted.arguments]
        self._requests[id(wanted), account_id] = requests
        for request in requests:
            self._balances[request] = None
        if entity.openings:
            self._openings[account.id] = account
        if entity.needs_side:
            if account.normal_balance is not None:
                self._sides[account.id] = account.normal_balance
            else:
                self._unsided[account.id] = account

    def _request(self, account: Account, arguments: BalanceArguments) -> BalanceRequest:
        return self._context.balance_request(
            account, arguments.as_of, arguments.max_age_s, arguments.on_stale
        )

    async def read(self) -> None:
        """One call for all balances, one for all opening balances, at the same time."""
        requests, accounts = list(self._balances), list(self._openings.values())
        calls: list[Awaitable[None]] = []
        if requests:
            calls.append(self._read_balances(requests))
        if accounts:
            calls.append(self._read_openings(accounts))
        if self._unsided:
            calls.append(self._read_sides(list(self._unsided.values())))
        if len(calls) == 1:
            await calls[0]
        elif calls:
            await asyncio.gather(*calls)

    async def _read_balances(self, requests: list[BalanceRequest]) -> None:
        reads = self._context.gateway.reads
        answers: Sequence[Any]
        try:
            answers = await self._context.deadline.keep(reads.balances(requests))
        except Exception as error:
            answers = [error] * len(requests)
        self._balances.update(zip(requests, answers, strict=True))

    async def _read_openings(self, accounts: list[Account]) -> None:
        reads = self._context.gateway.reads
        answers: Sequence[Any]
        try:
            answers = await self._context.deadline.keep(reads.opening_balances(accounts))
        except Exception as error:
            answers = [error] * len(accounts)
        for account, answer in zip(accounts, answers, strict=True):
            self._openings[account.id] = answer

    async def _read_sides(self, accounts: list[Account]) -> None:
        # Few accounts have sides to be read: the loader will do, and remembers by itself.
        answers = self._context.normal_balances.load_all(accounts, _as_they_are)
        found = await cast("Awaitable[list[Side | Exception]]", answers)
        self._sides.update(zip(self._unsided, found, strict=True))

    def prime_loaders(self) -> None:
        """Gives the request's loaders what was read."""
        context, accounts = self._context, self.accounts
        context.balances.learn(self._balances)
        context.opening_balances.learn(
            {accounts[account_id]: answer for account_id, answer in self._openings.items()}
        )

    def side_of(self, account: Account) -> Side:
        """The account's normal side.

        Raises:
            NotCompiled: it cannot be had, and must not be null: that takes the account with it.
        """
        side = self._sides[account.id]
        if isinstance(side, Exception):
            raise FallBackToGraphQLCore
        return side

    def observed_of(self, wanted: RootFieldState, account: Account) -> list[Any]:
        """What was observed, of balances in the entity's order, then of the opening balance."""
        balances = [self._balances[each] for each in self._requests[id(wanted), account.id]]
        return balances + ([self._openings[account.id]] if wanted.root.entity.openings else [])

    def values_of(
        self, wanted: RootFieldState, account: Account
    ) -> tuple[dict[int, Any], list[tuple[BalanceField | OpeningField, GatewayError]]]:
        """What was observed for each field by its id(), None for a null; and what failed.

        Raises:
            NotCompiled: reading it ended in a defect.
        """
        entity = wanted.root.entity
        values: dict[int, Any] = {}
        failures: list[tuple[BalanceField | OpeningField, GatewayError]] = []
        requests = iter(self._requests[id(wanted), account.id])
        for _, reader in entity.members:
            if isinstance(reader, BalanceField):
                answer = self._balances[next(requests)]
            elif isinstance(reader, OpeningField):
                answer = self._openings[account.id]
            else:
                continue
            if isinstance(answer, GatewayError):
                failures.append((reader, answer))
                answer = None
            elif isinstance(answer, Exception):
                raise FallBackToGraphQLCore
            elif answer.value is None:
                answer = None
            values[id(reader)] = answer
        return values, failures


def _as_they_are(answers: T) -> T:
    return answers
