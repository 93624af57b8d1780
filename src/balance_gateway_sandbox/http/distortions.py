"""Change a valid JSON response body into an invalid or unexpected one."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from balance_gateway_sandbox.http.faults import FaultSpec
from balance_gateway_sandbox.state.identifiers import derive_number, derive_prefixed_id, derive_uuid
from balance_gateway_sandbox.wire_format import InvalidJSONError, encode_json, parse_json

MONEY_FIELDS: Final = frozenset(
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
ENUM_FIELDS: Final = frozenset(
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
ID_FIELDS: Final = frozenset(
    ["bankAccountId", "ledger_id", "external_account_external_id", "id", "ledger_account_id"]
)
CURRENCY_FIELDS: Final = frozenset({"currency"})
_PREFIXED: Final = re.compile(r"([a-z]+)_[0-9A-Za-z]{22}")

Change = Callable[[Any], Any]


def distort_body(spec: FaultSpec, raw: bytes) -> bytes:
    """Apply the fault to a body. Return it unchanged if it is not JSON or no field applies."""
    if spec.kind == "malformed_json":
        return raw[: max(1, len(raw) * 2 // 3)]
    if spec.kind == "huge_json":
        return _pad_body(raw, spec.bytes)
    try:
        tree = parse_json(raw)
    except InvalidJSONError:
        return raw
    return _distort_tree(spec, tree)


def _distort_tree(spec: FaultSpec, tree: Any) -> bytes:
    if spec.kind == "patch":
        return encode_json(_apply_merge_patch(tree, spec.patch_value()))
    if spec.kind == "extra_fields":
        return encode_json(_add_extra_fields(tree))
    if spec.kind == "duplicate_keys":
        return _encode_with_duplicates(tree, frozenset(spec.fields or MONEY_FIELDS))
    fields, change = _select_field_change(spec)
    return encode_json(_change_fields(tree, frozenset(spec.fields or fields), change))


def _select_field_change(spec: FaultSpec) -> tuple[frozenset[str], Change]:
    """Return the fields that a fault kind changes and the change applied to each value."""
    kinds: dict[str, tuple[frozenset[str], Change]] = {
        "wrong_types": (MONEY_FIELDS, _swap_type),
        "nan": (MONEY_FIELDS, lambda _: msgspec.Raw(b"NaN")),
        # 1e400 exceeds the range of a 64-bit float.
        "overflow": (MONEY_FIELDS, lambda _: msgspec.Raw(b"1e400")),
        "unknown_enum": (ENUM_FIELDS, lambda _: spec.value or "SOMETHING_NEW"),
        "wrong_account": (ID_FIELDS, lambda old: spec.value or _derive_other_id(old)),
        "wrong_currency": (CURRENCY_FIELDS, lambda old: spec.value or _choose_other_currency(old)),
    }
    return kinds[spec.kind]


def _change_fields(tree: Any, fields: frozenset[str], change: Change) -> Any:
    if isinstance(tree, list):
        return [_change_fields(item, fields, change) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        key: change(value)
        if key in fields and value is not None and not isinstance(value, dict | list)
        else _change_fields(value, fields, change)
        for key, value in tree.items()
    }


def _swap_type(value: Any) -> Any:
    return 0 if isinstance(value, str) else str(value)


def _derive_other_id(old: Any) -> Any:
    # Keep the format of the id, so that only the account differs.
    prefixed = _PREFIXED.fullmatch(old) if isinstance(old, str) else None
    if prefixed:
        return derive_prefixed_id(prefixed[1], "another", old)
    if isinstance(old, str) and old.startswith("ext-"):
        return f"ext-{derive_number('another', old) % 10**12:012}"
    return derive_uuid("another", old)


def _choose_other_currency(old: Any) -> str:
    return "GBP" if old != "GBP" else "USD"


def _apply_merge_patch(tree: Any, patch: Any) -> Any:
    """Merge as RFC 7396 says: objects merge, null removes, every other value replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _apply_merge_patch(merged.get(key), value)
    return merged


def _add_extra_fields(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_add_extra_fields(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    extra = {"addedLater": {"nested": [1, None, "x"]}, "added_later": True}
    return {key: _add_extra_fields(value) for key, value in tree.items()} | extra


def _encode_with_duplicates(tree: Any, fields: frozenset[str]) -> bytes:
    """Encode JSON with each listed numeric field twice, the second time with another value."""
    if isinstance(tree, list):
        return b"[" + b",".join(_encode_with_duplicates(item, fields) for item in tree) + b"]"
    if not isinstance(tree, dict):
        return encode_json(tree)
    pairs = [
        encode_json(key) + b":" + _encode_with_duplicates(value, fields)
        for key, value in tree.items()
    ]
    for key, value in tree.items():
        if key in fields and isinstance(value, int | Decimal):
            pairs.append(encode_json(key) + b":" + encode_json(value + 1))
    return b"{" + b",".join(pairs) + b"}"


def _pad_body(raw: bytes, size: int) -> bytes:
    padding = b'"' + b"x" * size + b'"'
    if raw.startswith(b"{"):
        return b'{"padding":' + padding + (b"," if raw[1:2] != b"}" else b"") + raw[1:]
    return b"[" + padding + b"," + raw + b"]"
