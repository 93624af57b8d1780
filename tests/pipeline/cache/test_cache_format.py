"""The cache's format: exact for every value, and any other format counts as absent."""

import json
from dataclasses import make_dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given

from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
    OpeningBalanceSource,
)
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.money import Money
from balance_gateway.pipeline.cache import cache_format
from balance_gateway.pipeline.cache.cache_format import FORMAT, decode_entry, encode_entry
from tests.domain.balance_values import FEEDS, FIGURES, OPENINGS, fill

Value = BalanceFigures | OpeningBalance | BankFeed | None
FIELDS = ("nonce", 1778155200.123456, 30.0)
AMOUNT = {"minor_units": 5, "currency": "EUR"}
FIGURES_JSON = {"as_of": "2026-05-07", "bank": AMOUNT, "ledger": None}
OPENING_JSON = {"amount": AMOUNT, "effective_at": None, "source": "provider"}


def survive(value: Value) -> Value:
    decoded = decode_entry(encode_entry(*FIELDS, value))
    assert decoded is not None
    assert decoded[:3] == FIELDS
    return decoded[3]


@given(FIGURES)
def test_figures_survive_the_cache_exactly(figures: BalanceFigures) -> None:
    assert survive(figures) == figures


@given(OPENINGS)
def test_opening_balances_survive_the_cache_exactly(opening: OpeningBalance) -> None:
    # Equal instants may differ in their offset, and equal decimals in their digits.
    assert repr(survive(opening)) == repr(opening)


@given(FEEDS)
def test_bank_feeds_survive_the_cache_exactly(feed: BankFeed) -> None:
    assert repr(survive(feed)) == repr(feed)


def test_a_missing_opening_balance_survives_the_cache() -> None:
    assert survive(None) is None


@pytest.mark.parametrize("kind", [BalanceFigures, OpeningBalance, BankFeed])
def test_no_field_of_a_value_is_forgotten(kind: Any) -> None:
    value = fill(kind)

    assert survive(value) == value


@pytest.mark.parametrize(
    "own", [{"$decimal": "1.10"}, {"$float": "inf"}, {"$object": {}}, {"$object": {"$decimal": 1}}]
)
def test_an_object_of_the_provider_is_not_taken_for_a_notation(own: dict[str, Any]) -> None:
    metadata = {"a": own, "b": [own], "c": Decimal("1.10"), "d": float("-inf"), **own}
    source = OpeningBalanceSource.PROVIDER

    value = survive(OpeningBalance(Money(1, "EUR"), None, source, metadata=metadata))

    assert isinstance(value, OpeningBalance)
    assert repr(value.metadata) == repr(metadata)


def test_metadata_of_any_mapping_and_sequence_survives_the_cache() -> None:
    metadata = MappingProxyType({"a": MappingProxyType({"b": (Decimal("1.10"), 2**70)})})
    source = OpeningBalanceSource.PROVIDER

    value = survive(OpeningBalance(Money(1, "EUR"), None, source, metadata=metadata))

    assert isinstance(value, OpeningBalance)
    assert value.metadata == {"a": {"b": [Decimal("1.10"), 2**70]}}


def encode(*values: Any) -> bytes:
    return json.dumps([FORMAT, *FIELDS, *values]).encode()


def test_the_documents_below_differ_from_readable_ones_by_their_damage() -> None:
    assert decode_entry(encode(FIGURES_JSON, None, None)) is not None
    assert decode_entry(encode(None, OPENING_JSON, None)) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"not JSON",
        b"5",
        b"{}",
        b"[1,2,3]",
        # MessagePack, which release 0.1.0 wrote.
        msgspec.msgpack.encode([*FIELDS, "none", None]),
        json.dumps(["another format", *FIELDS, FIGURES_JSON, None, None]).encode(),
        encode(FIGURES_JSON, None, None, None),
        encode(FIGURES_JSON),
        encode({**FIGURES_JSON, "as_of": "tomorrow"}, None, None),
        encode({**FIGURES_JSON, "bank": []}, None, None),
        encode({**FIGURES_JSON, "bank": {**AMOUNT, "minor_units": "x"}}, None, None),
        encode(None, {**OPENING_JSON, "amount": None}, None),
        encode(None, {**OPENING_JSON, "source": "estimated"}, None),
        encode(None, {**OPENING_JSON, "metadata": {"a": {"$decimal": "ten"}}}, None),
        encode(None, {**OPENING_JSON, "metadata": {"a": {"$decimal": {}}}}, None),
        encode(None, {**OPENING_JSON, "metadata": {"a": {"$float": "ten"}}}, None),
        encode(None, {**OPENING_JSON, "metadata": {"a": {"$object": 7}}}, None),
    ],
)
def test_an_entry_of_another_format_counts_as_absent(data: bytes) -> None:
    assert decode_entry(data) is None


def test_a_new_field_makes_another_format() -> None:
    """An entry without the field would otherwise be read with the field's default."""
    colour = ("colour", str | None, None)
    extended = make_dataclass("OpeningBalance", [colour], bases=(OpeningBalance,), frozen=True)
    stored = cache_format._StoredEntry
    changed = msgspec.defstruct(
        "_StoredEntry",
        [
            *((f.name, f.type) for f in msgspec.structs.fields(stored) if f.name != "opening"),
            ("opening", extended | None),
        ],
        array_like=True,
        forbid_unknown_fields=True,
    )

    assert cache_format._name_format(stored) == FORMAT
    assert cache_format._name_format(changed) != FORMAT
