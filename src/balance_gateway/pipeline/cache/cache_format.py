"""The format of cached entries in Redis: JSON that msgspec derives from the domain's types.

The cache may forget. An entry of another format counts as absent, so the format has no versions:
its name is a hash of the types, and a changed type changes it.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec

from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.bank_feeds import BankFeed

_DECIMAL = "$decimal"
_FLOAT = "$float"
_OBJECT = "$object"
_NOTATIONS = frozenset({_DECIMAL, _FLOAT, _OBJECT})
_PLAIN = frozenset({str, int, bool, type(None)})


class _StoredEntry(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An entry; without a value the provider has no opening balance or feed for the account."""

    format: str
    nonce: str
    observed_at_s: float
    fresh_for_s: float
    figures: BalanceFigures | None
    opening: OpeningBalance | None
    feed: BankFeed | None


def _name_format(kind: type) -> str:
    schema = msgspec.json.encode(msgspec.json.schema(kind))
    return hashlib.sha256(schema).hexdigest()[:8]


#: Changes with every change of the types, so that no release misreads an entry of another one.
FORMAT = _name_format(_StoredEntry)

# JSON and not MessagePack, which has no integers above 64 bits and no UTC offsets.
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_StoredEntry)


def encode_entry(
    nonce: str,
    observed_at_s: float,
    fresh_for_s: float,
    value: BalanceFigures | OpeningBalance | BankFeed | None,
) -> bytes:
    """Encode the fields of an entry. UTC offsets of instants must be whole minutes.

    Raises:
        TypeError: the metadata contains a value that JSON cannot represent.
        UnicodeEncodeError: a text contains half a surrogate pair.
    """
    figures = value if isinstance(value, BalanceFigures) else None
    opening = value if isinstance(value, OpeningBalance) else None
    feed = value if isinstance(value, BankFeed) else None
    if opening is not None and opening.metadata is not None:
        opening = replace(opening, metadata=_pack_members(opening.metadata))
    fields = (FORMAT, nonce, observed_at_s, fresh_for_s, figures, opening, feed)
    return _encoder.encode(_StoredEntry(*fields))


def decode_entry(
    data: bytes,
) -> tuple[str, float, float, BalanceFigures | OpeningBalance | BankFeed | None] | None:
    """Decode the fields of an entry; None when it has another format."""
    try:
        stored = _decoder.decode(data)
        if stored.format != FORMAT:
            return None
        opening = stored.opening
        if opening is not None and opening.metadata is not None:
            opening = replace(opening, metadata=_unpack_members(opening.metadata))
    except (msgspec.MsgspecError, ArithmeticError, TypeError, ValueError, AttributeError):
        return None
    value = stored.figures or opening or stored.feed
    return stored.nonce, stored.observed_at_s, stored.fresh_for_s, value


def _pack_members(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): _pack(item) for key, item in metadata.items()}


def _pack(value: Any) -> Any:
    """Write what JSON has no form for as an object with one name."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Decimal):
        return {_DECIMAL: str(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(value)}
    if isinstance(value, dict | Mapping):
        members = _pack_members(value)
        return {_OBJECT: members} if _is_notation(members) else members
    if isinstance(value, list | tuple):
        return [_pack(item) for item in value]
    return value


def _unpack_members(members: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _unpack(item) for key, item in members.items()}


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if not _is_notation(value):
        return _unpack_members(value)
    ((notation, content),) = value.items()
    if notation == _DECIMAL:
        return Decimal(content)
    return float(content) if notation == _FLOAT else _unpack_members(content)


def _is_notation(members: Mapping[str, Any]) -> bool:
    return len(members) == 1 and not _NOTATIONS.isdisjoint(members)
