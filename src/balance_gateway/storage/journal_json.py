"""Converts opening balances and write intents to JSON text for the journal and audit log."""

import json

from balance_gateway.domain.balances import OpeningBalance
from balance_gateway.domain.codec import (
    money_to_json,
    opening_balance_from_json,
    opening_balance_to_json,
)
from balance_gateway.domain.writes import WriteIntent
from balance_gateway.storage.tables import instant_text


def opening_balance_to_text(opening: OpeningBalance | None) -> str | None:
    """Convert an opening balance to JSON text; None stays None.

    Raises:
        TypeError: the metadata contains a value that JSON cannot represent.
    """
    return None if opening is None else json.dumps(opening_balance_to_json(opening))


def opening_balance_from_text(document_text: str | None) -> OpeningBalance | None:
    """Convert the output of ``opening_balance_to_text`` back; None stays None."""
    return None if document_text is None else opening_balance_from_json(json.loads(document_text))


def intent_to_text(intent: WriteIntent) -> str:
    """Convert the requested values of a write to JSON text."""
    effective_at = intent.effective_at
    document = {
        "amount": money_to_json(intent.amount),
        "effective_at": None if effective_at is None else instant_text(effective_at),
        "memo": intent.memo,
        "reference_number": intent.reference_number,
    }
    return json.dumps(document)
