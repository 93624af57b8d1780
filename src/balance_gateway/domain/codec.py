"""Converts balances and opening balances to plain JSON values and back without loss.

Provider metadata survives the round trip: a ``Decimal`` is written as ``{"$decimal": "1.10"}``.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
    OpeningBalanceSource,
    Tag,
)
from balance_gateway.domain.money import Money

_DECIMAL = "$decimal"


def money_to_json(money: Money | None) -> dict[str, str] | None:
    """Convert an amount to JSON values; None stays None."""
    if money is None:
        return None
    # As text: JSON numbers lose digits beyond 2**53 in many parsers.
    return {"minor_units": str(money.minor_units), "currency": money.currency}


def money_from_json(value: Any) -> Money | None:
    """Convert the output of ``money_to_json`` back."""
    return None if value is None else Money(int(value["minor_units"]), value["currency"])


def figures_to_json(figures: BalanceFigures) -> dict[str, Any]:
    """Convert balances to JSON values."""
    return {
        "as_of": figures.as_of.isoformat(),
        "bank": money_to_json(figures.bank),
        "ledger": money_to_json(figures.ledger),
    }


def figures_from_json(value: Mapping[str, Any]) -> BalanceFigures:
    """Convert the output of ``figures_to_json`` back."""
    return BalanceFigures(
        as_of=date.fromisoformat(value["as_of"]),
        bank=money_from_json(value["bank"]),
        ledger=money_from_json(value["ledger"]),
    )


def opening_balance_to_json(opening: OpeningBalance) -> dict[str, Any]:
    """Convert an opening balance to JSON values."""
    return {
        "amount": money_to_json(opening.amount),
        "effective_at": _instant_to_json(opening.effective_at),
        "source": opening.source.value,
        "created_at": _instant_to_json(opening.created_at),
        "updated_at": _instant_to_json(opening.updated_at),
        "memo": opening.memo,
        "reference_number": opening.reference_number,
        "tags": [_tag_to_json(tag) for tag in opening.tags],
        "metadata": _metadata_to_json(opening.metadata),
    }


def opening_balance_from_json(value: Mapping[str, Any]) -> OpeningBalance:
    """Convert the output of ``opening_balance_to_json`` back."""
    amount = money_from_json(value["amount"])
    assert amount is not None
    return OpeningBalance(
        amount=amount,
        effective_at=_instant_from_json(value["effective_at"]),
        source=OpeningBalanceSource(value["source"]),
        created_at=_instant_from_json(value["created_at"]),
        updated_at=_instant_from_json(value["updated_at"]),
        memo=value["memo"],
        reference_number=value["reference_number"],
        tags=tuple(_tag_from_json(tag) for tag in value["tags"]),
        metadata=_metadata_from_json(value["metadata"]),
    )


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
    return Tag(**{**value, "archived_at": _instant_from_json(value["archived_at"])})


def _metadata_to_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {_DECIMAL: str(value)}
    if isinstance(value, Mapping):
        return {str(key): _metadata_to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_metadata_to_json(item) for item in value]
    return value


def _metadata_from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_DECIMAL}:
            return Decimal(value[_DECIMAL])
        return {key: _metadata_from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_metadata_from_json(item) for item in value]
    return value
