"""Sums balances per currency, each money once, and lists the accounts that a total lacks."""

import enum
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, NamedTuple, cast

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


class BalanceRow(NamedTuple):
    """What a total needs of one account: amounts in minor units, or why there are none.

    Attributes:
        account: the account.
        currency: its currency.
        bank: its bank balance; None when it is not known.
        ledger: its ledger balance; None when it is not known.
        day: the day of both; of a missing balance the day that was asked for.
        remote_path: see ``BalanceFigures``.
        is_stale: whether both are stale.
        observed_at: when both were observed; None for a missing balance.
        missing: why the account cannot be added; None if it can.
    """

    account: Account
    currency: str
    bank: int | None
    ledger: int | None
    day: date
    remote_path: tuple[str, ...]
    is_stale: bool
    observed_at: datetime | None
    missing: Missing | None


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
        As ``sum_rows``.
    """
    rows = [build_row(*each) for each in zip(accounts, days, results, strict=True)]
    return sum_rows(rows, group_by)


def build_row(account: Account, day: date, result: Result) -> BalanceRow:
    """Build the row of an account from the result of reading its balance of a day."""
    if isinstance(result, GatewayError):
        missing = Missing(account, result.code)
        return BalanceRow(account, account.currency, None, None, day, (), False, None, missing)
    figures = result.value
    bank, ledger = figures.bank, figures.ledger
    if bank is None and ledger is None:
        # Its money is not in the sum: such a total must not look complete.
        reason = figures.bank_missing or figures.ledger_missing
        missing = Missing(account, ErrorCode.UNSUPPORTED_BY_PROVIDER, reason)
        return BalanceRow(account, account.currency, None, None, day, (), False, None, missing)
    return BalanceRow(
        account,
        account.currency,
        None if bank is None else bank.minor_units,
        None if ledger is None else ledger.minor_units,
        figures.as_of,
        figures.remote_path,
        result.state is FreshnessState.STALE,
        result.observed_at,
        None,
    )


def sum_rows(rows: Sequence[BalanceRow], group_by: TotalGroup | None = None) -> list[CurrencyTotal]:
    """Sum rows per currency, and per group if asked for.

    Args:
        rows: the row of each account.
        group_by: what the accounts of one total have in common; None: the currency only.

    Returns:
        One total per group and currency, sorted by group and currency code. One with only failed
        accounts is included, and lists them.
    """
    # Over all currencies: of one remote account in two of them, at most one can be right.
    overlapping = _find_overlapping(rows)
    return [
        _build_total(currency, None if group_by is None else group, rows, positions, overlapping)
        for (group, currency), positions in sorted(_group_rows(rows, group_by).items())
    ]


def _group_rows(
    rows: Sequence[BalanceRow], group_by: TotalGroup | None
) -> Mapping[tuple[str, str], Sequence[int]]:
    """Return the positions of the rows of each total, by its group and currency."""
    if group_by is None and len({row.currency for row in rows}) == 1:
        return {("", rows[0].currency): range(len(rows))}
    positions: dict[tuple[str, str], list[int]] = {}
    for position, row in enumerate(rows):
        key = "" if group_by is None else group_by.find(row.account), row.currency
        positions.setdefault(key, []).append(position)
    return positions


def _build_total(
    currency: str,
    group: str | None,
    rows: Sequence[BalanceRow],
    positions: Sequence[int],
    overlapping: set[str],
) -> CurrencyTotal:
    asked = rows if len(positions) == len(rows) else [rows[position] for position in positions]
    # Column by column is several times as fast as row by row.
    accounts, _, banks, ledgers, days, _, are_stale, observed_at, missing = _transpose(asked)
    left_out: list[Account] = []
    if overlapping or any(missing):
        read = [each for each in positions if rows[each].missing is None]
        positions = [each for each in read if rows[each].account.id not in overlapping]
        left_out = [rows[each].account for each in read if rows[each].account.id in overlapping]
        counted = [rows[position] for position in positions]
        accounts, _, banks, ledgers, days, _, are_stale, observed_at, _ = _transpose(counted)
    bank = [each for each in banks if each is not None] if None in banks else banks
    ledger = [each for each in ledgers if each is not None] if None in ledgers else ledgers
    distinct_days = set(days or [row.day for row in asked])
    return CurrencyTotal(
        currency=currency,
        group=group,
        bank=_sum(bank, currency),
        ledger=_sum(ledger, currency),
        included=len(accounts),
        bank_included=len(bank),
        ledger_included=len(ledger),
        missing=tuple([each for each in missing if each is not None]),
        overlapping=tuple(left_out),
        first_day=min(distinct_days),
        last_day=max(distinct_days),
        stale_included=are_stale.count(True),
        oldest_observed_at=min(observed_at, default=None),
        counted_accounts=accounts,
        counted_days=days,
        counted_rows=tuple(positions),
    )


def _transpose(rows: Sequence[BalanceRow]) -> Sequence[tuple[Any, ...]]:
    """Return the column of each field."""
    return list(zip(*rows, strict=True)) if rows else [()] * len(BalanceRow._fields)


def list_instants(total: CurrencyTotal, rows: Sequence[BalanceRow]) -> list[datetime]:
    """Return when the balances in a total were observed, the oldest first."""
    instants = (rows[position].observed_at for position in total.counted_rows)
    return sorted(each for each in instants if each is not None)


def correct_totals(
    totals: Sequence[CurrencyTotal],
    changes: Sequence[tuple[BalanceRow, BalanceRow]],
    instants: Sequence[list[datetime]],
    group_by: TotalGroup | None = None,
) -> list[CurrencyTotal] | None:
    """Correct totals for changed balances; the cost depends on the number of changes alone.

    Args:
        totals: the totals of the former rows.
        changes: each changed row, before and after.
        instants: of each total, as ``list_instants`` returns them; they are corrected in place.
        group_by: as for the totals.

    Returns:
        None, and nothing is corrected, if a change is of more than amounts and instants: compute
        new totals then.
    """
    if not all(_differ_in_amounts(old, new) for old, new in changes):
        return None
    by_key: dict[tuple[str | None, str], list[tuple[BalanceRow, BalanceRow]]] = {}
    for change in changes:
        account = change[1].account
        key = None if group_by is None else group_by.find(account), account.currency
        by_key.setdefault(key, []).append(change)
    found = [by_key.get((total.group, total.currency), []) for total in totals]
    for total, of_total in zip(totals, found, strict=True):
        if any(new.account in total.overlapping for _, new in of_total):
            return None
    corrected = zip(totals, found, instants, strict=True)
    return [_correct_total(*each) if each[1] else each[0] for each in corrected]


def _differ_in_amounts(old: BalanceRow, new: BalanceRow) -> bool:
    """Whether two rows of one account differ in amounts and instants only."""
    return (
        old.missing is None
        and new.missing is None
        and not (old.is_stale or new.is_stale)
        and (old.bank is None) == (new.bank is None)
        and (old.ledger is None) == (new.ledger is None)
        and (old.day, old.remote_path) == (new.day, new.remote_path)
    )


def _correct_total(
    total: CurrencyTotal,
    changes: Sequence[tuple[BalanceRow, BalanceRow]],
    instants: list[datetime],
) -> CurrencyTotal:
    for old, new in changes:
        # Only balances that were read are counted.
        before, after = cast(datetime, old.observed_at), cast(datetime, new.observed_at)
        del instants[bisect_left(instants, before)]
        insort(instants, after)
    return replace(
        total,
        bank=_add(total.bank, sum([(new.bank or 0) - (old.bank or 0) for old, new in changes])),
        ledger=_add(
            total.ledger, sum([(new.ledger or 0) - (old.ledger or 0) for old, new in changes])
        ),
        oldest_observed_at=instants[0],
    )


def _add(known: Money | None, change: int) -> Money | None:
    """Add to a sum; None stays None, because then no balance has this figure."""
    return None if known is None else Money(known.minor_units + change, known.currency)


def _find_overlapping(rows: Sequence[BalanceRow]) -> set[str]:
    """Return the ids of the accounts with money that another account of the rows counts.

    Of equal accounts the first one counts.
    """
    # A row without a balance has no path, and an empty path overlaps with nothing.
    paths = [row.remote_path for row in rows if row.remote_path]
    if len(set(paths)) == len(paths) and len(set(map(len, paths))) <= 1:
        # The usual case: all different, and none within another one.
        return set()
    counted: dict[ProviderKind, dict[tuple[str, ...], str]] = {kind: {} for kind in ProviderKind}
    found = set()
    for row in rows:
        path, account = row.remote_path, row.account
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
