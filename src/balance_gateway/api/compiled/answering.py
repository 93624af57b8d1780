"""Answers compiled operations: fragments where they count, values where they do not, then joined.

The first half, ``ready``, is synchronous and is all that a dashboard needs that polls. Only what
it lacks is read, in one call for balances and one for opening balances, and made into fragments.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Any

import orjson
from graphql import GraphQLError

from balance_gateway.api.compiled.arguments import Given
from balance_gateway.api.compiled.entity import BalanceArguments, BalanceField, OpeningField
from balance_gateway.api.compiled.fragments import Fragment, FragmentTables, fragment_of
from balance_gateway.api.compiled.plan import Plan, Root
from balance_gateway.api.compiled.selection import NotCompiled
from balance_gateway.api.compiled.values import id_of, ids_of
from balance_gateway.api.context import RequestContext
from balance_gateway.api.errors import formatted
from balance_gateway.domain.access import Scope
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import BalanceRequest, FreshnessState, Mark
from balance_gateway.domain.days import day_end_exclusive
from balance_gateway.domain.errors import GatewayError

_FAR_S = float("inf")
#: Arguments that name no day mean another day in each zone: they are looked up zone by zone.
Asked = tuple[Any, ...]


@dataclass(slots=True)
class Wanted:
    """What one root field of one request comes to.

    Attributes:
        root: the root field.
        ids: the ids asked for, in order.
        arguments: of each balance field, in the entity's order.
        bodies: JSON per id, in order; None where it has still to be had.
        until_s: until when the bodies that are there count.
        marks: under what they count.
    """

    root: Root
    ids: Sequence[str]
    arguments: Sequence[BalanceArguments]
    bodies: list[bytes | None]
    until_s: float = _FAR_S
    marks: list[Mark] = field(default_factory=list)


@dataclass(slots=True)
class Answering:
    """The answer to one request, as far as it has come.

    Attributes:
        context: the request's.
        wanted: per root field.
        slots: the string literals of a document that is one of many alike.
        errors: with their paths, as they are sent.
    """

    context: RequestContext
    wanted: list[Wanted]
    slots: Sequence[str]
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing has to be read."""
        return all(None not in wanted.bodies for wanted in self.wanted)

    def body(self) -> bytes:
        """The answer's JSON; everything has to be there."""
        members = [orjson.dumps(wanted.root.key) + b":" + _joined(wanted) for wanted in self.wanted]
        data = b'{"data":{' + b",".join(members) + b"}"
        if not self.errors:
            return data + b"}"
        return data + b',"errors":' + orjson.dumps(self.errors) + b"}"

    @property
    def reads(self) -> int:
        """How many values are in it."""
        return sum(
            len(wanted.ids) * (len(wanted.root.entity.balances) + len(wanted.root.entity.openings))
            for wanted in self.wanted
        )

    def until_s(self) -> float:
        """Until when the same request would be answered the same, if all marks stand."""
        return min((wanted.until_s for wanted in self.wanted), default=0.0)

    def marks(self) -> tuple[Mark, ...]:
        """Under what the fragments in it count."""
        return tuple(chain.from_iterable(wanted.marks for wanted in self.wanted))


def _joined(wanted: Wanted) -> bytes:
    bodies: list[bytes] = wanted.bodies  # type: ignore[assignment]
    return b"[" + b",".join(bodies) + b"]" if wanted.root.is_list else bodies[0]


