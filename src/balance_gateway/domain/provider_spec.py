"""Defines what the gateway must know of a kind of provider besides how to call it.

Each provider's package has one ``ProviderSpec``. Configuration, cache keys, journal names and the
composition root read it and know no provider by name. No field has a default: a provider that
leaves a decision out does not pass the type checker.
"""

import functools
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from balance_gateway.domain.accounts import Account, Capability, ProviderKind

S = TypeVar("S")
D = TypeVar("D")
P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountId:
    """One of the provider's own ids of an account, a key of the account's configuration.

    Attributes:
        key: the key in the configuration and in ``Account.remote``.
        is_required: whether every account must have it.
        pattern: the regular expression that an id must match as a whole, see ``PATH_SEGMENT``; None
            for any text that is not blank.
        canonical: returns the one form of an id that the gateway uses everywhere, so that two
            spellings of an id are one account; see ``canonical_uuid`` and ``exact_text``.
        description: one sentence for the configuration's schema.
    """

    key: str
    is_required: bool
    pattern: str | None
    canonical: Callable[[str], str]
    description: str


# Equal only to itself: specs are keys of caches that every account of a file looks up.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProviderSpec(Generic[S, D, P]):
    """The decisions about a kind of provider.

    Attributes:
        kind: the kind.
        settings: the type of a connector's settings, a table ``[connectors.NAME]``.
        account_ids: the provider's own ids of an account.
        identity: the keys of the ids that identify the account at the provider; writes to one
            account are serialised and recorded by them. Empty for the gateway's own account id.
            The address is no part of it: the record of writes survives a provider's move.
        fence: the keys of the ids that identify everything that a write changes; None when values
            of this provider are not cached, and so need no fence.
        values_in_storage: whether balances and opening balances depend on the gateway's own storage
            and the account's configuration, and on nothing else: while the storage has not
            changed, another read returns the same values.
        response_settings: the settings that change a response; changing one never finds values
            that were cached before.
        neutral_settings: all other settings of this kind, which change no response.
        calls_per_minute: the documented rate limit of a connector; None without one.
        capabilities: the operations that the provider supports.
        account_capabilities: returns the operations that it supports for one account, from the
            account's ids and the connector's settings, without a call.
        derivation_day: the day of the balance that is the opening balance, for error texts and the
            configuration's schema; accounts may then have ``derive_opening_balance_as_of``. None
            when an opening balance cannot be derived from a balance.
        reports_calls: whether the provider reports each call to ``OnCall``, which retries and
            health are built on; False for a provider that calls nothing over HTTP.
        example: the settings of a connector, apart from ``provider``, as a new configuration file
            shows them; a secret is a reference ``env:NAME``.
        build: builds the provider of a connector from its name, settings and dependencies; opens
            no connection.
    """

    kind: ProviderKind
    settings: type[S]
    account_ids: tuple[AccountId, ...]
    identity: tuple[str, ...]
    fence: tuple[str, ...] | None
    values_in_storage: bool
    response_settings: frozenset[str]
    neutral_settings: frozenset[str]
    calls_per_minute: int | None
    capabilities: frozenset[Capability]
    account_capabilities: Callable[[Account, S], frozenset[Capability]]
    derivation_day: str | None
    reports_calls: bool
    example: Mapping[str, str]
    build: Callable[[str, S, D], P]

    def canonical_ids(self, configured: Mapping[str, str]) -> Mapping[str, str]:
        """Return the configured ids of an account in their canonical forms."""
        canonical = {each.key: each.canonical for each in self.account_ids}
        return MappingProxyType({key: canonical[key](text) for key, text in configured.items()})


#: Ids that become a segment of a path: without dot and slash none changes the path's structure.
PATH_SEGMENT = "[A-Za-z0-9_-]{1,128}"

#: What nearly all UUIDs look like; a file has thousands of them.
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def canonical_uuid(text: str) -> str:
    """Return a UUID in lower case with hyphens; any other text unchanged."""
    if _CANONICAL_UUID.fullmatch(text):
        return text
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return text


def exact_text(text: str) -> str:
    """Return the text unchanged, for ids in which the case of letters matters."""
    return text


def add_derived_opening_balance(
    account: Account, capabilities: frozenset[Capability]
) -> frozenset[Capability]:
    """Return the capabilities, with reading the opening balance if the account can derive it."""
    if account.derive_opening_balance_as_of is None:
        return capabilities
    return _add_opening_balance(capabilities)


@functools.cache
def _add_opening_balance(capabilities: frozenset[Capability]) -> frozenset[Capability]:
    """Return one set for all accounts, of which a file has thousands."""
    return capabilities | {Capability.READ_OPENING_BALANCE}
