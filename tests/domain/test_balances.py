"""Tests balances: the difference, the holder's sign and account ids."""

from datetime import date

from balance_gateway.domain.accounts import ACCOUNT_ID, Side
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.money import Money

DAY = date(2026, 5, 7)


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
