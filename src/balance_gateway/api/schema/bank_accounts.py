"""The root field ``bankAccounts``: the caller's accounts that match a filter, in pages."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry
from graphql import FieldNode, VariableNode

from balance_gateway.api.request.context import Info
from balance_gateway.api.request.limits import DEFAULT_LIMITS, Limits
from balance_gateway.api.schema.account_filter import FilterArgument, to_domain_filter
from balance_gateway.api.schema.connection import (
    BankAccountConnection,
    Window,
    build_connection,
)
from balance_gateway.api.schema.pages import require_page_size
from balance_gateway.api.schema.scalars import unset_to_none
from balance_gateway.domain.errors import BadInput
from balance_gateway.service.account_order import AccountOrder

#: The number of accounts on a page if the caller asks for none.
PAGE_SIZE = 100

if TYPE_CHECKING:
    # A type checker cannot see the members of an enum that is built from another one.
    BankAccountOrder = AccountOrder
else:
    BankAccountOrder = strawberry.enum(
        Enum(
            "BankAccountOrder",
            {
                order.name: strawberry.enum_value(order, description=order.description)
                for order in AccountOrder
            },
        ),
        description="An order of accounts; equal ones are sorted by id.",
    )


def list_bank_accounts(
    info: Info,
    filter: FilterArgument = strawberry.UNSET,
    first: Annotated[
        int | None,
        strawberry.argument(
            description="The maximum number of accounts, from the start of the list; 0 to "
            f"{DEFAULT_LIMITS.page_size}."
        ),
    ] = PAGE_SIZE,
    after: Annotated[
        str | None,
        strawberry.argument(description="The cursor before the page. Default: the start."),
    ] = strawberry.UNSET,
    last: Annotated[
        int | None,
        strawberry.argument(
            description="The maximum number of accounts, from the end of the list, in place of "
            "first."
        ),
    ] = strawberry.UNSET,
    before: Annotated[
        str | None,
        strawberry.argument(description="The cursor after the page. Default: the end."),
    ] = strawberry.UNSET,
    order_by: Annotated[
        BankAccountOrder | None, strawberry.argument(description="The order. Default: by id.")
    ] = strawberry.UNSET,
) -> BankAccountConnection:
    """Return a page of the caller's accounts."""
    context = info.context
    directory = context.directory_for_reading()
    size_max = context.limits.page_size
    from_end = unset_to_none(last)
    if from_end is not None and first is not None and _is_sent(info, "first"):
        raise BadInput("first and last must not both be sent. Send one of them.", field="last")
    from_start = PAGE_SIZE if first is None else first
    for name, size in (("first", from_start), ("last", from_end or 0)):
        require_page_size(size, size_max, name)
    chosen_order = unset_to_none(order_by)
    order = AccountOrder.ID if chosen_order is None else AccountOrder[chosen_order.name]
    chosen = to_domain_filter(filter, context.limits.ids)
    accounts = directory.select(context.principal, chosen, order)
    window = Window(
        first=from_start if from_end is None else None,
        after=unset_to_none(after),
        last=from_end,
        before=unset_to_none(before),
    )
    return build_connection(accounts, window, order)


def _is_sent(info: Info, name: str) -> bool:
    """Whether the caller has sent an argument that has a default."""
    node: FieldNode = info._raw_info.field_nodes[0]
    for argument in node.arguments or ():
        if argument.name.value == name:
            value = argument.value
            return not isinstance(value, VariableNode) or value.name.value in info.variable_values
    return False


def count_accounts(limits: Limits, first: object, last: object) -> int:
    """Return the size of a page for the cost of a document."""
    size = last if isinstance(last, int) else first if isinstance(first, int) else PAGE_SIZE
    return min(max(size, 1), limits.page_size, limits.accounts)
