"""The JSON documents in the rows of the journal and the audit log: every version ever written.

Rows outlive releases and are never migrated: this release reads them in place. A document has a
``version``, and one without is of version 1. These rules hold for all later changes:

* A new optional field gets a reader with a default for documents without it. The version stays,
  because an older release can ignore the field.
* A change that an older release would misread gets a new version. That release then refuses the
  document; this one still reads all versions below.
* Names, enum values and the notation of instants and amounts never change within a version.

Version 2 has ``$object`` for an object of the provider that looks like one of our notations.
"""

import enum
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource, Tag
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import WriteIntent
from balance_gateway.storage.tables import instant_text

#: The version of the documents that this release writes; it reads this one and all before it.
VERSION = 2

_DECIMAL = "$decimal"
_OBJECT = "$object"

EnumT = TypeVar("EnumT", bound=enum.Enum)


class UnreadableRow(Exception):
    """A stored row is damaged, or a newer release wrote it in a form this one does not know."""


@dataclass(frozen=True, slots=True)
class IntendedValues:
    """The requested values of a write.

    Attributes:
        amount: the opening balance to set, from the holder's side.
        effective_at: the resolved instant; None when the provider accepts none.
        memo: a free-text note; None without one.
        reference_number: a user-visible identifier; None without one.
    """

    amount: Money
    effective_at: datetime | None
    memo: str | None = None
    reference_number: str | None = None


@contextmanager
def reading_row(name: str) -> Iterator[None]:
    """Raise every error of reading a row as ``UnreadableRow`` with the row's name."""
    try:
        yield
    except UnreadableRow as error:
        raise UnreadableRow(f"{name}: {error}") from error
    # What reading a missing or malformed value raises.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UnreadableRow(f"{name} is damaged ({type(error).__name__})") from error


def parse_enum(kind: type[EnumT], value: str) -> EnumT:
    """Return the member with a stored value.

    Raises:
        UnreadableRow: no member has the value.
    """
    try:
        return kind(value)
    except ValueError:
        message = f"{value!r} is no {kind.__name__} of this release: upgrade balance-gateway"
        raise UnreadableRow(message) from None


def opening_balance_to_text(opening: OpeningBalance | None) -> str | None:
    """Convert an opening balance to a document; None stays None.

    Raises:
        TypeError: the metadata contains a value that JSON cannot represent.
    """
    if opening is None:
        return None
    metadata = opening.metadata
    return _to_text(
        {
            "amount": _money_to_json(opening.amount),
            "effective_at": _instant_to_json(opening.effective_at),
            "source": opening.source.value,
            "created_at": _instant_to_json(opening.created_at),
            "updated_at": _instant_to_json(opening.updated_at),
            "memo": opening.memo,
            "reference_number": opening.reference_number,
            "tags": [_tag_to_json(tag) for tag in opening.tags],
            "metadata": None if metadata is None else _members_to_json(metadata),
            "recorded_at": _instant_to_json(opening.recorded_at),
        }
    )


def opening_balance_from_text(document_text: str | None) -> OpeningBalance | None:
    """Read an opening balance from a document of any version; None stays None.

    Raises:
        UnreadableRow: a newer release wrote the document.
        ArithmeticError, AttributeError, LookupError, TypeError, ValueError: it is damaged.
    """
    if document_text is None:
        return None
    document, version = _from_text(document_text)
    metadata = document.get("metadata")
    return OpeningBalance(
        amount=_money_from_json(document["amount"]),
        effective_at=_instant_from_json(document["effective_at"]),
        source=parse_enum(OpeningBalanceSource, document["source"]),
        created_at=_instant_from_json(document.get("created_at")),
        updated_at=_instant_from_json(document.get("updated_at")),
        memo=document.get("memo"),
        reference_number=document.get("reference_number"),
        tags=tuple(_tag_from_json(tag) for tag in document.get("tags", ())),
        metadata=None if metadata is None else _members_from_json(metadata, version),
        recorded_at=_instant_from_json(document.get("recorded_at")),
    )


