"""Define every key of the cache: accounts, values, fences, calls in flight, leases, Redis names.

Three keys are derived from an account:

* The *remote key* identifies the account at its provider. Writes to it are serialised, and the
  journal's last applied write is looked up by it, however many configured accounts point to it.
* The *fence key* identifies everything that a write changes. A write invalidates all cached
  values under the same fence key.
* The *value key* identifies one cached response. It contains a hash of everything that shapes the
  response (tenant, connector, settings, remote ids, currency, time zone), so that a
  changed configuration never finds the values of another account under an old id.
"""

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from balance_gateway.domain.accounts import Account
from balance_gateway.ports.provider_dependencies import AnyProviderSpec


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """The cache keys of one account.

    Attributes:
        fence: the fence key; None where values are not cached, and so need no fence: entries of
            the embedded ledger are imported without the gateway.
        value: the prefix of the account's value keys.
        remote: the remote key; equal for all accounts that are the same account at the provider.
    """

    fence: str | None
    value: str
    remote: str


def compute_account_keys(
    account: Account, spec: AnyProviderSpec, shape: Mapping[str, str]
) -> AccountKeys:
    """Compute the keys of an account.

    Args:
        account: the account.
        spec: the spec of its provider.
        shape: the connector's settings that change its responses, as texts by name.
    """
    kind = account.provider.value
    # Without the address: one account can be reached at several (a proxy, a regional host).
    # Accounts with equal ids at a test system and at the real one then share a fence, which costs
    # extra calls after a write but never serves an old value.
    fence_parts = [kind, *(account.remote[key] for key in spec.fence or ())]
    value_parts = [
        account.tenant,
        account.connector,
        *fence_parts,
        *(f"{key}={value}" for key, value in sorted(account.remote.items())),
        *(f"{key}={value}" for key, value in sorted(shape.items())),
        account.currency,
        account.time_zone.key,
        str(account.normal_balance),
        str(account.derive_opening_balance_as_of),
    ]
    return AccountKeys(
        fence=None if spec.fence is None else f"{kind}:{_hash_parts(fence_parts)}",
        value=f"{account.id}:{_hash_parts(value_parts)}",
        remote=compute_remote_key(account, spec),
    )


def compute_remote_key(account: Account, spec: AnyProviderSpec) -> str:
    """Compute the key of the account at the provider; the journal stores it.

    It must never change for an account: older journal rows are found by it.
    """
    kind = account.provider.value
    if not spec.identity:
        return f"{kind}:{account.id}"
    return f"{kind}:{_hash_parts([account.remote[key] for key in spec.identity])}"


def balance_value_key(keys: AccountKeys, day: date) -> str:
    """Return the value key of an account's balance on one day."""
    return f"{keys.value}:balance:{day.isoformat()}"


def opening_value_key(keys: AccountKeys) -> str:
    """Return the value key of an account's opening balance."""
    return f"{keys.value}:opening"


def feed_value_key(keys: AccountKeys) -> str:
    """Return the value key of an account's bank feed."""
    return f"{keys.value}:feed"


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
REDIS_SEQ = "seq"
REDIS_LOG = "log"


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


def _hash_parts(parts: list[str]) -> str:
    # Each part is framed with its length, so that ["a", "b"] and ["ab", ""] differ.
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(framed.encode()).hexdigest()[:24]
