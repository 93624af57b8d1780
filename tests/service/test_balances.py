"""Tests totals per currency: each money once, with days, age and what is missing."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.balances import BalanceFigures, MissingReason
from balance_gateway.domain.errors import ProviderTimeout, ProviderUnavailable
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed
from tests.service.fakes import account, sum_up

DAY = date(2026, 5, 7)
AT = datetime(2026, 5, 7, 12, tzinfo=UTC)


def row(
    account_id: str, currency: str, bank: int | None, ledger: int | None, age_s: float = 0
) -> tuple[BalanceRequest, Any]:
    figures = BalanceFigures(
        DAY,
        None if bank is None else Money(bank, currency),
        None if ledger is None else Money(ledger, currency),
    )
    observed = Observed(figures, AT - timedelta(seconds=age_s), FreshnessState.LIVE)
    return BalanceRequest(account(account_id, currency=currency), DAY, True), observed


def totals_of(*rows: tuple[BalanceRequest, Any]) -> list[Any]:
    return sum_up([request for request, _ in rows], [answer for _, answer in rows])


def test_totals_are_separate_per_currency() -> None:
    euro, yen = totals_of(
        row("a", "JPY", 5, 7), row("b", "EUR", 10**30, -3), row("c", "EUR", 1, -4)
    )

    assert (euro.currency, yen.currency) == ("EUR", "JPY")
    assert (euro.bank, euro.ledger) == (Money(10**30 + 1, "EUR"), Money(-7, "EUR"))
    assert (yen.bank, yen.ledger) == (Money(5, "JPY"), Money(7, "JPY"))
    assert (euro.included, euro.complete) == (2, True)


def test_unknown_figures_are_not_summed_as_zero() -> None:
    (euro,) = totals_of(
        row("a", "EUR", None, 7), row("b", "EUR", 0, None), row("c", "EUR", None, 1)
    )
    assert (euro.bank, euro.bank_included) == (Money(0, "EUR"), 1)
    assert (euro.ledger, euro.ledger_included, euro.included) == (Money(8, "EUR"), 2, 3)


def test_failed_accounts_are_listed_with_their_error_code() -> None:
    failed = BalanceRequest(account("b"), DAY, True), ProviderTimeout("late")
    (euro,) = totals_of(row("a", "EUR", 1, 1), failed)

    assert not euro.complete
    assert [(one.account.id, one.code) for one in euro.missing] == [("b", "PROVIDER_TIMEOUT")]
    assert (euro.included, euro.bank) == (1, Money(1, "EUR"))


def test_a_currency_with_only_failed_accounts_has_a_total_without_sum() -> None:
    failed = BalanceRequest(account("b"), DAY, True), ProviderUnavailable("down")

    (euro,) = totals_of(failed)

    assert (euro.bank, euro.ledger, euro.included) == (None, None, 0)
    assert euro.oldest_observed_at is None


def test_a_total_is_as_old_as_its_oldest_value() -> None:
    (euro,) = totals_of(row("a", "EUR", 1, 1, 5), row("b", "EUR", 1, 1, 90), row("c", "EUR", 1, 1))

    assert euro.oldest_observed_at == AT - timedelta(seconds=90)


def test_without_accounts_there_are_no_totals() -> None:
    assert sum_up([], []) == []


def at_path(
    account_id: str, ledger: int, *path: str, currency: str = "USD", **changes: Any
) -> tuple[BalanceRequest, Any]:
    request, observed = row(account_id, currency, None, ledger)
    kind = changes.pop("provider", ProviderKind.LAYER)
    request = replace(request, account=replace(request.account, provider=kind))
    return request, replace(observed, value=replace(observed.value, remote_path=path), **changes)


def overlapping_ids(total: Any) -> list[str]:
    return [one.id for one in total.overlapping]


def test_a_parent_account_counts_instead_of_its_children() -> None:
    """A parent of 1000 at Layer, with 600 and 400 in its children, gave a total of 2000."""
    children = [
        at_path("a", 600, "biz", "top", "p", "a"),
        at_path("b", 400, "biz", "top", "p", "b"),
    ]
    (usd,) = totals_of(*children, at_path("p", 1_000, "biz", "top", "p"))
    (without,) = totals_of(*children)

    assert (usd.ledger, usd.included, usd.ledger_included) == (Money(1_000, "USD"), 1, 1)
    assert (overlapping_ids(usd), usd.complete, usd.missing) == (["a", "b"], True, ())
    assert (without.ledger, without.included, without.overlapping) == (Money(1_000, "USD"), 2, ())


def test_only_the_outermost_account_counts() -> None:
    rows = [
        at_path("a", 1, "biz", "g", "p", "c"),
        at_path("b", 3, "biz", "g"),
        at_path("c", 2, "biz", "g", "p"),
        at_path("d", 10, "biz", "gp"),
    ]
    (usd,) = totals_of(*rows)

    assert (usd.ledger, overlapping_ids(usd)) == (Money(13, "USD"), ["a", "c"])


def test_one_remote_account_under_two_ids_counts_once() -> None:
    """One Light account that was configured twice gave twice its balance."""
    light = {"provider": ProviderKind.LIGHT, "currency": "EUR"}
    (euro,) = totals_of(
        at_path("a", 5, "uuid", **light), at_path("b", 5, "uuid", **light),
        at_path("c", 5, "other", **light), at_path("d", 5, "uuid", **light),
    )  # fmt: skip

    assert (euro.ledger, euro.included) == (Money(10, "EUR"), 2)
    assert (overlapping_ids(euro), euro.complete) == (["b", "d"], True)


def test_one_remote_account_in_two_currencies_counts_once() -> None:
    """Asset and Layer name no currency: one ledger under two counted in both totals."""
    euro, usd = totals_of(
        at_path("b", 600, "biz", "p", currency="EUR"), at_path("c", 400, "biz", "p", "q"),
        at_path("a", 600, "biz", "p", currency="USD", provider=ProviderKind.ASSET),
        at_path("d", 600, "biz", "p", currency="USD"),
    )  # fmt: skip

    assert (euro.ledger, euro.included, euro.overlapping) == (Money(600, "EUR"), 1, ())
    assert (usd.ledger, usd.included) == (Money(600, "USD"), 1)
    assert (overlapping_ids(usd), usd.complete) == (["c", "d"], True)


def test_equal_ids_at_two_providers_are_two_accounts() -> None:
    (usd,) = totals_of(
        at_path("a", 1, "x"), at_path("b", 2, "x", provider=ProviderKind.ASSET),
        at_path("c", 4, "x", "y", provider=ProviderKind.LOCAL),
        at_path("d", 8), at_path("e", 16),
    )  # fmt: skip

    assert (usd.ledger, usd.overlapping) == (Money(31, "USD"), ())


def test_a_child_counts_while_its_parent_cannot_be_read() -> None:
    parent, _ = at_path("p", 1_000, "biz", "p")
    (usd,) = totals_of((parent, ProviderUnavailable("down")), at_path("q", 600, "biz", "p", "q"))

    assert (usd.ledger, usd.included, usd.overlapping) == (Money(600, "USD"), 1, ())
    assert [one.account.id for one in usd.missing] == ["p"]
    assert not usd.complete


def test_an_account_without_any_balance_for_the_day_is_missing() -> None:
    """A statement file without the day made the total of the others look complete."""
    request, observed = row("a", "EUR", None, None)
    nothing = replace(observed.value, bank_missing=MissingReason.NOT_IN_FILE)
    (euro,) = totals_of((request, replace(observed, value=nothing)), row("b", "EUR", 1, None))

    assert (euro.included, euro.bank, euro.complete) == (1, Money(1, "EUR"), False)
    [missing] = euro.missing
    assert (missing.account.id, missing.code) == ("a", "UNSUPPORTED_BY_PROVIDER")
    assert missing.reason is MissingReason.NOT_IN_FILE


def test_an_account_without_a_balance_does_not_stand_for_its_equal() -> None:
    request, observed = at_path("a", 1, "x")
    nothing = replace(observed.value, ledger=None, ledger_missing=MissingReason.NOT_IN_FILE)
    (usd,) = totals_of((request, replace(observed, value=nothing)), at_path("b", 5, "x"))

    assert (usd.ledger, usd.overlapping) == (Money(5, "USD"), ())


def on_day(account_id: str, day: date, **changes: Any) -> tuple[BalanceRequest, Any]:
    request, observed = row(account_id, "EUR", 1, 1)
    figures = replace(observed.value, as_of=day)
    return replace(request, as_of=day), replace(observed, value=figures, **changes)


def test_a_total_names_the_days_of_its_balances() -> None:
    """Today summed accounts of two days without a word."""
    (euro,) = totals_of(on_day("a", DAY), on_day("b", DAY + timedelta(days=1)), on_day("c", DAY))
    (one_day,) = totals_of(on_day("a", DAY))
    request, _ = on_day("d", DAY - timedelta(days=1))
    failed = request, ProviderTimeout("late")
    (with_failed,) = totals_of(on_day("a", DAY), failed)
    (only_failed,) = totals_of(failed)

    assert (euro.first_day, euro.last_day) == (DAY, DAY + timedelta(days=1))
    assert (one_day.first_day, one_day.last_day) == (DAY, DAY)
    assert (with_failed.first_day, with_failed.last_day) == (DAY, DAY)
    assert only_failed.first_day == only_failed.last_day == DAY - timedelta(days=1)


def test_a_total_counts_its_stale_balances() -> None:
    stale = {"state": FreshnessState.STALE, "stale_reason": "down"}
    (euro,) = totals_of(
        on_day("a", DAY, **stale), on_day("b", DAY, state=FreshnessState.CACHED),
        on_day("c", DAY, **stale), on_day("d", DAY),
    )  # fmt: skip

    assert (euro.stale_included, euro.included, euro.complete) == (2, 4, True)


def test_what_is_left_out_has_no_part_in_age_and_days() -> None:
    child, observed = at_path("c", 1, "biz", "p", "c", state=FreshnessState.STALE)
    old = replace(
        observed,
        value=replace(observed.value, as_of=DAY - timedelta(days=9)),
        observed_at=AT - timedelta(days=9),
    )
    (usd,) = totals_of((child, old), at_path("p", 1, "biz", "p"))

    assert (usd.first_day, usd.stale_included, usd.oldest_observed_at) == (DAY, 0, AT)


def test_the_counted_balances_are_those_in_the_total() -> None:
    child, observed = at_path("c", 1, "biz", "p", "c")
    (usd,) = totals_of((child, observed), at_path("p", 1, "biz", "p"))

    assert [(each.account.id, each.as_of) for each in usd.list_counted()] == [("p", DAY)]
