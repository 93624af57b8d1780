"""The query root: accounts, totals, connectors, and who asks. Each field names its scope."""

from typing import Annotated, cast

import strawberry

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import DEFAULT_LIMITS, Limits
from balance_gateway.api.schema.account_filter import check_items
from balance_gateway.api.schema.audit_log import (
    AuditEntryConnection,
    count_audit_page,
    list_audit_log,
)
from balance_gateway.api.schema.balance_explanation import BalanceExplanation, explain_balance
from balance_gateway.api.schema.balance_totals import (
    resolve_balance_totals,
    resolve_balance_totals_series,
)
from balance_gateway.api.schema.bank_account import BankAccount, build_bank_account
from balance_gateway.api.schema.bank_accounts import count_accounts, list_bank_accounts
from balance_gateway.api.schema.connection import BankAccountConnection
from balance_gateway.api.schema.connectors import Connector, build_connector
from balance_gateway.api.schema.history import count_points
from balance_gateway.api.schema.list_sizes import TYPICAL_SIZE, count_items, list_size
from balance_gateway.api.schema.node import Node, is_connector_id, parse_connector_name
from balance_gateway.api.schema.opening_balance_plans import OpeningBalancePlan, get_plan
from balance_gateway.api.schema.opening_balance_writes import (
    OpeningBalanceWrite,
    OpeningBalanceWriteConnection,
    count_page,
    get_write,
    list_writes,
)
from balance_gateway.api.schema.total_series import CurrencyTotalSeries
from balance_gateway.api.schema.totals import CurrencyTotal
from balance_gateway.api.schema.viewer import Gateway, Viewer, resolve_gateway, resolve_viewer
from balance_gateway.domain.access import Principal
from balance_gateway.domain.errors import AccountNotFound, BadInput
from balance_gateway.service.directory import Directory

ACCOUNT_ID_CHARACTERS_MAX = 64
NODE_ID_CHARACTERS_MAX = 100
#: What an explanation costs, so that a document has at most nine.
EXPLANATION_COST = 5_000
_ITEMS_MAX = DEFAULT_LIMITS.ids


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
    for node_id in check_items(ids, "ids", context.limits.ids) or ():
        try:
            nodes.append(_find_node(directory, context.principal, node_id, "ids"))
        except (AccountNotFound, BadInput) as error:
            nodes.append(error)
    # graphql-core reports each exception in the list as the error of its own item.
    return cast(list[Node | None], nodes)


def _count_ids(limits: Limits, ids: object) -> int:
    return min(count_items(ids), limits.ids)


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
        resolver=list_bank_accounts,
        metadata=list_size(count_accounts, "first", "last"),
        description="Your accounts in pages, sorted by id if no order is given. Needs "
        "balances:read.",
    )
    balance_totals: list[CurrencyTotal] = strawberry.field(
        resolver=resolve_balance_totals,
        metadata=list_size(TYPICAL_SIZE, compute_work=lambda limits: limits.accounts),
        description="The totals of your accounts' balances, one per currency, sorted by currency "
        "code; with groupBy one per group and currency. Accounts that cannot be read are listed in "
        "missing. Needs balances:read.",
    )
    balance_totals_series: list[CurrencyTotalSeries] | None = strawberry.field(
        resolver=resolve_balance_totals_series,
        metadata=list_size(
            count_points, "from", "to", "step", compute_work=lambda limits: limits.accounts
        ),
        description="The totals of several days, one series per currency, sorted by currency code. "
        "Days that are not kept are read within the call budgets. Needs balances:read.",
    )
    connectors: list[Connector] = strawberry.field(
        resolver=_connectors,
        metadata=list_size(TYPICAL_SIZE),
        description="The connectors of your accounts, and those that are configured for your "
        "company, sorted by name. Needs balances:read.",
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
    opening_balance_plan: OpeningBalancePlan | None = strawberry.field(
        resolver=get_plan,
        description="A plan of opening balances by its id; null if it does not exist or is not "
        "yours. Needs balances:write.",
    )
    audit_log: AuditEntryConnection | None = strawberry.field(
        resolver=list_audit_log,
        metadata=list_size(count_audit_page, "first"),
        description="Your audit log in pages, newest first. Needs audit:read.",
    )
    explain_balance: BalanceExplanation | None = strawberry.field(
        resolver=explain_balance,
        # It makes calls of its own: a document has room for a few.
        metadata=list_size(1, compute_work=lambda _limits: EXPLANATION_COST),
        description="Why an account's balance for a day and its opening balance are what they are; "
        "null and an error with the code ACCOUNT_NOT_FOUND if the account does not exist or is not "
        "yours. Makes calls to the provider. Needs audit:read.",
    )
