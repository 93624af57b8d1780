"""Parse Layer's responses: both envelopes, both forms of errors and ids, every field."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource, Tag
from balance_gateway.domain.errors import (
    ProviderCredentialsRejected,
    ProviderError,
    ProviderRejected,
    with_account,
)
from balance_gateway.domain.evidence import Figure, RawUnit
from balance_gateway.domain.money import Money
from balance_gateway.ports.evidence import EvidenceCollector, current_evidence
from balance_gateway.providers.http import json_fields
from balance_gateway.providers.http.decorations import read_decoration
from balance_gateway.providers.http.errors import (
    CHECK_BEFORE_RETRY,
    ProviderResponse,
    build_refusal,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One account in a ledger tree.

    Attributes:
        record: the account as decoded JSON.
        path: the account ids from the top of the tree to this account.
    """

    record: dict[str, Any]
    path: tuple[str, ...]


#: Entries of a ledger tree by account id; more than one for a duplicate id.
Rows = dict[str, list[LedgerEntry]]

_NO_OPENING_BALANCE: Final = "NoOpeningBalanceFound"
_HINTS: Final = {
    "PeriodIsClosed": "The period is closed in Layer: choose a later effectiveAt.",
    "InvalidEffectiveDate": "Layer does not accept this effectiveAt: choose another.",
}
_HINT: Final = "Check the account's business_id and its account ids; they may be archived."
_CODE_LENGTH_MAX: Final = 64


def unwrap_data(response: ProviderResponse, now: datetime) -> Any:
    """Return ``data`` of a response, or the whole body if it has no ``data``.

    Raises:
        ProviderError: The status is not 2xx, or the response contains errors.
    """
    error = _find_api_error(response)
    if error is None and response.ok:
        body = response.body
        return body["data"] if isinstance(body, dict) and "data" in body else body
    error = error or {}
    code = _parse_error_code(error)
    hint = _HINTS.get(code or "", _HINT)
    field = "effectiveAt" if code in _HINTS else None
    # Errors with a 2xx status are failures too.
    if not response.ok:
        raise build_refusal(response, now, hint=hint, field=field, provider_code=code)
    raise _build_refusal_with_2xx(response, error, code, hint, field)


def is_opening_balance_unset(response: ProviderResponse) -> bool:
    """Return whether the response says that no opening balance is set; this is no failure."""
    error = _find_api_error(response)
    # The status of this error is not documented; other statuses, such as 401, take precedence.
    status_fits = response.ok or response.status in {400, 404}
    return status_fits and error is not None and _parse_error_code(error) == _NO_OPENING_BALANCE


def parse_opening_balance(record: Any, account: Account, side: Side) -> OpeningBalance:
    """Parse every documented field of an opening balance.

    Only what decides the figure can make it unreadable: ``balance`` and ``effective_at``. Any other
    malformed field is dropped and logged, and of the tags the malformed ones only.

    Args:
        record: The opening balance as decoded JSON.
        account: The account; the amount has its currency.
        side: The account's normal side, to convert the amount to the holder's side.

    Raises:
        MalformedResponse: ``balance`` or ``effective_at`` contradicts the page.
    """
    record = json_fields.require_object(record, "the opening balance")
    cents = json_fields.parse_integer(record, "balance") * side.holder_sign()
    if (evidence := current_evidence()) is not None:
        names = ("balance", "effective_at", "created_at", "updated_at")
        explain_cents(evidence, Figure.OPENING_BALANCE, record, names, side)

    def read(parse: Callable[[dict[str, Any], str], T | None], key: str) -> T | None:
        return read_decoration(account, key, lambda: parse(record, key), None)

    return OpeningBalance(
        amount=Money(cents, account.currency),
        effective_at=json_fields.parse_optional_instant(record, "effective_at"),
        source=OpeningBalanceSource.PROVIDER,
        created_at=read(json_fields.parse_optional_instant, "created_at"),
        updated_at=read(json_fields.parse_optional_instant, "updated_at"),
        memo=read(json_fields.parse_optional_text, "memo"),
        reference_number=read(json_fields.parse_optional_text, "reference_number"),
        tags=_read_tags(record, account),
        metadata=read(_parse_metadata, "metadata"),
    )


def explain_cents(
    evidence: EvidenceCollector,
    figure: Figure,
    record: dict[str, Any],
    names: Sequence[str],
    side: Side,
) -> None:
    """Note an amount in cents on the account's normal side."""
    sign = "+1" if side is Side.DEBIT else "−1"
    rule = f"balance × {sign}, because the normal side is {side.name}"
    evidence.set_figure(figure, record, names, RawUnit.CENTS, rule, side)


def has_balance(record: Any) -> bool:
    """Return whether a record contains a balance; the undocumented route may omit it."""
    return isinstance(record, dict) and "balance" in record


