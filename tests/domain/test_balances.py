"""Tests balances: the difference, the holder's sign and the JSON round trip."""

import json
from datetime import date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.domain.accounts import ACCOUNT_ID, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
    OpeningBalanceSource,
    Tag,
)
from balance_gateway.domain.codec import (
    figures_from_json,
    figures_to_json,
    money_from_json,
    money_to_json,
    opening_balance_from_json,
    opening_balance_to_json,
)
from balance_gateway.domain.money import Money

DAY = date(2026, 5, 7)
MONEY = st.builds(Money, st.integers(), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.none() | st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001 (Hypothesis takes naive bounds)
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=OFFSETS,
)
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
TAGS = st.builds(
    Tag, *[st.text(max_size=3)] * 5, dimension_display_name=TEXTS, archived_at=INSTANTS
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OPENINGS = st.builds(
    OpeningBalance,
    amount=MONEY,
    effective_at=INSTANTS,
    source=st.sampled_from(OpeningBalanceSource),
    created_at=INSTANTS,
    updated_at=INSTANTS,
    memo=TEXTS,
    reference_number=TEXTS,
    tags=st.lists(TAGS, max_size=2).map(tuple),
    metadata=st.none() | st.dictionaries(st.text(), JSON, max_size=3),
)


@given(st.none() | MONEY)
def test_money_survives_json(money: Money | None) -> None:
    assert money_from_json(json.loads(json.dumps(money_to_json(money)))) == money


@given(st.builds(BalanceFigures, st.dates(), st.none() | MONEY, st.none() | MONEY))
def test_figures_survive_json(figures: BalanceFigures) -> None:
    assert figures_from_json(json.loads(json.dumps(figures_to_json(figures)))) == figures


@given(OPENINGS)
def test_opening_balances_survive_json(opening: OpeningBalance) -> None:
    back = opening_balance_from_json(json.loads(json.dumps(opening_balance_to_json(opening))))

    assert back == opening
    assert repr(back.effective_at and back.effective_at.utcoffset()) == repr(
        opening.effective_at and opening.effective_at.utcoffset()
    )


def test_amounts_are_text_in_json_to_keep_all_digits() -> None:
    assert money_to_json(Money(2**63 + 1, "EUR")) == {
        "minor_units": "9223372036854775809",
        "currency": "EUR",
    }


def test_the_difference_is_bank_minus_ledger_if_both_are_known() -> None:
    five, seven = Money(5, "EUR"), Money(7, "EUR")

    differences = [
        BalanceFigures(DAY, bank, ledger).difference
        for bank, ledger in [(five, seven), (five, None), (None, seven), (five, five)]
    ]

    assert differences == [Money(-2, "EUR"), None, None, Money(0, "EUR")]


def test_the_normal_side_gives_the_sign_for_the_holder() -> None:
    assert (Side.DEBIT.holder_sign(), Side.CREDIT.holder_sign()) == (1, -1)


def test_account_ids_are_limited_in_characters_and_length() -> None:
    good = ["a", "acct_1", "A-b_9", "x" * 64]
    bad = ["", "x" * 65, "a b", "ä", "a\n", "a.b", "a/b", "١"]

    assert all(ACCOUNT_ID.fullmatch(name) for name in good)
    assert not any(ACCOUNT_ID.fullmatch(name) for name in bad)
