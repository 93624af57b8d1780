"""Builds the response of a compiled operation from cached account JSON and from reads.

The engine calls ``build_from_cache`` with a plan and the arguments of a request: it is synchronous,
and completes the response of a client that polls unchanged accounts. For an incomplete response the
engine calls ``fill_missing``, which reads the missing values (``missing_reads``), writes the JSON
of each account and caches it. The output is a ``PartialResponse`` (``response_state``).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from graphql import GraphQLError

from balance_gateway.api.fast_path.account_json_cache import (
    AccountJsonCache,
    CachedAccountJson,
    ProjectionKey,
    build_cached_account_json,
)
from balance_gateway.api.fast_path.account_projection import ReadField
from balance_gateway.api.fast_path.argument_coercion import coerce_id, coerce_ids
from balance_gateway.api.fast_path.argument_sources import Variables
from balance_gateway.api.fast_path.collect_fields import FallBackToGraphQLCore
from balance_gateway.api.fast_path.missing_reads import MissingReads
from balance_gateway.api.fast_path.operation_plan import Plan, Root
from balance_gateway.api.fast_path.response_state import (
    NEVER_EXPIRES_S,
    PartialResponse,
    RootFieldState,
)
from balance_gateway.api.request.context import RequestContext
from balance_gateway.api.schema.errors import format_error
from balance_gateway.api.schema.json_output import encode_json
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.domain.errors import Forbidden, GatewayError
from balance_gateway.ports.reads import FreshnessState


class ResponseBuilder:
    """Builds responses of compiled operations.

    Args:
        account_json_cache: the cached account JSON of this process.
    """

    def __init__(self, account_json_cache: AccountJsonCache) -> None:
        self._account_json_cache = account_json_cache

    def build_from_cache(
        self,
        plan: Plan,
        context: RequestContext,
        variables: Variables,
        slot_values: Sequence[str],
    ) -> PartialResponse:
        """Build the response as far as valid cached account JSON allows.

        Args:
            plan: the compiled operation.
            context: the context of the request.
            variables: the variables of the request.
            slot_values: the string literals of the query, when the plan comes from a template.

        Raises:
            FallBackToGraphQLCore: the caller must not read balances, or an argument is invalid or
                unusual.
        """
        try:
            directory = context.directory_for_reading()
        except Forbidden:
            # graphql-core reports the missing scope at each root field.
            raise FallBackToGraphQLCore from None
        now_s = context.now.timestamp()
        accounts = directory.accounts_for(context.principal)
        root_fields = []
        for root in plan.roots:
            root_field = self._build_root_field(root, context, variables, slot_values)
            self._fill_from_cache(root_field, context, accounts, now_s)
            root_fields.append(root_field)
        return PartialResponse(context, root_fields, slot_values)

    def _build_root_field(
        self, root: Root, context: RequestContext, variables: Variables, slot_values: Sequence[str]
    ) -> RootFieldState:
        raw = root.ids(variables, slot_values)
        ids = coerce_ids(raw) if root.is_list else [coerce_id(raw)]
        if len(ids) > context.limits.ids:
            raise FallBackToGraphQLCore
        arguments = [
            balance_field.evaluate_arguments(variables, slot_values)
            for balance_field in root.projection.balance_fields
        ]
        return RootFieldState(root, ids, arguments, [None] * len(ids))

    def _fill_from_cache(
        self,
        root_field: RootFieldState,
        context: RequestContext,
        accounts: Mapping[str, Account],
        now_s: float,
    ) -> None:
        """Fill in the valid cached JSON; an account that is not in ``accounts`` stays missing."""
        bodies, valid_until_s = root_field.bodies, NEVER_EXPIRES_S
        add_validity = root_field.validities.append
        tables_by_zone: dict[str, Mapping[str, CachedAccountJson]] = {}
        # "Today" depends on the account's time zone; explicit days are the same for all accounts.
        same_days = all(arguments.as_of is not None for arguments in root_field.arguments)
        table = (
            self._account_json_cache.get_table(_build_projection_key(root_field, None))
            if same_days
            else None
        )
        for index, account_id in enumerate(root_field.ids):
            account = accounts.get(account_id)
            if account is None:
                continue
            if not same_days:
                zone = account.time_zone.key
                table = tables_by_zone.get(zone)
                if table is None:
                    today = context.today(account)
                    table = self._account_json_cache.get_table(
                        _build_projection_key(root_field, today)
                    )
                    tables_by_zone[zone] = table
                    # From midnight on "today" is another day.
                    midnight_s = day_end_exclusive(today, account.time_zone).timestamp()
                    valid_until_s = min(valid_until_s, midnight_s)
            assert table is not None
            entry = table.get(account_id)
            if entry is not None and entry.validity.is_valid and now_s < entry.valid_until_s:
                bodies[index] = entry.body
                add_validity(entry.validity)
                valid_until_s = min(valid_until_s, entry.valid_until_s)
        root_field.valid_until_s = valid_until_s

    async def fill_missing(self, partial: PartialResponse) -> None:
        """Read the missing values and fill in the JSON of their accounts.

        Raises:
            FallBackToGraphQLCore: graphql-core has to execute the operation. The loaders of the
                request then hold all values that were read, so nothing is read twice.
        """
        missing = MissingReads(partial)
        await missing.read()
        try:
            for root_field in partial.root_fields:
                for index, body in enumerate(root_field.bodies):
                    if body is None:
                        self._fill_account(partial, missing, root_field, index)
        except FallBackToGraphQLCore:
            missing.prime_loaders()
            raise

    def _fill_account(
        self,
        partial: PartialResponse,
        missing: MissingReads,
        root_field: RootFieldState,
        index: int,
    ) -> None:
        root, context = root_field.root, partial.context
        projection = root.projection
        path: list[str | int] = [root.key, index] if root.is_list else [root.key]
        account = missing.accounts[root_field.ids[index]]
        values, failures = missing.split_results(root_field, account)
        if failures and partial.slot_values:
            # Errors contain the location of the field, and the plan has the locations of the
            # document that it was compiled from.
            raise FallBackToGraphQLCore
        for source, error in failures:
            key = next(key for key, member in projection.members if member is source)
            partial.errors.append(_format_failure(source, error, [*path, key], context))
        try:
            body = encode_json(projection.build_json(account, values, context.now))
        except Exception:
            # graphql-core reports a value that cannot be written out at its own field, and the
            # rest of the response stays.
            raise FallBackToGraphQLCore from None
        root_field.bodies[index] = body
        # A response with values that were just read is not cached as a whole.
        root_field.valid_until_s = 0.0
        if not failures:
            observed = missing.list_observed(root_field, account)
            self._cache_account_json(context, root_field, account, body, observed)

    def _cache_account_json(
        self,
        context: RequestContext,
        root_field: RootFieldState,
        account: Account,
        body: bytes,
        observed: list[Any],
    ) -> None:
        """Cache the account's JSON, unless the next equal request would get different JSON."""
        if any(each.cache_terms is None for each in observed):
            return
        projection, valid_until_s = root_field.root.projection, NEVER_EXPIRES_S
        for each in observed:
            # A live value is in the state CACHED the next time.
            if projection.shows_state and each.state is not FreshnessState.CACHED:
                return
            if projection.shows_age:
                age_s = max(0, int((context.now - each.observed_at).total_seconds()))
                valid_until_s = min(valid_until_s, each.observed_at.timestamp() + age_s + 1)
        # Balances come first in ``observed``; an opening balance after them has no arguments.
        for arguments, each in zip(root_field.arguments, observed, strict=False):
            if arguments.max_age_s is not None:
                expires_s = each.observed_at.timestamp() + arguments.max_age_s
                valid_until_s = min(valid_until_s, expires_s)
        terms = [each.cache_terms for each in observed]
        entry = build_cached_account_json(body, terms, valid_until_s)
        if entry is not None:
            key = _build_projection_key(root_field, context.today(account))
            self._account_json_cache.put(key, account.id, entry)


def _format_failure(
    source: ReadField,
    error: GatewayError,
    path: list[str | int],
    context: RequestContext,
) -> dict[str, Any]:
    graphql_error = GraphQLError(error.message, nodes=source.nodes, path=path, original_error=error)
    return format_error(graphql_error, context.request_id)


def _build_projection_key(root_field: RootFieldState, today: date | None) -> ProjectionKey:
    """Build the cache key of a projection and its arguments; ``today`` resolves omitted days."""
    # Whether a day is today affects how long its value is cached, not the value, so "today" and
    # the explicit day share an entry.
    arguments = tuple(
        (each.as_of or today, each.max_age_s, each.on_stale) for each in root_field.arguments
    )
    return (root_field.root.projection.signature, *arguments)
