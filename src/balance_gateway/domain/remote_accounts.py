"""Defines the accounts that a provider lists, whether they are configured or not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from balance_gateway.domain.accounts import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAccount:
    """One account in a provider's list.

    Attributes:
        remote: the provider's own ids of the account, by the keys of its configuration.
        name: the provider's name of the account, on one line; empty for none.
        currency: the currency as the provider names it, in upper case; None if it names none.
        time_zone: the IANA name of its zone; None if the provider names none.
        side: its normal side; None if the provider reports none.
        kind: the provider's word for what it is, such as ``credit_card``; empty for none.
        note: what must be known before it is configured, such as ``archived``; empty for nothing.
        is_closed: whether the provider says that it is no longer in use.
    """

    remote: Mapping[str, str]
    name: str
    currency: str | None = None
    time_zone: str | None = None
    side: Side | None = None
    kind: str = ""
    note: str = ""
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class RemoteAccountList:
    """What a provider listed.

    Attributes:
        accounts: the accounts, in the provider's order.
        skipped: how many entries of the list cannot be configured, by the reason.
    """

    accounts: tuple[RemoteAccount, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