def build_partial_write_error(error: ProviderError) -> ProviderError:
    """Return a copy of the second call's error which says that the first call succeeded."""
    # A copy, because all calls that wait for a token share the error of its renewal.
    copy = with_account(error)
    assert isinstance(copy, ProviderError)
    copy.maybe_applied = True
    copy.message += " Layer set the balance and may not have recalculated the opening balance."
    copy.args = (copy.message,)
    return copy


def index_rows_by_account(data: Any) -> Rows:
    """Return the entries of a ledger tree by account id.

    Raises:
        MalformedResponse: The data is not a tree, or is nested deeper than ``DEPTH_MAX``.
    """
    rows: Rows = {}
    accounts = json_fields.require_object(data, "the ledger").get("accounts")
    for entry in _iterate_accounts(json_fields.require_list(accounts, "accounts")):
        rows.setdefault(entry.path[-1], []).append(entry)
    return rows


def parse_account_id(record: dict[str, Any], key: str) -> str:
    """Return an account id: text or, in newer responses, ``{"type": "AccountId", "id": …}``."""
    value = record.get(key)
    return (
        json_fields.parse_text(value, "id")
        if isinstance(value, dict)
        else json_fields.parse_text(record, key)
    )


def find_side(row: dict[str, Any]) -> Side | None:
    """Return the account's normal side; None if ``normality`` is neither DEBIT nor CREDIT."""
    sides = {"DEBIT": Side.DEBIT, "CREDIT": Side.CREDIT}
    normality = row.get("normality")
    return sides.get(normality.upper()) if isinstance(normality, str) else None


def _iterate_accounts(accounts: list[Any]) -> Iterator[LedgerEntry]:
    # Level by level instead of recursively, so that a deep tree cannot exhaust the stack.
    level: list[tuple[tuple[str, ...], Any]] = [((), account) for account in accounts]
    for _ in range(json_fields.DEPTH_MAX):
        below: list[tuple[tuple[str, ...], Any]] = []
        for parents, item in level:
            row = json_fields.require_object(item, "an account")
            path = (*parents, parse_account_id(row, "id"))
            yield LedgerEntry(row, path)
            children = json_fields.parse_optional_list(row, "sub_accounts")
            below.extend((path, child) for child in children)
        level = below
    if level:
        raise json_fields.MalformedResponse("the ledger is nested too deeply")


def _read_tags(record: dict[str, Any], account: Account) -> tuple[Tag, ...]:
    key = "transaction_tags"
    items: list[Any] = read_decoration(
        account, key, lambda: json_fields.parse_optional_list(record, key), []
    )
    tags = [read_decoration(account, key, partial(_parse_tag, item), None) for item in items]
    return tuple(tag for tag in tags if tag is not None)


def _parse_metadata(record: dict[str, Any], key: str) -> dict[str, Any] | None:
    if record.get(key) is None:
        return None
    metadata = json_fields.require_object(record[key], key)
    normalized: dict[str, Any] = json_fields.normalize_json(metadata, key)
    return normalized


def _parse_tag(value: Any) -> Tag:
    record = json_fields.require_object(value, "a tag")
    return Tag(
        id=json_fields.parse_text(record, "id"),
        key=json_fields.parse_text(record, "key"),
        value=json_fields.parse_text(record, "value"),
        dimension_id=json_fields.parse_text(record, "dimension_id"),
        definition_id=json_fields.parse_text(record, "definition_id"),
        dimension_display_name=json_fields.parse_optional_text(record, "dimension_display_name"),
        value_display_name=json_fields.parse_optional_text(record, "value_display_name"),
        archived_at=json_fields.parse_optional_instant(record, "archived_at"),
    )


def _find_api_error(response: ProviderResponse) -> dict[str, Any] | None:
    """Return the first error of a response; {} for an unreadable error, None for no error."""
    body = response.body
    if not isinstance(body, dict):
        return None
    if body.get("errors") is not None:
        errors = body["errors"]
        first = errors[0] if isinstance(errors, list) and errors else None
        return first if isinstance(first, dict) else {}
    # A bare ApiError has both fields; none of the requested resources has a description.
    return body if "type" in body and "description" in body else None


def _parse_error_code(error: dict[str, Any]) -> str | None:
    """Return ``error_enum`` if it is an identifier; the list of codes is open."""
    code = error.get("error_enum")
    if not isinstance(code, str) or len(code) > _CODE_LENGTH_MAX:
        return None
    return code if code.isascii() and code.isalnum() else None


def _build_refusal_with_2xx(
    response: ProviderResponse,
    error: dict[str, Any],
    code: str | None,
    hint: str,
    field: str | None,
) -> ProviderError:
    operation = response.operation
    message = (
        f"{operation.provider_name} refused the {operation.name} with an error "
        f"and HTTP {response.status}. "
    )
    kind = ProviderCredentialsRejected if error.get("type") == "AuthFailure" else ProviderRejected
    return kind(
        message + hint + (CHECK_BEFORE_RETRY if operation.write else ""),
        maybe_applied=operation.write,
        provider_code=code,
        field=field if kind is ProviderRejected else None,
        provider=operation.provider,
    )
