"""Reads sums and opening balances of the embedded ledger: one statement, and no transaction.

A dashboard reads them after each change of the storage, so nothing else is done for a read: no
transaction around its one statement, and no conversion but that of the values that are used. In
an SQLite file a few accounts are read in the thread of the event loop.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceQuery, OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.calendar_days import nearest_day
from balance_gateway.domain.ledger import Sums
from balance_gateway.domain.money import Money
from balance_gateway.ports.stored_balances_reader import STORED_BALANCES_MAX
from balance_gateway.storage.database import Database

#: Returns one row per query ``[account_id, day, opening_day]`` of the JSON list ``:queries``, in
#: the same order; ``bank_before`` is the sum of the bank transactions before ``opening_day``.
#: The queries are one parameter, so the statement never changes and is compiled once.
_SUMS = """
    SELECT
        opening.minor_units AS opening,
        opening.effective_at AS effective_at,
        opening.currency AS opening_currency,
        (SELECT currency FROM ledger_currencies
          WHERE account_id = query.account_id) AS entries_currency,
        (SELECT day FROM ledger_days
          WHERE account_id = query.account_id AND book = 'bank'
          ORDER BY day LIMIT 1) AS first_bank_day,
        (SELECT closing FROM ledger_days
          WHERE account_id = query.account_id AND book = 'bank' AND day < query.opening_day
          ORDER BY day DESC LIMIT 1) AS bank_before,
        (SELECT closing FROM ledger_days
          WHERE account_id = query.account_id AND book = 'bank' AND day <= query.day
          ORDER BY day DESC LIMIT 1) AS bank,
        (SELECT closing FROM ledger_days
          WHERE account_id = query.account_id AND book = 'ledger' AND day <= query.day
          ORDER BY day DESC LIMIT 1) AS ledger
    FROM ({queries}) AS query
    LEFT JOIN ledger_opening_balances AS opening ON opening.account_id = query.account_id
    ORDER BY query.position
"""
_QUERIES_SQLITE = """
    SELECT key AS position, json_extract(value, '$[0]') AS account_id,
           json_extract(value, '$[1]') AS day, json_extract(value, '$[2]') AS opening_day
    FROM json_each(:queries)
"""
_QUERIES_POSTGRESQL = """
    SELECT position, value ->> 0 AS account_id, value ->> 1 AS day, value ->> 2 AS opening_day
    FROM json_array_elements(CAST(:queries AS json)) WITH ORDINALITY AS item(value, position)
"""

#: The ids of accounts are one parameter: no limit of parameters, and one compiled statement.
_IDS_SQLITE = "SELECT value FROM json_each(:ids)"
_IDS_POSTGRESQL = "SELECT json_array_elements_text(CAST(:ids AS json))"

_OPENING_BALANCES = """
    SELECT account_id, minor_units, currency, effective_at, memo, reference_number, created_at,
           updated_at
    FROM ledger_opening_balances WHERE account_id IN ({ids})
