"""Encodes single values as JSON, exactly as graphql-core and the scalars of ``api/schema`` do."""

from datetime import date, datetime
from typing import Any

from balance_gateway.api.schema.json_output import encode_json
from balance_gateway.domain.calendar_days import format_instant


def encode_text(text: str | None) -> bytes:
    """Encode a text, or null for None."""
    return encode_json(text)


def encode_instant(instant: datetime | None) -> bytes:
    """Encode an instant, or null for None."""
    return b"null" if instant is None else b'"%s"' % format_instant(instant).encode()


def encode_name(member: Any) -> bytes:
    """Encode a member of an enum by its name, or null for None."""
    return b"null" if member is None else b'"%s"' % member.name.encode()


def encode_day(day: date) -> bytes:
    """Encode a day."""
    return b'"%s"' % day.isoformat().encode()


def encode_boolean(value: bool) -> bytes:
    """Encode a boolean."""
    return b"true" if value else b"false"
