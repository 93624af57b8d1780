"""The JSON of balances in series is kept for as long as the same value is read again."""

from datetime import timedelta

import pytest

from balance_gateway.api.compiled.kept_texts import KeptTexts
from tests.api.compiled.gateway_harness import GatewayHarness
from tests.api.compiled.random_history import without_early_refresh

SERIES = """query ($from: Date!) { bankAccount(id: "a0") {
  balanceSeries(from: $from, to: "2026-05-07") { points { day balance { %s } problem { code } } }
} }"""
HISTORY = """query ($from: Date!) { bankAccount(id: "a0") {
  balanceHistory(from: $from, to: "2026-05-07") { %s }
} }"""
SELECTIONS = (
    "asOf bank { amount }",
    "asOf bank { minorUnits } ledger { amount }",
    "asOf freshness { state }",
    "freshness { ageSeconds observedAt }",
    "bank { amount } freshness { sourcedAt }",
)


def test_a_text_belongs_to_one_value() -> None:
    texts, first, second = KeptTexts(), object(), object()
    texts.put("key", first, b"1")

    assert texts.find("key", first) == b"1"
    assert texts.find("key", second) is None
    assert texts.find("other", first) is None


def test_the_oldest_texts_are_dropped_over_the_limit() -> None:
    texts, value = KeptTexts(bytes_max=100_000), object()
    for number in range(1_000):
        texts.put(number, value, b"x" * 500)
        texts.put(number, value, b"y" * 500)

    assert texts.size_bytes == len(texts) * 1_000 <= 100_000
    assert texts.find(999, value) == b"y" * 500
    assert texts.find(0, value) is None


def test_a_large_text_is_not_kept() -> None:
    texts, value = KeptTexts(bytes_max=100_000), object()
    texts.put("key", value, b"x" * 1_001)

    assert texts.find("key", value) is None


@pytest.mark.parametrize("document", [SERIES, HISTORY])
async def test_series_of_kept_texts_are_those_of_graphql_core(document: str) -> None:
    """Windows overlap, selections differ, time passes, and values change in between."""
    harness = GatewayHarness()
    with without_early_refresh():
        for step in range(6):
            for selection in SELECTIONS:
                query, variables = document % selection, {"from": f"2026-04-{30 - step % 3:02}"}
                expected = await harness.send(harness.graphql_core, query, variables)
                assert await harness.send(harness.compiled, query, variables) == expected
            harness.now += timedelta(seconds=250)
            harness.provider.offset += 1
            if step == 3:
                await harness.write("a0")

    kept = harness.compiled._kept_parts
    assert kept is not None
    assert len(kept.texts) > 20


async def test_series_with_ages_are_not_kept_by_day() -> None:
    harness = GatewayHarness()
    for _ in range(3):
        await harness.send(
            harness.compiled, SERIES % "freshness { ageSeconds }", {"from": "2026-05-01"}
        )

    kept = harness.compiled._kept_parts
    assert kept is not None
    assert len(kept.texts) == 0
