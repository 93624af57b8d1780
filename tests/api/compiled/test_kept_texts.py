"""The JSON of balances in series is kept for as long as the same value is read again."""

from datetime import date, timedelta

import pytest

from balance_gateway.api.compiled.kept_texts import KeptText, KeptTexts
from balance_gateway.ports.cache_validity import CacheTerms, CacheValidity
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


KEY, DAY = ("place", "a0"), date(2026, 5, 7)


def build_text(text: bytes, until_s: float = 9.0) -> KeptText:
    validity = CacheValidity()
    return KeptText(text, CacheTerms(validity, validity, until_s))


def test_texts_are_found_while_each_of_them_is_valid() -> None:
    texts, days = KeptTexts(), [DAY, DAY + timedelta(days=1)]
    kept = [build_text(b"1"), build_text(b"2", until_s=8.0)]
    for day, each in zip(days, kept, strict=True):
        texts.put(KEY, day, each)

    assert texts.find_all(KEY, days, 7.9) == kept
    assert texts.find_all(KEY, days[::-1], 7.9) == kept[::-1]
    assert texts.find_all(KEY, days, 8.0) is None
    assert texts.find_all(("place", "a1"), days, 7.9) is None
    assert texts.find_all(KEY, [*days, DAY - timedelta(days=1)], 7.9) is None
    kept[0].terms.validity.is_valid = False
    assert texts.find_all(KEY, days, 7.9) is None


def test_the_least_recently_used_texts_are_dropped_over_the_limit() -> None:
    texts = KeptTexts(bytes_max=100_000)
    for number in range(1_000):
        texts.find_all(KEY, [DAY], 0.0)
        key = KEY if number == 0 else ("place", str(number))
        texts.put(key, DAY, build_text(b"x" * 500))
        texts.put(key, DAY, build_text(b"y" * 500))

    assert texts.size_bytes == len(texts) * 1_000 <= 100_000
    assert [each.text for each in texts.find_all(("place", "999"), [DAY], 0.0)] == [b"y" * 500]
    assert texts.find_all(KEY, [DAY], 0.0) is not None
    assert texts.find_all(("place", "1"), [DAY], 0.0) is None


def test_a_large_text_is_not_kept() -> None:
    texts = KeptTexts(bytes_max=100_000)
    texts.put(KEY, DAY, build_text(b"x" * 1_001))

    assert texts.find_all(KEY, [DAY], 0.0) is None


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