class Answerer:
    """Answers compiled operations from fragments and values.

    Args:
        tables: the fragments of this process.
    """

    def __init__(self, tables: FragmentTables) -> None:
        self._tables = tables

    def ready(
        self,
        plan: Plan,
        context: RequestContext,
        given: Given,
        slots: Sequence[str],
    ) -> Answering:
        """The answer as far as fragments go.

        Raises:
            NotCompiled: the request is one for graphql-core.
            Forbidden: the caller may not read.
        """
        if Scope.BALANCES_READ not in context.principal.scopes:
            raise NotCompiled
        now_s = context.now.timestamp()
        accounts = context.gateway.directory.accounts_of(context.principal)
        wanted = []
        for root in plan.roots:
            one = self._wanted(root, context, given, slots)
            self._fill(one, context, accounts, now_s)
            wanted.append(one)
        return Answering(context, wanted, slots)

    def _wanted(
        self, root: Root, context: RequestContext, given: Given, slots: Sequence[str]
    ) -> Wanted:
        raw = root.ids(given, slots)
        ids = ids_of(raw) if root.is_list else [id_of(raw)]
        if len(ids) > context.limits.ids:
            raise NotCompiled
        arguments = [balance.arguments(given, slots) for balance in root.entity.balances]
        return Wanted(root, ids, arguments, [None] * len(ids))

    def _fill(
        self,
        wanted: Wanted,
        context: RequestContext,
        accounts: Mapping[str, Account],
        now_s: float,
    ) -> None:
        """Takes the fragments that count. An unknown account has none, whoever's it may be."""
        bodies, until_s, mark_it = wanted.bodies, _FAR_S, wanted.marks.append
        tables: dict[str, dict[str, Fragment]] = {}
        same_for_all = all(arguments.as_of is not None for arguments in wanted.arguments)
        table = self._tables.table(_asked(wanted, None)) if same_for_all else None
        for index, account_id in enumerate(wanted.ids):
            account = accounts.get(account_id)
            if account is None:
                continue
            if not same_for_all:
                zone = account.time_zone.key
                table = tables.get(zone)
                if table is None:
                    day = context.today(account)
                    table = tables[zone] = self._tables.table(_asked(wanted, day))
                    # When the day is over, "today" is another.
                    midnight_s = day_end_exclusive(day, account.time_zone).timestamp()
                    until_s = min(until_s, midnight_s)
            assert table is not None
            fragment = table.get(account_id)
            if fragment is not None and fragment.mark.stands and now_s < fragment.until_s:
                bodies[index] = fragment.body
                mark_it(fragment.mark)
                until_s = min(until_s, fragment.until_s)
        wanted.until_s = until_s

    async def complete(self, answering: Answering) -> None:
        """Reads what is missing, and fills it in."""
        lacking = _Lacking(answering)
        await lacking.read()
        for wanted in answering.wanted:
            for index, body in enumerate(wanted.bodies):
                if body is None:
                    self._answer(answering, lacking, wanted, index)

    def _answer(
        self, answering: Answering, lacking: "_Lacking", wanted: Wanted, index: int
    ) -> None:
        root, context = wanted.root, answering.context
        path: list[str | int] = [root.key, index] if root.is_list else [root.key]
        account = lacking.accounts.get(wanted.ids[index])
        if account is None:
            raise NotCompiled
        values, failures = lacking.values_of(wanted, account)
        if failures and answering.slots:
            # Where its fields stand is known of the document that was compiled, not of this one.
            raise NotCompiled
        for reader, error in failures:
            key = next(key for key, member in root.entity.members if member is reader)
            answering.errors.append(
                formatted(
                    GraphQLError(
                        error.message,
                        nodes=reader.nodes,
                        path=[*path, key],
                        original_error=error,
                    ),
                    context.request_id,
                )
            )
        side = lacking.sides.get(account.id)
        body = orjson.dumps(root.entity.answer(account, side, values, context.now))
        wanted.bodies[index] = body
        wanted.until_s = 0.0
        if not failures:
            self._keep(context, wanted, account, body, lacking.observed_of(wanted, account))

    def _keep(
        self,
        context: RequestContext,
        wanted: Wanted,
        account: Account,
        body: bytes,
        observed: list[Any],
    ) -> None:
        """Keeps the account's JSON, if it would be the same the next time."""
        entity, until_s = wanted.root.entity, _FAR_S
        for one in observed:
            if entity.shows_state and one.state is not FreshnessState.CACHED:
                return
            if entity.shows_age:
                age_s = max(0, int((context.now - one.observed_at).total_seconds()))
                until_s = min(until_s, one.observed_at.timestamp() + age_s + 1)
        for arguments, one in zip(wanted.arguments, observed, strict=False):
            if arguments.max_age_s is not None:
                until_s = min(until_s, one.observed_at.timestamp() + arguments.max_age_s)
        fragment = fragment_of(body, [one.kept for one in observed], until_s)
        if fragment is not None:
            asked = _asked(wanted, context.today(account))
            self._tables.put(asked, account.id, fragment)


