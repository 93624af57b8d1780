"""The query root: accounts, totals, connectors, and who asks. Each field names its scope."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Annotated, TypeVar, cast

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import DEFAULT_LIMITS, Limits
from balance_gateway.api.schema.bank_account import BankAccount, build_bank_account
from balance_gateway.api.schema.connection import BankAccountConnection, build_connection
from balance_gateway.api.schema.connectors import (
    Connector,
    ProviderKind,
    build_connector,
    to_domain_provider,
)
from balance_gateway.api.schema.history import require_usable_day
from balance_gateway.api.schema.list_sizes import TYPICAL_SIZE, count_items, list_size
from balance_gateway.api.schema.node import Node, is_connector_id, parse_connector_name
from balance_gateway.api.schema.opening_balance_writes import (
    OpeningBalanceWrite,
    OpeningBalanceWriteConnection,
    count_page,
    get_write,
    list_writes,
)
from balance_gateway.api.schema.scalars import CurrencyCode, unset_to_none
from balance_gateway.api.schema.totals import CurrencyTotal, build_currency_total
from balance_gateway.api.schema.viewer import Gateway, Viewer, resolve_gateway, resolve_viewer
from balance_gateway.domain.access import Principal
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import AccountNotFound, BadInput, GatewayError, TooExpensive
from balance_gateway.ports.reads import BalanceRequest, Observed
from balance_gateway.service.account_index import AccountFilter
from balance_gateway.service.balances import compute_totals
from balance_gateway.service.directory import Directory

T = TypeVar("T")

ACCOUNT_ID_CHARACTERS_MAX = 64
NODE_ID_CHARACTERS_MAX = 100
NAME_CHARACTERS_MAX = 200
#: The number of accounts on a page if the caller asks for none.
PAGE_SIZE = 100
_ITEMS_MAX = DEFAULT_LIMITS.ids


@strawberry.input(
    description="A filter for accounts: an account must match every condition. An empty list "
    "matches no account."
)
class BankAccountFilter:
    """A filter for accounts."""

    ids: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"Accounts with one of these ids; at most {_ITEMS_MAX}.",
    )
    connectors: list[strawberry.ID] | None = strawberry.field(
        default=strawberry.UNSET,
        description=f"Accounts of one of these connectors, by id or name; at most {_ITEMS_MAX}.",
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
        description="Accounts with this text in their name, ignoring case; at most 200 characters.",
    )


_FilterArgument = Annotated[
    BankAccountFilter | None,
    strawberry.argument(description="The accounts to include. Default: all accounts."),
]


def _to_domain_filter(sent: BankAccountFilter | None, ids_max: int) -> AccountFilter:
    """Convert the filter to the service's, and check the lengths of its lists."""
    if not sent:
        return AccountFilter()
    # null is no condition; an empty list is a condition that no account meets.
    name_contains = unset_to_none(sent.name_contains)
    if name_contains is not None and len(name_contains) > NAME_CHARACTERS_MAX:
        message = f"filter.nameContains must have at most {NAME_CHARACTERS_MAX} characters."
        raise BadInput(message, field="filter.nameContains")
    providers = _check_items(sent.providers, "filter.providers", ids_max)
    ids = _check_items(sent.ids, "filter.ids", ids_max)
    connectors = _check_items(sent.connectors, "filter.connectors", ids_max)
    currencies = _check_items(sent.currencies, "filter.currencies", ids_max)
    return AccountFilter(
        ids=None if ids is None else frozenset(map(str, ids)),
        connectors=None if connectors is None else tuple(map(parse_connector_name, connectors)),
        providers=None if providers is None else tuple(map(to_domain_provider, providers)),
        currencies=None if currencies is None else tuple(map(str, currencies)),
        name_contains=name_contains,
    )


def _check_items(items: list[T] | None, field: str, items_max: int) -> tuple[T, ...] | None:
    """Return the items of a list argument; None when it was null or left out.

    Raises:
        BadInput: the list has more than ``items_max`` items.
    """
    sent = unset_to_none(items)
    if sent is None:
        return None
    if len(sent) > items_max:
        message = f"{field} must have at most {items_max} items, not {len(sent)}. Split the list."
        raise BadInput(message, field=field)
    return tuple(sent)


