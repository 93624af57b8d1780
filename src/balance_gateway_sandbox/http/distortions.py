"""Turns a good JSON answer into a bad one: wrong types, alien numbers, other accounts."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from balance_gateway_sandbox.http.faults import FaultSpec
from balance_gateway_sandbox.state.identifiers import draw, prefixed_of, uuid_of
from balance_gateway_sandbox.wire_format import BadJSONError, encode, parse_json

MONEY: Final = frozenset(
    [
        "balance",
        "bankBalance",
        "ledgerBalance",
        "amount",
        "debit",
        "credit",
        "external_balance",
        "current_ledger_balance",
        "all_time_balance",
        "range_balance",
    ]
)
ENUMS: Final = frozenset(
    [
        "type",
        "bankProvider",
        "bankCountry",
        "paymentSchedulingEligibility",
        "dcSign",
        "reconciliationStatus",
        "debit_credit",
        "subtype",
        "ledger_type",
        "status",
        "source",
        "financial_account_type",
        "entity_type",
        "external_account_source",
        "normality",
        "account_type",
        "account_subtype",
        "error_enum",
    ]
)
IDS: Final = frozenset(
    ["bankAccountId", "ledger_id", "external_account_external_id", "id", "ledger_account_id"]
)
CURRENCIES: Final = frozenset({"currency"})
_PREFIXED: Final = re.compile(r"([a-z]+)_[0-9A-Za-z]{22}")

Change = Callable[[Any], Any]


def distort(spec: FaultSpec, raw: bytes) -> bytes:
    """The answer `raw` with the fault in it; unchanged when it is no JSON or nothing fits."""
    if spec.kind == "malformed_json":
        return raw[: max(1, len(raw) * 2 // 3)]
    if spec.kind == "huge_json":
        return _huge(raw, spec.bytes)
    try:
        tree = parse_json(raw)
    except BadJSONError:
        return raw
    return _distort_tree(spec, tree)


def _distort_tree(spec: FaultSpec, tree: Any) -> bytes:
    if spec.kind == "patch":
        return encode(_merge(tree, spec.patch_value()))
    if spec.kind == "extra_fields":
        return encode(_with_extra_fields(tree))
    if spec.kind == "duplicate_keys":
        return _with_duplicates(tree, frozenset(spec.fields or MONEY))
    fields, change = _field_change(spec)
    return encode(_changed(tree, frozenset(spec.fields or fields), change))


def _field_change(spec: FaultSpec) -> tuple[frozenset[str], Change]:
    """Which fields a kind touches and what it makes of each."""
    kinds: dict[str, tuple[frozenset[str], Change]] = {
        "wrong_types": (MONEY, _other_type),
        "nan": (MONEY, lambda _: msgspec.Raw(b"NaN")),
        "overflow": (MONEY, lambda _: msgspec.Raw(b"1e400")),
        "unknown_enum": (ENUMS, lambda _: spec.value or "SOMETHING_NEW"),
        "wrong_account": (IDS, lambda old: spec.value or _other_id(old)),
        "wrong_currency": (CURRENCIES, lambda old: spec.value or _other_currency(old)),
    }
    return kinds[spec.kind]


def _changed(tree: Any, fields: frozenset[str], change: Change) -> Any:
    if isinstance(tree, list):
        return [_changed(item, fields, change) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        key: change(value)
        if key in fields and value is not None and not isinstance(value, dict | list)
        else _changed(value, fields, change)
        for key, value in tree.items()
    }


def _other_type(value: Any) -> Any:
    return 0 if isinstance(value, str) else str(value)


def _other_id(old: Any) -> Any:
    prefixed = _PREFIXED.fullmatch(old) if isinstance(old, str) else None
    if prefixed:
        return prefixed_of(prefixed[1], "another", old)
    if isinstance(old, str) and old.startswith("ext-"):
        return f"ext-{draw('another', old) % 10**12:012}"
    return uuid_of("another", old)


def _other_currency(old: Any) -> str:
    return "GBP" if old != "GBP" else "USD"


def _merge(tree: Any, patch: Any) -> Any:
    """RFC 7396: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _with_extra_fields(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_with_extra_fields(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    extra = {"addedLater": {"nested": [1, None, "x"]}, "added_later": True}
    return {key: _with_extra_fields(value) for key, value in tree.items()} | extra


def _with_duplicates(tree: Any, fields: frozenset[str]) -> bytes:
    """Every money field twice in its object, the second time with another value."""
    if isinstance(tree, list):
        return b"[" + b",".join(_with_duplicates(item, fields) for item in tree) + b"]"
    if not isinstance(tree, dict):
        return encode(tree)
    pairs = [encode(key) + b":" + _with_duplicates(value, fields) for key, value in tree.items()]
    for key, value in tree.items():
        if key in fields and isinstance(value, int | Decimal):
            pairs.append(encode(key) + b":" + encode(value + 1))
    return b"{" + b",".join(pairs) + b"}"


def _huge(raw: bytes, size: int) -> bytes:
    padding = b'"' + b"x" * size + b'"'
    if raw.startswith(b"{"):
        return b'{"padding":' + padding + (b"," if raw[1:2] != b"}" else b"") + raw[1:]
    return b"[" + padding + b"," + raw + b"]"