def _asked(wanted: Wanted, current: date | None) -> Asked:
    """What is asked of an account: the selection, and the arguments with their days resolved."""
    days = tuple(
        (arguments.as_of or current, arguments.max_age_s, arguments.on_stale)
        for arguments in wanted.arguments
    )
    # Whether a day is today decides how long its value is kept, not what it is.
    return (wanted.root.entity.signature, *days)


class _Lacking:
    """What the fragments lack: the reads of one request, and what they came to."""

    def __init__(self, answering: Answering) -> None:
        self._context = answering.context
        self.accounts = answering.context.gateway.directory.accounts_of(answering.context.principal)
        self.sides: dict[str, Side] = {}
        self._balances: dict[BalanceRequest, Any] = {}
        self._openings: dict[str, Any] = {}
        self._unsided: dict[str, Account] = {}
        for wanted in answering.wanted:
            for account_id, body in zip(wanted.ids, wanted.bodies, strict=True):
                if body is None:
                    self._note(wanted, account_id)

    def _note(self, wanted: Wanted, account_id: str) -> None:
        account = self.accounts.get(account_id)
        if account is None:
            # Its error stands where graphql-core puts it; that is for graphql-core to do.
            raise NotCompiled
        entity = wanted.root.entity
        for arguments in wanted.arguments:
            self._balances[self._request(account, arguments)] = None
        if entity.openings:
            self._openings[account.id] = account
        if entity.needs_side:
            if account.normal_balance is not None:
                self.sides[account.id] = account.normal_balance
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
        calls += [self._read_side(account) for account in self._unsided.values()]
        if len(calls) == 1:
            await calls[0]
        elif calls:
            await asyncio.gather(*calls)

    async def _read_balances(self, requests: list[BalanceRequest]) -> None:
        reads = self._context.gateway.reads
        try:
            answers = await self._context.deadline.keep(reads.balances(requests))
        except GatewayError as error:
            answers = [error] * len(requests)
        self._balances.update(zip(requests, answers, strict=True))

    async def _read_openings(self, accounts: list[Account]) -> None:
        reads = self._context.gateway.reads
        answers: Sequence[Any]
        try:
            answers = await self._context.deadline.keep(reads.opening_balances(accounts))
        except GatewayError as error:
            answers = [error] * len(accounts)
        for account, answer in zip(accounts, answers, strict=True):
            self._openings[account.id] = answer

    async def _read_side(self, account: Account) -> None:
        try:
            side = await self._context.deadline.keep(
                self._context.gateway.reads.normal_balance(account)
            )
        except GatewayError:
            # A field that must not be null takes its account with it: graphql-core's business.
            raise NotCompiled from None
        self.sides[account.id] = side

    def observed_of(self, wanted: Wanted, account: Account) -> list[Any]:
        """What was observed, of balances in the entity's order, then of the opening balance."""
        balances = [self._balances[self._request(account, each)] for each in wanted.arguments]
        return balances + ([self._openings[account.id]] if wanted.root.entity.openings else [])

    def values_of(
        self, wanted: Wanted, account: Account
    ) -> tuple[dict[int, Any], list[tuple[BalanceField | OpeningField, GatewayError]]]:
        """What was observed for each field by its id(), None for a null; and what failed."""
        entity = wanted.root.entity
        values: dict[int, Any] = {}
        failures: list[tuple[BalanceField | OpeningField, GatewayError]] = []
        arguments = iter(wanted.arguments)
        for _, reader in entity.members:
            if isinstance(reader, BalanceField):
                answer = self._balances[self._request(account, next(arguments))]
            elif isinstance(reader, OpeningField):
                answer = self._openings[account.id]
            else:
                continue
            if isinstance(answer, GatewayError):
                failures.append((reader, answer))
                answer = None
            elif answer.value is None:
                answer = None
            values[id(reader)] = answer
        return values, failures
