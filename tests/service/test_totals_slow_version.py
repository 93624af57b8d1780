"""Totals in one pass equal those of a version that is easy to read and slow."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.balances import BalanceFigures, MissingReason
from balance_gateway.domain.errors import ErrorCode, GatewayError, ProviderTimeout
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed
from balance_gateway.service.balances import (
    CurrencyTotal,
    Missing,
    Result,
    TotalGroup,
    build_row,
    correct_totals,
    list_instants,
)
from tests.service import fakes
from tests.service.fakes import sum_up as sum_fast

DAY = date(2026, 5, 7)
AT = datetime(2026, 5, 7, 12, tzinfo=UTC)


def compute_slowly(
    requests: Sequence[BalanceRequest],
    results: Sequence[Result],
    group_by: TotalGroup | None = None,
) -> list[CurrencyTotal]:
    by_key: dict[tuple[str | None, str], list[tuple[BalanceRequest, Result]]] = {}
    for request, result in zip(requests, results, strict=True):
        account = request.account
        group = None
        if group_by is TotalGroup.PROVIDER:
            group = account.provider.name
        elif group_by is TotalGroup.CONNECTOR:
            group = account.connector
        by_key.setdefault((group, account.currency), []).append((request, result))
    # Over all currencies: of one remote account in two of them, at most one can be right.
    overlapping = find_overlapping(
        [
            (request.account, result)
            for request, result in zip(requests, results, strict=True)
            if not isinstance(result, GatewayError) and has_figure(result.value)
        ]
    )
    return [
        replace(build_total(currency, requests, by_key[group, currency], overlapping), group=group)
        for group, currency in sorted(by_key, key=str)
    ]


def has_figure(figures: BalanceFigures) -> bool:
    return figures.bank is not None or figures.ledger is not None


def build_total(
    currency: str,
    requests: Sequence[BalanceRequest],
    rows: Sequence[tuple[BalanceRequest, Result]],
    overlapping: set[str],
) -> CurrencyTotal:
    read: list[tuple[Account, Observed[BalanceFigures]]] = []
    missing: list[Missing] = []
    for request, result in rows:
        if isinstance(result, GatewayError):
            missing.append(Missing(request.account, result.code))
        elif not has_figure(result.value):
            # Its money is not in the sum: such a total must not look complete.
            reason = result.value.bank_missing or result.value.ledger_missing
            missing.append(Missing(request.account, ErrorCode.UNSUPPORTED_BY_PROVIDER, reason))
        else:
            read.append((request.account, result))
    counted = [(account, result) for account, result in read if account.id not in overlapping]
    observed = [result for _, result in counted]
    bank = [one.value.bank for one in observed if one.value.bank is not None]
    ledger = [one.value.ledger for one in observed if one.value.ledger is not None]
    days = [one.value.as_of for one in observed] or [request.as_of for request, _ in rows]
    return CurrencyTotal(
        currency=currency,
        group=None,
        bank=sum_up(bank, currency),
        ledger=sum_up(ledger, currency),
        included=len(observed),
        bank_included=len(bank),
        ledger_included=len(ledger),
        missing=tuple(missing),
        overlapping=tuple(account for account, _ in read if account.id in overlapping),
        first_day=min(days),
        last_day=max(days),
        stale_included=sum(one.state is FreshnessState.STALE for one in observed),
        oldest_observed_at=min((one.observed_at for one in observed), default=None),
        counted_accounts=tuple(account for account, _ in counted),
        counted_days=tuple(one.value.as_of for _, one in counted),
        counted_rows=tuple(
            number
            for number, request in enumerate(requests)
            if request.account.id in {account.id for account, _ in counted}
        ),
    )


def find_overlapping(read: Sequence[tuple[Account, Observed[BalanceFigures]]]) -> set[str]:
    """Return the ids of the accounts whose money another account of the list counts.

    Of equal accounts the first one counts.
    """
    counted: dict[tuple[ProviderKind, tuple[str, ...]], str] = {}
    for account, result in read:
        counted.setdefault((account.provider, result.value.remote_path), account.id)
    found = set()
    for account, result in read:
        path = result.value.remote_path
        parents = (path[:length] for length in range(1, len(path)))
        is_included = any((account.provider, parent) in counted for parent in parents)
        if path and (is_included or counted[account.provider, path] != account.id):
            found.add(account.id)
    return found


def sum_up(figures: Sequence[Money], currency: str) -> Money | None:
    # No known figure is not the same as a sum of zero.
    if not figures:
        return None
    return Money(sum(figure.minor_units for figure in figures), currency)


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[BalanceRequest, Any]]:
    made = []
    for number in range(draw(st.integers(0, 12))):
        currency = draw(st.sampled_from(("EUR", "USD")))
        day = DAY + timedelta(days=draw(st.integers(0, 2)))
        one = fakes.account(
            f"a{number:02}",
            currency=currency,
            provider=draw(st.sampled_from(tuple(ProviderKind)[:2])),
            connector=draw(st.sampled_from(("main", "other"))),
        )
        amounts = st.none() | st.builds(Money, st.integers(-(10**20), 10**20), st.just(currency))
        reasons = st.none() | st.sampled_from(MissingReason)
        figures = BalanceFigures(
            day,
            draw(amounts),
            draw(amounts),
            draw(reasons),
            draw(reasons),
            tuple(draw(st.lists(st.sampled_from("xy"), max_size=4))),
        )
        observed_at = AT + timedelta(seconds=draw(st.integers(0, 3)))
        observed = Observed(figures, observed_at, draw(st.sampled_from(FreshnessState)))
        failed = draw(st.integers(0, 4)) == 0
        made.append(
            (BalanceRequest(one, day, True), ProviderTimeout("late") if failed else observed)
        )
    return made


@given(rows(), st.sampled_from((None, *TotalGroup)))
def test_totals_equal_those_of_the_slow_version(made, group_by) -> None:
    requests, results = [row[0] for row in made], [row[1] for row in made]

    totals = sum_fast(requests, results, group_by)

    assert totals == compute_slowly(requests, results, group_by)


def correct(requests, old, new, changed, group_by=None) -> list[CurrencyTotal] | None:
    """Correct the totals of the old results at the changed positions."""
    before, after = (
        [
            build_row(request.account, request.as_of, result)
            for request, result in zip(requests, results, strict=True)
        ]
        for results in (old, new)
    )
    changes = [(before[position], after[position]) for position in changed]
    totals = sum_fast(requests, old, group_by)
    instants = [list_instants(total, before) for total in totals]
    corrected = correct_totals(totals, changes, instants, group_by)
    assert [each[:1] for each in instants] == [
        [total.oldest_observed_at] if total.included else [] for total in corrected or totals
    ]
    return corrected


@given(rows(), st.data(), st.sampled_from((None, *TotalGroup)))
def test_corrected_totals_equal_new_ones(made, data, group_by) -> None:
    """A few balances change; what changes more than amounts and instants is not corrected."""
    requests, old = [row[0] for row in made], [row[1] for row in made]
    new, changed = list(old), set()
    for number, result in enumerate(old):
        if data.draw(st.booleans()):
            changed.add(number)
        if number in changed and isinstance(result, Observed) and data.draw(st.booleans()):
            currency = requests[number].account.currency
            amount = Money(data.draw(st.integers(-(10**20), 10**20)), currency)
            names = data.draw(st.sets(st.sampled_from(("bank", "ledger"))))
            figures = replace(result.value, **dict.fromkeys(names, amount))
            new[number] = replace(result, value=figures, observed_at=AT + timedelta(seconds=9))

    corrected = correct(requests, old, new, changed, group_by)

    assert corrected is None or corrected == sum_fast(requests, new, group_by)


@pytest.mark.parametrize("names", [("bank",), ("ledger",), ("bank", "ledger")])
def test_a_changed_amount_is_corrected(names) -> None:
    request = BalanceRequest(fakes.account(), DAY, True)
    old, new = (
        Observed(
            BalanceFigures(DAY, **{"bank": None, "ledger": None, **dict.fromkeys(names, amount)}),
            AT,
            FreshnessState.CACHED,
        )
        for amount in (Money(5, "EUR"), Money(7, "EUR"))
    )
    corrected = correct([request, request], [old, old], [old, new], [1])

    assert corrected == sum_fast([request, request], [old, new])
    assert [getattr(total, name) for total in corrected for name in names] == [
        Money(12, "EUR") for _ in names
    ]


SOUND = Observed(
    BalanceFigures(DAY, Money(5, "EUR"), Money(6, "EUR"), remote_path=("a",)),
    AT,
    FreshnessState.CACHED,
)


@pytest.mark.parametrize(
    "changed",
    [
        ProviderTimeout("late"),
        replace(SOUND, state=FreshnessState.STALE),
        replace(SOUND, value=replace(SOUND.value, bank=None)),
        replace(SOUND, value=replace(SOUND.value, ledger=None)),
        replace(SOUND, value=replace(SOUND.value, as_of=DAY + timedelta(days=1))),
        replace(SOUND, value=replace(SOUND.value, remote_path=("a", "b"))),
    ],
    ids=["error", "stale", "bank", "ledger", "day", "path"],
)
def test_what_changes_more_than_an_amount_is_not_corrected(changed) -> None:
    request = BalanceRequest(fakes.account(), DAY, True)

    assert correct([request], [SOUND], [changed], [0]) is None
    assert correct([request], [changed], [SOUND], [0]) is None
