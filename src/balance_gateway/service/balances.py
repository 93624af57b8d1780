"""Sums balances per currency, each money once, and lists the accounts that a total lacks."""

import enum
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, cast

from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.domain.balances import BalanceFigures, BalanceQuery, MissingReason
from balance_gateway.domain.errors import ErrorCode, GatewayError
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import FreshnessState, Observed

_Read = Observed[BalanceFigures]
Result = _Read | GatewayError


class TotalGroup(enum.Enum):
    """What the accounts of one total have in common, besides their currency."""

    PROVIDER = "provider"
    CONNECTOR = "connector"

    def find(self, account: Account) -> str:
        """Return the group of an account: the name of its provider or of its connector."""
        return account.provider.name if self is TotalGroup.PROVIDER else account.connector


@dataclass(frozen=True, slots=True)
class Missing:
    """An account without a balance in a total.

    Attributes:
        account: the account.
        code: the code of the error that prevented reading its balance; for an account that was
            read, UNSUPPORTED_BY_PROVIDER.
        reason: why an account that was read has neither balance for the day; None if it could not
            be read.
    """

    account: Account
    code: ErrorCode
    reason: MissingReason | None = None


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """The sum of balances in one currency. Amounts are never converted or estimated.

    Attributes:
        currency: ISO 4217 code.
        group: the name of the provider or of the connector; None if totals are not grouped.
        bank: the sum of all known bank balances; None when none is known.
        ledger: the sum of all known ledger balances; None when none is known.
        included: number of accounts that were summed.
        bank_included: number of these accounts with a bank balance for the day, as summed in
            ``bank``.
        ledger_included: number of these accounts with a ledger balance, as summed in ``ledger``.
        missing: the accounts that could not be read, or have neither balance for the day, in the
            order of the requests.
        overlapping: the accounts that were left out because an account in this or another total is
            the same at the provider, or includes them, in the order of the requests.
        first_day: the earliest day of the included balances; without any, of those asked for.
        last_day: the latest of these days.
        stale_included: number of included accounts with a stale balance.
        oldest_observed_at: the earliest observation among the included values; None without any.
        counted_accounts: the account of each included balance.
        counted_days: the day of each included balance, in the same order.
        counted_rows: the position of each included balance in the list of those asked for.
    """

    currency: str
    group: str | None
    bank: Money | None
    ledger: Money | None
    included: int
    bank_included: int
    ledger_included: int
    missing: tuple[Missing, ...]
    overlapping: tuple[Account, ...]
    first_day: date
    last_day: date
    stale_included: int
    oldest_observed_at: datetime | None
    counted_accounts: tuple[Account, ...]
    counted_days: tuple[date, ...]
    counted_rows: tuple[int, ...]

    def list_counted(self) -> list[BalanceQuery]:
        """Return the account and the day of each included balance."""
        return list(map(BalanceQuery, self.counted_accounts, self.counted_days))

    @property
    def complete(self) -> bool:
        """Whether the money of every requested account of the currency is in the total."""
        return not self.missing


def compute_totals(
    accounts: Sequence[Account],
    days: Sequence[date],
    results: Sequence[Result],
    group_by: TotalGroup | None = None,
) -> list[CurrencyTotal]:
    """Sum the results per currency, and per group if asked for.

    Args:
        accounts: the accounts.
        days: the day of each account's balance, in the same order.
        results: the balance of each account or its error, in the same order.
        group_by: what the accounts of one total have in common; None: the currency only.

    Returns:
        One total per group and currency, sorted by group and currency code. One with only failed
        accounts is included, and lists them.
    """
    # Over all currencies: of one remote account in two of them, at most one can be right.
    overlapping = _find_overlapping(accounts, results)
    rows_by_key: dict[Any, list[int]] = {}
    keys: Sequence[Any] = [account.currency for account in accounts]
    if group_by is not None:
        keys = list(zip(map(group_by.find, accounts), keys, strict=True))
    for index, key in enumerate(keys):
        rows = rows_by_key.get(key)
        if rows is None:
            rows = rows_by_key[key] = []
        rows.append(index)
    return [
        _build_total(
            accounts[rows[0]].currency,
            None if group_by is None else key[0],
            rows,
            [accounts[row] for row in rows],
            [days[row] for row in rows],
            [results[row] for row in rows],
            overlapping,
        )
        for key, rows in sorted(rows_by_key.items())
    ]


def _build_total(
    currency: str,
    group: str | None,
    asked_rows: Sequence[int],
    asked: Sequence[Account],
    asked_days: Sequence[date],
    results: Sequence[Result],
    overlapping: set[str],
) -> CurrencyTotal:
    rows, accounts = asked_rows, asked
    observed = cast(Sequence[_Read], results)
    missing: list[Missing] = []
    left_out: list[Account] = []
    if overlapping or not _has_all_figures(results):
        rows, accounts, observed = [], [], []
        for row, account, result in zip(asked_rows, asked, results, strict=True):
            reason = _find_reason(account, result)
            if reason is not None:
                missing.append(reason)
            elif account.id in overlapping:
                left_out.append(account)
            else:
                rows.append(row)
                accounts.append(account)
                observed.append(cast(_Read, result))
    # List by list is several times as fast as row by row.
    figures = [one.value for one in observed]
    bank = [each.bank.minor_units for each in figures if each.bank is not None]
    ledger = [each.ledger.minor_units for each in figures if each.ledger is not None]
    days = [each.as_of for each in figures]
    distinct_days = set(days or asked_days)
    return CurrencyTotal(
        currency=currency,
        group=group,
        bank=_sum(bank, currency),
        ledger=_sum(ledger, currency),
        included=len(observed),
        bank_included=len(bank),
        ledger_included=len(ledger),
        missing=tuple(missing),
        overlapping=tuple(left_out),
        first_day=min(distinct_days),
        last_day=max(distinct_days),
        stale_included=[one.state for one in observed].count(FreshnessState.STALE),
        oldest_observed_at=min([one.observed_at for one in observed], default=None),
        counted_accounts=tuple(accounts),
        counted_days=tuple(days),
        counted_rows=tuple(rows),
    )


