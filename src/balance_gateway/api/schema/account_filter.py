"""The filter for accounts: its GraphQL input, and its conversion to the service's filter."""

from typing import Annotated, TypeVar

import strawberry

from balance_gateway.api.request.limits import DEFAULT_LIMITS
from balance_gateway.api.schema.connectors import ProviderKind, to_domain_provider
from balance_gateway.api.schema.node import parse_connector_name
from balance_gateway.api.schema.scalars import CurrencyCode, unset_to_none
from balance_gateway.domain.errors import BadInput
from balance_gateway.service.account_index import AccountFilter

T = TypeVar("T")

NAME_CHARACTERS_MAX = 200
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


FilterArgument = Annotated[
    BankAccountFilter | None,
    strawberry.argument(description="The accounts to include. Default: all accounts."),
]


def to_domain_filter(sent: BankAccountFilter | None, ids_max: int) -> AccountFilter:
    """Convert the filter to the service's, and check the lengths of its lists."""
    if not sent:
        return AccountFilter()
    # null is no condition; an empty list is a condition that no account meets.
    name_contains = unset_to_none(sent.name_contains)
    if name_contains is not None and len(name_contains) > NAME_CHARACTERS_MAX:
        message = f"filter.nameContains must have at most {NAME_CHARACTERS_MAX} characters."
        raise BadInput(message, field="filter.nameContains")
    providers = check_items(sent.providers, "filter.providers", ids_max)
    ids = check_items(sent.ids, "filter.ids", ids_max)
    connectors = check_items(sent.connectors, "filter.connectors", ids_max)
    currencies = check_items(sent.currencies, "filter.currencies", ids_max)
    return AccountFilter(
        ids=None if ids is None else frozenset(map(str, ids)),
        connectors=None if connectors is None else tuple(map(parse_connector_name, connectors)),
        providers=None if providers is None else tuple(map(to_domain_provider, providers)),
        currencies=None if currencies is None else tuple(map(str, currencies)),
        name_contains=name_contains,
    )


def check_items(items: list[T] | None, field: str, items_max: int) -> tuple[T, ...] | None:
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
