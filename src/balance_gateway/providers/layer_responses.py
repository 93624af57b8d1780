"""Reads Layer's answers: both envelopes, both forms of errors and ids, every field."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from balance_gateway.domain.accounts import Side
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource, Tag
from balance_gateway.domain.errors import (
    ProviderCredentialsRejected,
    ProviderError,
    ProviderRejected,
)
from balance_gateway.domain.money import Money
from balance_gateway.providers import json_fields
from balance_gateway.providers.errors import CHECK_FIRST, ProviderResponse, build_refusal

#: Entries of a ledger tree by account id; more than one for an id that is given twice.
Rows = dict[str, list[dict[str, Any]]]

_NO_OPENING_BALANCE: Final = "NoOpeningBalanceFound"
_HINTS: Final = {
    "PeriodIsClosed": "The period is closed in Layer: choose a later effectiveAt.",
    "InvalidEffectiveDate": "Layer does not take this effectiveAt: choose another.",
}
_HINT: Final = "Check the account's business_id and its account ids; they may be archived."
_CODE_LENGTH_MAX: Final = 64


def unwrap_data(answer: ProviderResponse, now: datetime) -> Any:
    """What was answered: the member ``data``, or the whole body where there is none.

    Raises:
        ProviderError: the status is not 2xx, or there are errors whatever the status.
    """
    error = _api_error(answer)
    if error is None and answer.ok:
        body = answer.body
        return body["data"] if isinstance(body, dict) and "data" in body else body
    error = error or {}
    code = _code(error)
    hint = _HINTS.get(code or "", _HINT)
    field = "effectiveAt" if code in _HINTS else None
    if not answer.ok:
        raise build_refusal(answer, now, hint=hint, field=field, provider_code=code)
    raise _refused_with_2xx(answer, error, code, hint, field)


def is_not_set(answer: ProviderResponse) -> bool:
    """Whether the answer says that no opening balance is set, which is no failure."""
    error = _api_error(answer)
    status_fits = answer.ok or answer.status in {400, 404}
    return status_fits and error is not None and _code(error) == _NO_OPENING_BALANCE


def parse_opening_balance(record: Any, currency: str, side: Side) -> OpeningBalance:
    """Every field of the page's opening balance, the amount from the holder's side.

    Raises:
        WrongShape: a field is not what the page promises.
    """
    record = json_fields.an_object(record, "the opening balance")
    cents = json_fields.integer(record, "balance") * side.holder_sign()
    tags = json_fields.optional_list(record, "transaction_tags")
    metadata = record.get("metadata")
    if metadata is not None:
        metadata = json_fields.free_json(json_fields.an_object(metadata, "metadata"), "metadata")
    return OpeningBalance(
        amount=Money(cents, currency),
        effective_at=json_fields.optional_instant(record, "effective_at"),
        source=OpeningBalanceSource.PROVIDER,
        created_at=json_fields.optional_instant(record, "created_at"),
        updated_at=json_fields.optional_instant(record, "updated_at"),
        memo=json_fields.optional_text(record, "memo"),
        reference_number=json_fields.optional_text(record, "reference_number"),
        tags=tuple(_tag(json_fields.an_object(item, "a tag")) for item in tags),
        metadata=metadata,
    )


def has_balance(record: Any) -> bool:
    """Whether a record tells a balance at all; the undocumented route may answer without one."""
    return isinstance(record, dict) and "balance" in record


def index_rows_by_account(data: Any) -> Rows:
    """The entries of a ledger tree, at most ``DEPTH_MAX`` deep, by account id.

    Raises:
        WrongShape: it is no tree.
    """
    rows: Rows = {}
    accounts = json_fields.an_object(data, "the ledger").get("accounts")
    for row in _walk(json_fields.a_list(accounts, "accounts")):
        rows.setdefault(parse_account_id(row, "id"), []).append(row)
    return rows


def parse_account_id(record: dict[str, Any], key: str) -> str:
    """An account id, told as text or, in newer answers, as ``{"type": "AccountId", "id": …}``."""
    value = record.get(key)
    return (
        json_fields.text(value, "id") if isinstance(value, dict) else json_fields.text(record, key)
    )


def find_side(row: dict[str, Any]) -> Side | None:
    """The account's normal side; None when ``normality`` is neither DEBIT nor CREDIT."""
    sides = {"DEBIT": Side.DEBIT, "CREDIT": Side.CREDIT}
    normality = row.get("normality")
    return sides.get(normality.upper()) if isinstance(normality, str) else None


def _walk(accounts: list[Any]) -> Iterator[dict[str, Any]]:
    level = accounts
    for _ in range(json_fields.DEPTH_MAX):
        below: list[Any] = []
        for item in level:
            row = json_fields.an_object(item, "an account")
            yield row
            below.extend(json_fields.optional_list(row, "sub_accounts"))
        level = below
    if level:
        raise json_fields.WrongShape("the ledger is nested too deeply")


def _tag(record: dict[str, Any]) -> Tag:
    return Tag(
        id=json_fields.text(record, "id"),
        key=json_fields.text(record, "key"),
        value=json_fields.text(record, "value"),
        dimension_id=json_fields.text(record, "dimension_id"),
        definition_id=json_fields.text(record, "definition_id"),
        dimension_display_name=json_fields.optional_text(record, "dimension_display_name"),
        value_display_name=json_fields.optional_text(record, "value_display_name"),
        archived_at=json_fields.optional_instant(record, "archived_at"),
    )


def _api_error(answer: ProviderResponse) -> dict[str, Any] | None:
    """The first error that an answer tells; empty when it tells one we cannot read."""
    body = answer.body
    if not isinstance(body, dict):
        return None
    if body.get("errors") is not None:
        errors = body["errors"]
        first = errors[0] if isinstance(errors, list) and errors else None
        return first if isinstance(first, dict) else {}
    # An ApiError has to have both; nothing that we ask for has a description of its own.
    return body if "type" in body and "description" in body else None


def _code(error: dict[str, Any]) -> str | None:
    """The ``error_enum``, if it looks like one: an open list of identifiers."""
    code = error.get("error_enum")
    if not isinstance(code, str) or len(code) > _CODE_LENGTH_MAX:
        return None
    return code if code.isascii() and code.isalnum() else None


def _refused_with_2xx(
    answer: ProviderResponse, error: dict[str, Any], code: str | None, hint: str, field: str | None
) -> ProviderError:
    about = answer.operation
    message = f"{about.who} answered the {about.name} with HTTP {answer.status} and an error. "
    kind = ProviderCredentialsRejected if error.get("type") == "AuthFailure" else ProviderRejected
    return kind(
        message + hint + (CHECK_FIRST if about.write else ""),
        maybe_applied=about.write,
        provider_code=code,
        field=field if kind is ProviderRejected else None,
        provider=about.provider,
    )