def intent_to_text(intent: WriteIntent) -> str:
    """Convert the requested values of a write to a document."""
    effective_at = intent.effective_at
    return _to_text(
        {
            "amount": _money_to_json(intent.amount),
            "effective_at": None if effective_at is None else instant_text(effective_at),
            "memo": intent.memo,
            "reference_number": intent.reference_number,
        }
    )


def intended_from_text(document_text: str) -> IntendedValues:
    """Read the requested values of a write; raises like ``opening_balance_from_text``."""
    document, _ = _from_text(document_text)
    return IntendedValues(
        amount=_money_from_json(document["amount"]),
        effective_at=_instant_from_json(document["effective_at"]),
        memo=document.get("memo"),
        reference_number=document.get("reference_number"),
    )


def _to_text(fields: dict[str, Any]) -> str:
    # In ASCII: PostgreSQL refuses NUL and half a surrogate pair in text, but not their escapes.
    return json.dumps({"version": VERSION, **fields})


def _from_text(document_text: str) -> tuple[dict[str, Any], int]:
    document = json.loads(document_text)
    if not isinstance(document, dict):
        raise TypeError("a document must be a JSON object")
    version = document.get("version", 1)
    if type(version) is not int or version < 1:
        raise ValueError("a document's version must be a positive integer")
    if version > VERSION:
        raise UnreadableRow(
            f"a newer release wrote its document in version {version}, and this release reads"
            f" versions up to {VERSION}: upgrade balance-gateway"
        )
    return document, version


def _money_to_json(money: Money) -> dict[str, str]:
    # As text: JSON numbers lose digits beyond 2**53 in many parsers.
    return {"minor_units": str(money.minor_units), "currency": money.currency}


def _money_from_json(value: Any) -> Money:
    return Money(minor_units=int(value["minor_units"]), currency=value["currency"])


def _instant_to_json(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def _instant_from_json(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _tag_to_json(tag: Tag) -> dict[str, Any]:
    return {
        "id": tag.id,
        "key": tag.key,
        "value": tag.value,
        "dimension_id": tag.dimension_id,
        "definition_id": tag.definition_id,
        "dimension_display_name": tag.dimension_display_name,
        "value_display_name": tag.value_display_name,
        "archived_at": _instant_to_json(tag.archived_at),
    }


def _tag_from_json(value: Mapping[str, Any]) -> Tag:
    return Tag(
        id=value["id"],
        key=value["key"],
        value=value["value"],
        dimension_id=value["dimension_id"],
        definition_id=value["definition_id"],
        dimension_display_name=value.get("dimension_display_name"),
        value_display_name=value.get("value_display_name"),
        archived_at=_instant_from_json(value.get("archived_at")),
    )


def _members_to_json(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): _metadata_to_json(item) for key, item in metadata.items()}


def _metadata_to_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {_DECIMAL: str(value)}
    if isinstance(value, Mapping):
        members = _members_to_json(value)
        return {_OBJECT: members} if _find_notation(members) else members
    if isinstance(value, list | tuple):
        return [_metadata_to_json(item) for item in value]
    return value


def _members_from_json(metadata: Mapping[str, Any], version: int) -> dict[str, Any]:
    return {key: _metadata_from_json(item, version) for key, item in metadata.items()}


def _metadata_from_json(value: Any, version: int) -> Any:
    if isinstance(value, list):
        return [_metadata_from_json(item, version) for item in value]
    if not isinstance(value, dict):
        return value
    notation = _find_notation(value)
    if notation == _DECIMAL:
        return _decimal_from_json(value, version)
    if notation == _OBJECT and version > 1:
        return _members_from_json(value[_OBJECT], version)
    return _members_from_json(value, version)


def _decimal_from_json(value: dict[str, Any], version: int) -> Any:
    digits = value[_DECIMAL]
    with suppress(InvalidOperation, TypeError, ValueError):
        if str(number := Decimal(digits)) == digits:
            return number
    if version > 1:
        raise ValueError(f"{_DECIMAL} must be a decimal number as text")
    # Version 1 did not mark a provider's own object with this name.
    return _members_from_json(value, version)


def _find_notation(members: Mapping[str, Any]) -> str | None:
    """Return the notation that an object has the form of; None for any other object."""
    names = tuple(members)
    return names[0] if names in ((_DECIMAL,), (_OBJECT,)) else None
