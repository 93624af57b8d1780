"""The query root: accounts, totals, connectors. Every field needs the scope balances:read."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Annotated, TypeVar, cast

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import DEFAULT_LIMITS
from balance_gateway.api.schema.bank_account import (
    BankAccount,
    Node,
    build_bank_account,
    require_usable_day,
)
from balance_gateway.api.schema.connection import BankAccountConnection, build_connection
from balance_gateway.api.schema.connectors import (
    Connector,
    ProviderKind,
    build_connector,
    to_domain_provider,
)
from balance_gateway.api.schema.scalars import CurrencyCode, unset_to_none
from balance_gateway.api.schema.totals import CurrencyTotal, build_currency_total
from balance_gateway.domain.access import Principal
from balance_gateway.domain.balances import (
    BalanceFigures,
)
from balance_gateway.domain.errors import AccountNotFound, BadInput, GatewayError, TooExpensive
from balance_gateway.ports.reads import (
    BalanceRequest,
    Observed,
)
from balance_gateway.service.balances import compute_totals
from balance_gateway.service.directory import AccountFilter, Directory

T = TypeVar("T")

ACCOUNT_ID_CHARACTERS_MAX = 64
NAME_CHARACTERS_MAX = 200
_ITEMS_MAX = DEFAULT_LIMITS.ids


@strawberry.input(
    description="Which accounts are meant: those that pass every condition given. An empty list "
    "is passed by none."
)
class BankAccountFilter:
    """Which accounts are meant."""

    ids: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"Accounts with one of these ids; at most {_ITEMS_MAX}.",
    )
    connectors: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"Accounts reached through one of these; at most {_ITEMS_MAX}.",
    )
    providers: list[ProviderKind] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"Accounts at one of these providers; at most {_ITEMS_MAX}.",
    )
    currencies: list[CurrencyCode] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"Accounts in one of these currencies; at most {_ITEMS_MAX}.",
    )
    name_contains: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Accounts whose name has this part, upper and lower case alike; at most 200 "
        "characters.",
    )


_FilterArgument = Annotated[
    BankAccountFilter | None, strawberry.argument(description="Left out: all accounts.")
]


def _domain_filter(wanted: BankAccountFilter | None, ids_max: int) -> AccountFilter:
    """The filter in the domain's words, its lists checked for length."""
    if not wanted:
        return AccountFilter()
    name_contains = unset_to_none(wanted.name_contains)
    if name_contains is not None and len(name_contains) > NAME_CHARACTERS_MAX:
        message = f"filter.nameContains has more than {NAME_CHARACTERS_MAX} characters."
        raise BadInput(message, field="filter.nameContains")
    providers = _items(wanted.providers, "filter.providers", ids_max)
    ids = _items(wanted.ids, "filter.ids", ids_max)
    connectors = _items(wanted.connectors, "filter.connectors", ids_max)
    currencies = _items(wanted.currencies, "filter.currencies", ids_max)
    return AccountFilter(
        ids=None if ids is None else frozenset(map(str, ids)),
        connectors=None if connectors is None else tuple(map(str, connectors)),
        providers=None if providers is None else tuple(map(to_domain_provider, providers)),
        currencies=None if currencies is None else tuple(map(str, currencies)),
        name_contains=name_contains,
    )


def _items(items: list[T] | None, field: str, items_max: int) -> tuple[T, ...] | None:
    """The items of a list that was unset_to_none and is not too long."""
    known = unset_to_none(items)
    if known is None:
        return None
    if len(known) > items_max:
        message = f"{field} has {len(known)} items; at most {items_max} are taken. Split the list."
        raise BadInput(message, field=field)
    return tuple(known)


def _account(
    directory: Directory, principal: Principal, account_id: str, field: str
) -> BankAccount:
    if len(account_id) > ACCOUNT_ID_CHARACTERS_MAX:
        message = f"{field} is longer than the {ACCOUNT_ID_CHARACTERS_MAX} characters of an id."
        raise BadInput(message, field=field)
    return build_bank_account(directory.account(principal, account_id))


def _nodes(
    info: Info,
    ids: Annotated[
        list[strawberry.ID],
        strawberry.argument(
            description=f"Account ids; at most {_ITEMS_MAX}, repetitions are allowed."
        ),
    ],
) -> list[Node | None]:
    context = info.context
    directory = context.directory_for_reading()
    nodes: list[Node | Exception] = []
    for account_id in _items(ids, "ids", context.limits.ids) or ():
        try:
            nodes.append(_account(directory, context.principal, account_id, "ids"))
        except (AccountNotFound, BadInput) as error:
            nodes.append(error)
    return cast(list[Node | None], nodes)  # graphql-core raises the errors in it, one by one.