def _account(
    directory: Directory, principal: Principal, account_id: str, field: str
) -> BankAccount:
    # A longer id cannot exist, and the error of an unknown account repeats the id.
    if len(account_id) > ACCOUNT_ID_CHARACTERS_MAX:
        message = (
            f"{field} must be an account id of at most {ACCOUNT_ID_CHARACTERS_MAX} characters."
        )
        raise BadInput(message, field=field)
    return build_bank_account(directory.account(principal, account_id))


def _find_node(directory: Directory, principal: Principal, node_id: str, field: str) -> Node:
    if not is_connector_id(node_id):
        return _account(directory, principal, node_id, field)
    name = parse_connector_name(node_id)
    for connector in directory.connectors_for(principal):
        if connector.id == name:
            return build_connector(connector)
    # Longer than any name: the error must not repeat a text of any length.
    raise AccountNotFound(node_id[:NODE_ID_CHARACTERS_MAX])


def _nodes(
    info: Info,
    ids: Annotated[
        list[strawberry.ID],
        strawberry.argument(
            description="The ids of accounts and connectors; at most "
            f"{_ITEMS_MAX}, repetitions are allowed."
        ),
    ],
) -> list[Node | None]:
    context = info.context
    directory = context.directory_for_reading()
    nodes: list[Node | Exception] = []
    for node_id in _check_items(ids, "ids", context.limits.ids) or ():
        try:
            nodes.append(_find_node(directory, context.principal, node_id, "ids"))
        except (AccountNotFound, BadInput) as error:
            nodes.append(error)
    # graphql-core reports each exception in the list as the error of its own item.
    return cast(list[Node | None], nodes)


def _count_ids(limits: Limits, ids: object) -> int:
    return min(count_items(ids), limits.ids)


def _raise_defects(
    results: Sequence[Observed[BalanceFigures] | Exception],
) -> list[Observed[BalanceFigures] | GatewayError]:
    """Return the results unchanged.

    Raises:
        Exception: the first result that is neither a balance nor an error for the caller.
    """
    checked: list[Observed[BalanceFigures] | GatewayError] = []
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, GatewayError):
            # A defect must not be listed as a missing account.
            raise result
        checked.append(result)
    return checked


def _node(
    info: Info,
    id: Annotated[
        strawberry.ID, strawberry.argument(description="The id of an account or a connector.")
    ],
) -> Node | None:
    context = info.context
    return _find_node(context.directory_for_reading(), context.principal, id, "id")


def _bank_account(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The id of the account.")],
) -> BankAccount | None:
    context = info.context
    return _account(context.directory_for_reading(), context.principal, id, "id")


def _bank_accounts(
    info: Info,
    filter: _FilterArgument = strawberry.UNSET,
    first: Annotated[
        int | None,
        strawberry.argument(
            description=f"The maximum number of accounts; 0 to {DEFAULT_LIMITS.page_size}."
        ),
    ] = PAGE_SIZE,
    after: Annotated[
        str | None,
        strawberry.argument(description="The cursor before the page. Default: the start."),
    ] = strawberry.UNSET,
) -> BankAccountConnection:
    context = info.context
    directory = context.directory_for_reading()
    count = PAGE_SIZE if first is None else first
    if not 0 <= count <= context.limits.page_size:
        raise BadInput(
            f"first must be in the range 0 to {context.limits.page_size}.", field="first"
        )
    chosen = _to_domain_filter(filter, context.limits.ids)
    accounts = directory.select(context.principal, chosen)
    return build_connection(accounts, count, unset_to_none(after))


def _count_page(limits: Limits, first: object) -> int:
    size = first if isinstance(first, int) else PAGE_SIZE
    return min(max(size, 1), limits.page_size, limits.accounts)