"""

#: Attempts to read sums while opening balances change.
_ATTEMPTS_MAX = 10


class _SumsRow(NamedTuple):
    """A row of ``_SUMS``, as the database has it: amounts, instants and days are texts."""

    opening: str | None
    effective_at: str | None
    opening_currency: str | None
    entries_currency: str | None
    first_bank_day: str | None
    bank_before: str | None
    bank: str | None
    ledger: str | None


class LedgerReads:
    """Reads the embedded ledger; every method raises ``DatabaseError`` if it is unavailable.

    Args:
        database: the database of the ledger.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        #: The day of each account's opening balance if it had earlier bank transactions when read.
        self._opening_days: dict[str, date | None] = {}
        is_sqlite = database.is_sqlite
        self._sums = _SUMS.format(queries=_QUERIES_SQLITE if is_sqlite else _QUERIES_POSTGRESQL)
        ids = _IDS_SQLITE if is_sqlite else _IDS_POSTGRESQL
        self._openings = _OPENING_BALANCES.format(ids=ids)

    async def read_sums(self, queries: Sequence[BalanceQuery]) -> Sequence[Sums] | None:
        """Return the sums for each query; None while the opening balances change all the time."""
        # Each attempt verifies the days that it was made with. The day depends on the account's
        # time zone, which the database does not know.
        opening_days = self._list_opening_days(queries)
        for _ in range(_ATTEMPTS_MAX):
            # Each attempt is one statement, so that its sums are of one state of the ledger.
            parameters = _build_parameters(queries, opening_days)
            rows = await self._read_rows(self._sums, parameters, len(queries))
            sums, opening_days = self._build_sums(queries, opening_days, rows)
            if sums is not None:
                return sums
        return None

    def read_sums_now(self, queries: Sequence[BalanceQuery]) -> Sequence[Sums] | None:
        """Return the sums for each query; None where ``read_sums`` has to read them."""
        if len(queries) > STORED_BALANCES_MAX:
            return None
        opening_days = self._list_opening_days(queries)
        rows = self._database.read_rows_now(self._sums, _build_parameters(queries, opening_days))
        return None if rows is None else self._build_sums(queries, opening_days, rows)[0]

    def _list_opening_days(self, queries: Sequence[BalanceQuery]) -> Sequence[date | None]:
        return [self._opening_days.get(query.account.id) for query in queries]

    def _build_sums(
        self,
        queries: Sequence[BalanceQuery],
        opening_days: Sequence[date | None],
        rows: Sequence[Any],
    ) -> tuple[Sequence[Sums] | None, Sequence[date | None]]:
        """Build the sums of rows; None, with other days, if they were read with wrong ones."""
        read = [(query, _SumsRow._make(row)) for query, row in zip(queries, rows, strict=True)]
        found = [_find_early_opening_day(*each) for each in read]
        if found != opening_days:
            return None, found
        for query, day in zip(queries, found, strict=True):
            self._opening_days[query.account.id] = day
        return [_build_sums(*each) for each in read], found

    async def _read_rows(
        self, statement: str, parameters: Mapping[str, str], accounts: int
    ) -> Sequence[Any]:
        rows = None
        if accounts <= STORED_BALANCES_MAX:
            rows = self._database.read_rows_now(statement, parameters)
        return await self._database.read_rows(statement, parameters) if rows is None else rows

    async def read_opening_balances(
        self, accounts: Sequence[Account]
    ) -> Sequence[OpeningBalance | None]:
        """Return the opening balance of each account, in order; None where none is set."""
        ids = list(dict.fromkeys(account.id for account in accounts))
        rows = await self._read_rows(self._openings, {"ids": json.dumps(ids)}, len(ids))
        found = {row[0]: _parse_opening_balance(row) for row in rows}
        return [found.get(account.id) for account in accounts]


def _build_parameters(
    queries: Sequence[BalanceQuery], opening_days: Sequence[date | None]
) -> Mapping[str, str]:
    items = [
        (query.account.id, query.as_of.isoformat(), day and day.isoformat())
        for query, day in zip(queries, opening_days, strict=True)
    ]
    return {"queries": json.dumps(items)}


def _parse_opening_balance(row: Sequence[Any]) -> OpeningBalance:
    _, minor_units, currency, effective_at, memo, reference_number, created_at, updated_at = row
    return OpeningBalance(
        amount=Money(int(minor_units), currency),
        effective_at=datetime.fromisoformat(effective_at),
        source=OpeningBalanceSource.PROVIDER,
        created_at=datetime.fromisoformat(created_at),
        updated_at=datetime.fromisoformat(updated_at),
        memo=memo,
        reference_number=reference_number,
    )


def _compute_opening_day(query: BalanceQuery, row: _SumsRow) -> date | None:
    if row.effective_at is None:
        return None
    return nearest_day(datetime.fromisoformat(row.effective_at), query.account.time_zone)


def _find_early_opening_day(query: BalanceQuery, row: _SumsRow) -> date | None:
    """Return the opening balance's day if there are bank transactions before it."""
    day, first = _compute_opening_day(query, row), row.first_bank_day
    return day if day is not None and first and date.fromisoformat(first) < day else None


def _build_sums(query: BalanceQuery, row: _SumsRow) -> Sums:
    day = _compute_opening_day(query, row)
    # Before the opening balance's day no bank transaction counts.
    is_before = day is not None and query.as_of < day
    bank = 0 if is_before else int(row.bank or 0) - int(row.bank_before or 0)
    opening = None if row.opening is None else int(row.opening)
    ledger = int(row.ledger or 0)
    return Sums(opening, bank, ledger, row.opening_currency, row.entries_currency, day)
