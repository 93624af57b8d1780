"""Cache keys: what is kept apart, what a write drops, and which accounts are one at the provider.

The *remote account* names the account at its provider. Writes of it go one after the other, and
the record of the last one is its record, however often it is configured and under which names.
It is the provider's ids alone, without the address: the record has to outlive a provider's move.

The *fence key* names what a write changes: the remote account, so that two configured accounts at
one remote account see each other's writes. At Layer it is the whole business, because a parent
account's balance there includes its children's. It leaves the address out too: one account can be
reached at several (a proxy, a regional host, another spelling), and nothing here can tell. Two
accounts that only happen to have equal ids, as in a test system and the real one, share a fence
then, which costs calls after a write, and never an old value.

The *value key* names whose answer is kept. It holds a hash of everything that shapes the answer
(tenant, connector, address, remote ids, currency, zone), so that a changed configuration never
finds the values of another account under an old id. Here the address has to be told apart: what
one address answered is not served for another, which may be another system.
"""

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from balance_gateway.domain.accounts import Account, ProviderKind

#: Which of the provider's ids name the remote account; those of the embedded ledger are ours.
_NAMED_BY: dict[ProviderKind, tuple[str, ...]] = {
    ProviderKind.LIGHT: ("bank_account_id",),
    ProviderKind.ASSET: ("business_id", "ledger_id"),
    ProviderKind.LAYER: ("business_id", "external_account_id"),
}
#: Which of them name what a write changes.
_FENCED_BY: dict[ProviderKind, tuple[str, ...]] = {
    ProviderKind.LIGHT: ("bank_account_id",),
    ProviderKind.ASSET: ("business_id", "ledger_id"),
    ProviderKind.LAYER: ("business_id",),
}


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """The cache keys of one account.

    Attributes:
        fence: of its fence; None where nothing is kept, and so nothing has to be fenced:
            entries of the embedded ledger are imported past the gateway.
        value: prefix of the keys of its values.
        remote: the remote account; the same for all accounts that are one at the provider.
    """

    fence: str | None
    value: str
    remote: str


def account_keys(account: Account, address: str, shape: Mapping[str, str]) -> AccountKeys:
    """The keys of an account.

    Args:
        account: whose.
        address: where its provider is: the connector's base URL.
        shape: the connector's settings that change what is answered, such as Asset's basis.
    """
    fenced_by = _FENCED_BY.get(account.provider)
    fenced = [account.provider.value, *(account.remote[name] for name in fenced_by or ())]
    everything = [
        account.tenant,
        account.connector,
        address,
        *fenced,
        *(f"{key}={value}" for key, value in sorted(account.remote.items())),
        *(f"{key}={value}" for key, value in sorted(shape.items())),
        account.currency,
        account.time_zone.key,
        str(account.normal_balance),
        str(account.derive_opening_balance_as_of),
    ]
    return AccountKeys(
        fence=f"{account.provider.value}:{_digest(fenced)}" if fenced_by else None,
        value=f"{account.id}:{_digest(everything)}",
        remote=_remote_account(account),
    )


def response_settings(
    *, basis: str, reporting_basis: str, entries_start: object, upsert_route: object
) -> Mapping[str, str]:
    """Return a connector's settings that change its responses, as texts by name.

    They are part of the value key, so that a changed setting never finds older values.
    """
    return {
        "basis": basis,
        "reporting_basis": reporting_basis,
        "entries_start": str(entries_start),
        "upsert_route": str(upsert_route),
    }


def balance_value_key(keys: AccountKeys, day: date) -> str:
    """Return the value key of an account's balance on one day."""
    return f"{keys.value}:balance:{day.isoformat()}"


def opening_value_key(keys: AccountKeys) -> str:
    """Return the value key of an account's opening balance."""
    return f"{keys.value}:opening"


def single_flight_key(value_key: str, nonce: str) -> Hashable:
    """Return the key under which reads of one value share an upstream call in this process.

    The nonce is part of it: a read that starts after a write never joins a call from before it.
    """
    return value_key, nonce


def pending_read_key(value_key: str, *, requires_live: bool) -> Hashable:
    """Return the key by which the reads of one request are deduplicated.

    A read that requires a live value cannot share the call of a read that accepts a cached one.
    """
    return value_key, requires_live


def lease_name(value_keys: Iterable[str]) -> str:
    """Return the name of the lease of a group of reads.

    It is equal only for groups of exactly the same values: only those can share an upstream call.
    """
    return " ".join(sorted(value_keys))


# The names below are the part after the deployment's prefix, see ``RedisClient.key``.

REDIS_EPOCH = "epoch"
REDIS_QUARANTINE = "quarantine"


def redis_value_name(value_key: str) -> str:
    """Return the Redis name of a cached value."""
    return f"v:{value_key}"


def redis_nonce_name(fence: str) -> str:
    """Return the Redis name of a fence's nonce."""
    return f"n:{fence}"


def redis_held_flag_name(fence: str) -> str:
    """Return the Redis name of the flag that exists while a write of the fence is in flight."""
    return f"w:{fence}"


def redis_holds_name(fence: str) -> str:
    """Return the Redis name of a fence's writes in flight, with the time each hold ends."""
    return f"h:{fence}"


def redis_lease_name(lease: str) -> str:
    """Return the Redis name of a lease; hashed, because a group can be of any length."""
    return f"c:{hashlib.sha256(lease.encode()).hexdigest()[:32]}"


def _remote_account(account: Account) -> str:
    kind = account.provider.value
    named_by = _NAMED_BY.get(account.provider)
    if named_by is None:
        return f"{kind}:{account.id}"
    return f"{kind}:{_digest([account.remote[name] for name in named_by])}"


def _digest(parts: list[str]) -> str:
    """A hash in which ["a", "b"] and ["ab", ""] differ."""
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(framed.encode()).hexdigest()[:24]
