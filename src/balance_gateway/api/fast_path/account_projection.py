"""What is selected of an account, compiled: which values it needs, and the JSON it becomes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from graphql import FieldNode

from balance_gateway.api.fast_path.argument_coercion import (
    coerce_day,
    coerce_max_age,
    coerce_on_stale,
)
from balance_gateway.api.fast_path.argument_sources import (
    Given,
    LiteralSlots,
    Source,
    VariableDefinitions,
    find_source,
    read_arguments,
)
from balance_gateway.api.fast_path.collect_fields import (
    FallBackToGraphQLCore,
    FragmentDefinitions,
    collect_fields,
)
from balance_gateway.api.fast_path.field_writers import BALANCE, OPENING_BALANCE, Leaf, shows
from balance_gateway.domain.accounts import Account, Side
from balance_gateway.ports.reads import (
    OnStale,
)

#: Leaves that are the account's own, as they are answered.
_OWN: Mapping[str, Callable[[Account], Any]] = {
    "id": lambda account: account.id,
    "name": lambda account: account.name,
    "currency": lambda account: account.currency,
    "provider": lambda account: account.provider.name,
    "__typename": lambda _account: "BankAccount",
}


@dataclass(frozen=True, slots=True)
class BalanceArguments:
    """The arguments of one ``balance`` field in one request; ``as_of`` None means today."""

    as_of: date | None
    max_age_s: int | None
    on_stale: OnStale


@dataclass(frozen=True, slots=True)
class BalanceField:
    """A ``balance`` field: its arguments' sources, and what is selected of the balance."""

    nodes: Sequence[FieldNode]
    as_of: Source
    max_age: Source
    on_stale: Source
    select: Leaf[Any]

    def arguments(self, given: Given, slots: Sequence[str]) -> BalanceArguments:
        """The arguments of a request.

        Raises:
            NotCompiled: one of them is not a plain, usable value.
        """
        return BalanceArguments(
            as_of=coerce_day(self.as_of(given, slots)),
            max_age_s=coerce_max_age(self.max_age(given, slots)),
            on_stale=coerce_on_stale(self.on_stale(given, slots)),
        )


@dataclass(frozen=True, slots=True)
class OpeningField:
    """An ``openingBalance`` field, and what is selected of it."""

    nodes: Sequence[FieldNode]
    select: Leaf[Any]


#: A member of the account's JSON object: its key, and its leaf or the field it is read by.
Member = tuple[str, "Callable[[Account], Any] | BalanceField | OpeningField | None"]


@dataclass(frozen=True, slots=True)
class AccountProjection:
    """A selection on BankAccount.

    Attributes:
        signature: equal for selections that answer alike, given equal arguments; a hash.
        members: in the order of the answer; None stands for ``normalBalance``.
        balances: the balance fields among them, in order.
        openings: the opening balance fields among them, in order.
        needs_side: whether ``normalBalance`` is selected.
        shows_state: whether an answer tells whether a value is live or cached.
        shows_age: whether an answer tells a value's age in seconds.
    """

    signature: bytes
    members: Sequence[Member]
    balances: list[BalanceField]
    openings: list[OpeningField]
    needs_side: bool
    shows_state: bool
    shows_age: bool

    def answer(
        self,
        account: Account,
        side: Side | None,
        values: Mapping[int, Any],
        now: datetime,
    ) -> dict[str, Any]:
        """The account's JSON object.

        Args:
            account: the account.
            side: its normal side; None when it is not selected.
            values: what was observed for each balance and opening balance field, by the field's
                ``id()``; None for a null.
            now: the request's.
        """
        answered: dict[str, Any] = {}
        for key, member in self.members:
            if isinstance(member, BalanceField | OpeningField):
                observed = values[id(member)]
                answered[key] = None if observed is None else member.select(observed, now)
            elif member is None:
                assert side is not None
                answered[key] = side.name
            else:
                answered[key] = member(account)
        return answered


def compile_projection(
    nodes: Sequence[FieldNode],
    fragments: FragmentDefinitions,
    known: VariableDefinitions,
    slots: LiteralSlots,
) -> AccountProjection:
    """What these nodes select of an account.

    Raises:
        NotCompiled: something that is not compiled.
    """
    fields = collect_fields((node.selection_set for node in nodes), "BankAccount", fragments)
    members: list[Member] = []
    for key, same in fields.items():
        members.append((key, _member(same, fragments, known, slots)))
    readers = [member for _, member in members]
    return AccountProjection(
        signature=_signature(nodes, "BankAccount", fragments),
        members=members,
        balances=[reader for reader in readers if isinstance(reader, BalanceField)],
        openings=[reader for reader in readers if isinstance(reader, OpeningField)],
        needs_side=any(reader is None for reader in readers),
        shows_state=_any_shows(fields, fragments, "state"),
        shows_age=_any_shows(fields, fragments, "ageSeconds"),
    )


def _member(
    nodes: Sequence[FieldNode],
    fragments: FragmentDefinitions,
    known: VariableDefinitions,
    slots: LiteralSlots,
) -> "Callable[[Account], Any] | BalanceField | OpeningField | None":
    name = nodes[0].name.value
    if name in _OWN:
        return _OWN[name]
    if name == "normalBalance":
        return None
    if name == "openingBalance":
        return OpeningField(nodes, OPENING_BALANCE.compiled(nodes, fragments))
    if name != "balance":
        raise FallBackToGraphQLCore
    given = read_arguments(nodes, ("asOf", "maxAgeSeconds", "onStale"), slots)
    return BalanceField(
        nodes=nodes,
        as_of=find_source(given.get("asOf"), ("Date", "Date!"), known, slots),
        max_age=find_source(given.get("maxAgeSeconds"), ("Int", "Int!"), known, slots),
        on_stale=find_source(given.get("onStale"), ("OnStale", "OnStale!"), known, slots),
        select=BALANCE.compiled(nodes, fragments),
    )


_OBJECTS = {"balance": "Balance", "openingBalance": "OpeningBalance"}


def _any_shows(
    fields: Mapping[str, Sequence[FieldNode]], fragments: FragmentDefinitions, leaf: str
) -> bool:
    return any(
        shows(nodes, fragments, _OBJECTS[nodes[0].name.value], leaf)
        for nodes in fields.values()
        if nodes[0].name.value in _OBJECTS
    )


_BELOW = {
    ("BankAccount", "balance"): "Balance",
    ("BankAccount", "openingBalance"): "OpeningBalance",
    ("Balance", "bank"): "Money",
    ("Balance", "ledger"): "Money",
    ("Balance", "difference"): "Money",
    ("OpeningBalance", "amount"): "Money",
    ("OpeningBalance", "tags"): "Tag",
    ("Balance", "freshness"): "Freshness",
    ("OpeningBalance", "freshness"): "Freshness",
}


def _signature(nodes: Sequence[FieldNode], type_name: str, fragments: FragmentDefinitions) -> bytes:
    """A hash of the selection, without arguments, whose values stand beside it."""
    fields = collect_fields((node.selection_set for node in nodes), type_name, fragments)
    parts = []
    for key, same in fields.items():
        name = same[0].name.value
        below = _BELOW.get((type_name, name))
        inner = _signature(same, below, fragments).hex() if below else ""
        parts.append(f"{key}:{name}:{inner}")
    return hashlib.sha256(" ".join(parts).encode()).digest()