def _told(
    answers: Sequence[Observed[BalanceFigures] | Exception],
) -> list[Observed[BalanceFigures] | GatewayError]:
    """The answers, when all failures are ones to tell of; a defect is raised."""
    told: list[Observed[BalanceFigures] | GatewayError] = []
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, GatewayError):
            raise answer
        told.append(answer)
    return told


def _node(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="An account's id.")],
) -> Node | None:
    context = info.context
    return _account(context.directory_for_reading(), context.principal, id, "id")


def _bank_account(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The account's id.")],
) -> BankAccount | None:
    context = info.context
    return _account(context.directory_for_reading(), context.principal, id, "id")


def _bank_accounts(
    info: Info,
    filter: _FilterArgument = strawberry.UNSET,
    first: Annotated[
        int | None,
        strawberry.argument(description=f"How many accounts; 1 to {DEFAULT_LIMITS.page_size}."),
    ] = 100,
    after: Annotated[
        str | None,
        strawberry.argument(description="The cursor before the page; left out: the start."),
    ] = strawberry.UNSET,
) -> BankAccountConnection:
    context = info.context
    directory = context.directory_for_reading()
    count = 100 if first is None else first
    if not 1 <= count <= context.limits.page_size:
        raise BadInput(f"first must be 1 to {context.limits.page_size}.", field="first")
    chosen = _domain_filter(filter, context.limits.ids)
    accounts = directory.select(context.principal, chosen)
    return build_connection(accounts, count, unset_to_none(after))


def _balance_totals(
    info: Info,
    filter: _FilterArgument = strawberry.UNSET,
    as_of: Annotated[
        date | None,
        strawberry.argument(
            description="The day at whose end the balances are taken, in each account's time "
            "zone; left out: today."
        ),
    ] = strawberry.UNSET,
) -> list[CurrencyTotal]:
    context = info.context
    directory = context.directory_for_reading()
    day = require_usable_day(unset_to_none(as_of), "asOf")
    chosen = _domain_filter(filter, context.limits.ids)
    accounts = directory.select(context.principal, chosen)
    _refuse_too_many(len(accounts), context.limits.totals_accounts)
    requests = [context.balance_request(account, day) for account in accounts]
    return context.balances.load_all(requests, partial(_totals_of, requests))


def _totals_of(
    requests: list[BalanceRequest], answers: list[Observed[BalanceFigures] | Exception]
) -> list[CurrencyTotal]:
    return [build_currency_total(total) for total in compute_totals(requests, _told(answers))]


def _refuse_too_many(count: int, accounts_max: int) -> None:
    if count > accounts_max:
        message = f"{count} accounts are to be added up; at most {accounts_max} are. Use a filter."
        raise TooExpensive(message, field="filter")


def _connectors(info: Info) -> list[Connector]:
    context = info.context
    connectors = context.directory_for_reading().connectors_of(context.principal)
    return [build_connector(connector) for connector in connectors]


@strawberry.type(description="Everything that can be read. Needs the scope balances:read.")
class Query:
    """Everything that can be read."""

    node: Node | None = strawberry.field(
        resolver=_node,
        description="An object by its id; null and an error with the code ACCOUNT_NOT_FOUND when "
        "it is unknown or not yours. Needs balances:read.",
    )
    nodes: list[Node | None] = strawberry.field(
        resolver=_nodes,
        description="Objects by their ids, in the order asked; null and an error with the code "
        "ACCOUNT_NOT_FOUND for each that is unknown or not yours. Needs balances:read.",
    )
    bank_account: BankAccount | None = strawberry.field(
        resolver=_bank_account,
        description="An account by its id; null and an error with the code ACCOUNT_NOT_FOUND when "
        "it is unknown or not yours. Needs balances:read.",
    )
    bank_accounts: BankAccountConnection = strawberry.field(
        resolver=_bank_accounts,
        description="Your accounts, in the order of their ids, page by page. Needs balances:read.",
    )
    balance_totals: list[CurrencyTotal] = strawberry.field(
        resolver=_balance_totals,
        description="The sums of your accounts' balances, one per currency, in the order of the "
        "codes. An account that cannot be read is named in missing. Needs balances:read.",
    )
    connectors: list[Connector] = strawberry.field(
        resolver=_connectors,
        description="The connectors through which you have accounts, in the order of their names. "
        "Needs balances:read.",
    )
