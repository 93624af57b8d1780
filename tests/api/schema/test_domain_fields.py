"""Every field of a public domain type is in its GraphQL type, or is internal for a reason."""

import dataclasses

import pytest
from strawberry.utils.str_converters import to_camel_case

from balance_gateway.api.schema.build import build_core_schema
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance, Tag
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.money import Money

#: The GraphQL type of each domain type.
GRAPHQL_TYPES = {
    Account: "BankAccount",
    BalanceFigures: "Balance",
    BankFeed: "BankFeed",
    Money: "Money",
    OpeningBalance: "OpeningBalance",
    Tag: "Tag",
}

#: The reason for each domain field that is not in the GraphQL type.
INTERNAL_FIELDS = {
    "Account.tenant": "A caller sees the accounts of one tenant only, its own.",
    "BankFeed.latest": "Its sign needs the normal side: it is BankAccount.latestBank.",
    "BankFeed.latest_problem": "It is the error of BankAccount.latestBank.",
    "Account.remote": "The provider's ids are of no use to a caller of the gateway.",
    "BalanceFigures.remote_path": "The provider's ids again; CurrencyTotal.overlapping is from it.",
    "OpeningBalance.recorded_at": "It is the freshness.observedAt of a recorded balance.",
    "Account.derive_opening_balance_as_of": "The opening balance has the source DERIVED instead.",
}

#: The name in GraphQL of each domain field that has another one there.
RENAMED = {"Tag.id": "tag_id"}


def list_fields(domain_type: type, *, internal: bool) -> set[str]:
    """Return the fields of a domain type that are listed as internal, or those that are not."""
    return {
        RENAMED.get(f"{domain_type.__name__}.{each.name}", each.name)
        for each in dataclasses.fields(domain_type)
        if (f"{domain_type.__name__}.{each.name}" in INTERNAL_FIELDS) is internal
    }


@pytest.mark.parametrize("domain_type", GRAPHQL_TYPES, ids=lambda each: each.__name__)
def test_every_domain_field_is_exposed_or_internal(domain_type: type) -> None:
    exposed = set(build_core_schema().type_map[GRAPHQL_TYPES[domain_type]].fields)

    assert {to_camel_case(name) for name in list_fields(domain_type, internal=False)} <= exposed
    assert exposed.isdisjoint(map(to_camel_case, list_fields(domain_type, internal=True)))


def test_every_internal_field_exists_and_has_a_reason() -> None:
    existing = {
        f"{each.__name__}.{name}"
        for each in GRAPHQL_TYPES
        for name in list_fields(each, internal=True)
    }

    assert set(INTERNAL_FIELDS) == existing
    assert all(reason.endswith(".") for reason in INTERNAL_FIELDS.values())
