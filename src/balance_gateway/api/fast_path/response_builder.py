"""Answers compiled operations: fragments where they count, values where they do not, then joined.

The first half, ``ready``, is synchronous and is all that a dashboard needs that polls. Only what
it lacks is read, in one call for balances and one for opening balances, and made into fragments.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from graphql import GraphQLError

from balance_gateway.api.execution.engine import encode_json
from balance_gateway.api.fast_path.account_json_cache import (
    AccountJsonCache,
    Asked,
    CachedAccountJson,
    build_account_json,
)
from balance_gateway.api.fast_path.argument_coercion import coerce_id, coerce_ids
from balance_gateway.api.fast_path.argument_sources import Given
from balance_gateway.api.fast_path.collect_fields import FallBackToGraphQLCore
from balance_gateway.api.fast_path.missing_reads import MissingReads
from balance_gateway.api.fast_path.operation_plan import Plan, Root
from balance_gateway.api.fast_path.response_state import FAR_S, PartialResponse, RootFieldState
from balance_gateway.api.request.context import RequestContext
from balance_gateway.api.schema.errors import format_error
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.domain.errors import Forbidden
from balance_gateway.ports.reads import (
    FreshnessState,
)


class ResponseBuilder:
    """Answers compiled operations from fragments and values.

    Args:
        tables: the fragments of this process.
    """

    def __init__(self, tables: AccountJsonCache) -> None:
        self._tables = tables

    def ready(
        self,
        plan: Plan,
        context: RequestContext,
        given: Given,
        slots: Sequence[str],
    ) -> PartialResponse:
        """The answer as far as fragments go.

        Raises:
            NotCompiled: the request is one for graphql-core.
        """
        try:
            directory = context.directory_for_reading()
        except Forbidden:
            # graphql-core reports the missing scope at each root field.
            raise FallBackToGraphQLCore from None
        now_s = context.now.timestamp()
        accounts = directory.accounts_of(context.principal)
        wanted = []
        for root in plan.roots:
            one = self._wanted(root, context, given, slots)
            self._fill(one, context, accounts, now_s)
            wanted.append(one)
        return PartialResponse(context, wanted, slots)

    def _wanted(
        self, root: Root, context: RequestContext, given: Given, slots: Sequence[str]
    ) -> RootFieldState:
        raw = root.ids(given, slots)
        ids = coerce_ids(raw) if root.is_list else [coerce_id(raw)]
        if len(ids) > context.limits.ids:
            raise FallBackToGraphQLCore
        arguments = [balance.arguments(given, slots) for balance in root.entity.balances]
        return RootFieldState(root, ids, arguments, [None] * len(ids))

    def _fill(
        self,
        wanted: RootFieldState,
        context: RequestContext,
        accounts: Mapping[str, Account],
        now_s: float,
    ) -> None:
        """Takes the fragments that count. An unknown account has none, whoever's it may be."""
        bodies, until_s, mark_it = wanted.bodies, FAR_S, wanted.marks.append
        tables: dict[str, Mapping[str, CachedAccountJson]] = {}
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
            if fragment is not None and fragment.validity.is_valid and now_s < fragment.until_s:
                bodies[index] = fragment.body
                mark_it(fragment.validity)
                until_s = min(until_s, fragment.until_s)
        wanted.until_s = until_s

    async def complete(self, answering: PartialResponse) -> None:
        """Reads what is missing, and fills it in.

        Raises:
            NotCompiled: the request is one for graphql-core, which finds in the context what was
                read: nothing is asked for twice.
        """
        lacking = MissingReads(answering)
        await lacking.read()
        try:
            for wanted in answering.wanted:
                for index, body in enumerate(wanted.bodies):
                    if body is None:
                        self._answer(answering, lacking, wanted, index)
        except FallBackToGraphQLCore:
            lacking.prime_loaders()
            raise

    def _answer(
        self, answering: PartialResponse, lacking: MissingReads, wanted: RootFieldState, index: int
    ) -> None:
        root, context = wanted.root, answering.context
        path: list[str | int] = [root.key, index] if root.is_list else [root.key]
        account = lacking.accounts[wanted.ids[index]]
        values, failures = lacking.values_of(wanted, account)
        if failures and answering.slots:
            # Where its fields stand is known of the document that was compiled, not of this one.
            raise FallBackToGraphQLCore
        for reader, error in failures:
            key = next(key for key, member in root.entity.members if member is reader)
            answering.errors.append(
                format_error(
                    GraphQLError(
                        error.message,
                        nodes=reader.nodes,
                        path=[*path, key],
                        original_error=error,
                    ),
                    context.request_id,
                )
            )
        side = lacking.side_of(account) if root.entity.needs_side else None
        body = encode_json(root.entity.answer(account, side, values, context.now))
        wanted.bodies[index] = body
        wanted.until_s = 0.0
        if not failures:
            self._keep(context, wanted, account, body, lacking.observed_of(wanted, account))

    def _keep(
        self,
        context: RequestContext,
        wanted: RootFieldState,
        account: Account,
        body: bytes,
        observed: list[Any],
    ) -> None:
        """Keeps the account's JSON, if it would be the same the next time."""
        if any(one.kept is None for one in observed):
            return
        entity, until_s = wanted.root.entity, FAR_S
        for one in observed:
            if entity.shows_state and one.state is not FreshnessState.CACHED:
                return
            if entity.shows_age:
                age_s = max(0, int((context.now - one.observed_at).total_seconds()))
                until_s = min(until_s, one.observed_at.timestamp() + age_s + 1)
        for arguments, one in zip(wanted.arguments, observed, strict=False):
            if arguments.max_age_s is not None:
                until_s = min(until_s, one.observed_at.timestamp() + arguments.max_age_s)
        fragment = build_account_json(body, [one.kept for one in observed], until_s)
        if fragment is not None:
            asked = _asked(wanted, context.today(account))
            self._tables.put(asked, account.id, fragment)


def _asked(wanted: RootFieldState, current: date | None) -> Asked:
    """What is asked of an account: the selection, and the arguments with their days resolved."""
    days = tuple(
        (arguments.as_of or current, arguments.max_age_s, arguments.on_stale)
        for arguments in wanted.arguments
    )
    # Whether a day is today decides how long its value is kept, not what it is.
    return (wanted.root.entity.signature, *days)