def correct_totals(
    totals: Sequence[CurrencyTotal],
    changed_rows: Collection[int],
    old: Sequence[Result],
    new: Sequence[Result],
) -> list[CurrencyTotal] | None:
    """Correct totals for a few changed balances, much faster than summing all of them again.

    Args:
        totals: the totals of ``old``.
        changed_rows: the positions at which ``new`` may differ from ``old``.
        old: the results that the totals were computed from.
        new: the results now.

    Returns:
        None if a change is of more than amounts and instants: compute new totals then.
    """
    left = set(changed_rows)
    corrected = []
    for total in totals:
        rows = left.intersection(total.counted_rows)
        left -= rows
        # Only balances that were read are counted.
        before, after = cast(Sequence[_Read], old), cast(Sequence[_Read], new)
        if not all(_differ_in_amounts(before[row], new[row]) for row in rows):
            return None
        corrected.append(_correct_total(total, rows, before, after) if rows else total)
    return None if left else corrected


def _differ_in_amounts(old: _Read, new: Result) -> bool:
    """Whether two results differ in amounts and instants only."""
    if not isinstance(new, Observed):
        return False
    before, after = old.value, new.value
    return (
        FreshnessState.STALE not in (old.state, new.state)
        and (before.bank is None) == (after.bank is None)
        and (before.ledger is None) == (after.ledger is None)
        and (before.as_of, before.remote_path) == (after.as_of, after.remote_path)
    )


def _correct_total(
    total: CurrencyTotal, rows: Collection[int], old: Sequence[_Read], new: Sequence[_Read]
) -> CurrencyTotal:
    before = [old[row].value for row in rows]
    after = [new[row].value for row in rows]
    return replace(
        total,
        bank=_correct_sum(total.bank, [one.bank for one in before], [one.bank for one in after]),
        ledger=_correct_sum(
            total.ledger, [one.ledger for one in before], [one.ledger for one in after]
        ),
        oldest_observed_at=min([new[row].observed_at for row in total.counted_rows]),
    )


def _correct_sum(
    known: Money | None, before: Sequence[Money | None], after: Sequence[Money | None]
) -> Money | None:
    """Replace amounts of a sum; None stays None, because then no balance has this figure."""
    if known is None:
        return None
    change = sum([one.minor_units for one in after if one is not None]) - sum(
        [one.minor_units for one in before if one is not None]
    )
    return Money(known.minor_units + change, known.currency)


def _has_all_figures(results: Sequence[Result]) -> bool:
    """Whether every account was read and has a balance."""
    if set(map(type, results)) != {Observed}:
        return False
    observed = cast(Sequence[_Read], results)
    # A list takes half the time of a generator.
    return all([each.value.bank or each.value.ledger for each in observed])  # noqa: C419


def _find_reason(account: Account, result: Result) -> Missing | None:
    """Return why an account has no balance; None if it has one."""
    if isinstance(result, GatewayError):
        return Missing(account, result.code)
    figures = result.value
    if figures.bank is not None or figures.ledger is not None:
        return None
    # Its money is not in the sum: such a total must not look complete.
    reason = figures.bank_missing or figures.ledger_missing
    return Missing(account, ErrorCode.UNSUPPORTED_BY_PROVIDER, reason)


def _find_overlapping(accounts: Sequence[Account], results: Sequence[Result]) -> set[str]:
    """Return the ids of the accounts with money that another account of the list counts.

    Of equal accounts the first one counts.
    """
    paths = [each.value.remote_path for each in results if isinstance(each, Observed)]
    if len(set(paths)) == len(paths) and len(set(map(len, paths))) == 1:
        # The usual case: all different, and none within another one.
        return set()
    counted: dict[ProviderKind, dict[tuple[str, ...], str]] = {kind: {} for kind in ProviderKind}
    found = set()
    for account, result in zip(accounts, results, strict=True):
        if _find_reason(account, result) is not None:
            continue
        path = cast(_Read, result).value.remote_path
        if path and counted[account.provider].setdefault(path, account.id) != account.id:
            found.add(account.id)
    for by_path in counted.values():
        lengths = sorted(set(map(len, by_path)))
        if len(lengths) > 1:
            _add_included(by_path, lengths, found)
    return found


def _add_included(
    by_path: Mapping[tuple[str, ...], str], lengths: Sequence[int], found: set[str]
) -> None:
    """Add the accounts that another account of the same provider includes.

    Args:
        by_path: the first account of each path. An equal one is in ``found`` already.
        lengths: the lengths of the paths, in ascending order.
        found: the ids of the accounts that do not count.
    """
    for path, account_id in by_path.items():
        shorter = lengths[: bisect_left(lengths, len(path))]
        if any(path[:length] in by_path for length in shorter):
            found.add(account_id)


def _sum(minor_units: Sequence[int], currency: str) -> Money | None:
    # No known figure is not the same as a sum of zero.
    return Money(sum(minor_units), currency) if minor_units else None