def _balance_totals(
    info: Info,
    filter: _FilterArgument = strawberry.UNSET,
    as_of: Annotated[
        date | None,
        strawberry.argument(
            description="The day, in each account's time zone; the balances are those at its "
            "end. Default: today."
        ),
    ] = strawberry.UNSET,
) -> list[CurrencyTotal]:
    context = info.context
    directory = context.directory_for_reading()
    day = require_usable_day(unset_to_none(as_of), "asOf")
    chosen = _to_domain_filter(filter, context.limits.ids)
    accounts = directory.select(context.principal, chosen)
    # A total has no pages, so its size is limited before any balance is read.
    _refuse_too_many(len(accounts), context.limits.totals_accounts)
    requests = [context.balance_request(account, day) for account in accounts]
    return context.balances.load_all(requests, partial(_build_totals, requests))


def _build_totals(
    requests: list[BalanceRequest], results: list[Observed[BalanceFigures] | Exception]
) -> list[CurrencyTotal]:
    accounts = [request.account for request in requests]
    days = [request.as_of for request in requests]
    totals = compute_totals(accounts, days, _raise_defects(results))
    return [build_currency_total(total) for total in totals]


def _refuse_too_many(count: int, accounts_max: int) -> None:
    if count > accounts_max:
        message = (
            f"The totals must have at most {accounts_max} accounts, not {count}. Use a filter that "
            "matches fewer accounts."
        )
        raise TooExpensive(message, field="filter")


def _connectors(info: Info) -> list[Connector]:
    context = info.context
    connectors = context.directory_for_reading().connectors_for(context.principal)
    return [build_connector(connector) for connector in connectors]


@strawberry.type(description="The read operations. Each field names the scope that it needs.")
class Query:
    """The read operations."""

    node: Node | None = strawberry.field(
        resolver=_node,
        description="An object by its id; null and an error with the code ACCOUNT_NOT_FOUND if it "
        "does not exist or is not yours. Needs balances:read.",
    )
    nodes: list[Node | None] = strawberry.field(
        resolver=_nodes,
        metadata=list_size(_count_ids, "ids"),
        description="Objects by their ids, in the order of the ids; null and an error with the "
        "code ACCOUNT_NOT_FOUND for each object that does not exist or is not yours. Needs "
        "balances:read.",
    )
    bank_account: BankAccount | None = strawberry.field(
        resolver=_bank_account,
        description="An account by its id; null and an error with the code ACCOUNT_NOT_FOUND if it "
        "does not exist or is not yours. Needs balances:read.",
    )
    bank_accounts: BankAccountConnection = strawberry.field(
        resolver=_bank_accounts,
        metadata=list_size(_count_page, "first"),
        description="Your accounts in pages, sorted by id. Needs balances:read.",
    )
    balance_totals: list[CurrencyTotal] = strawberry.field(
        resolver=_balance_totals,
        metadata=list_size(TYPICAL_SIZE, compute_work=lambda limits: limits.accounts),
        description="The totals of your accounts' balances, one per currency, sorted by currency "
        "code. Accounts that cannot be read are listed in missing. Needs balances:read.",
    )
    connectors: list[Connector] = strawberry.field(
        resolver=_connectors,
        metadata=list_size(TYPICAL_SIZE),
        description="The connectors of your accounts, sorted by name. Needs balances:read.",
    )
    viewer: Viewer = strawberry.field(
        resolver=resolve_viewer,
        description="The credential of the request. For any credential, also without a scope.",
    )
    gateway: Gateway = strawberry.field(
        resolver=resolve_gateway,
        description="The gateway that answers. For any credential, also without a scope.",
    )
    opening_balance_write: OpeningBalanceWrite | None = strawberry.field(
        resolver=get_write,
        description="A recorded write by its id; null if it does not exist or is not yours. Needs "
        "audit:read.",
    )
    opening_balance_writes: OpeningBalanceWriteConnection | None = strawberry.field(
        resolver=list_writes,
        metadata=list_size(count_page, "first"),
        description="Your recorded writes in pages, newest first. Needs audit:read.",
    )
