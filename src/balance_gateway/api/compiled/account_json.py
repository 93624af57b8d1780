"""Writes accounts: kept JSON where it is valid, else new JSON, which is kept where it may be."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from graphql import FieldNode

from balance_gateway.api.compiled.account_fields import BANK_ACCOUNT
from balance_gateway.api.compiled.account_json_cache import AccountJson, SelectionKey
from balance_gateway.api.compiled.balance_fields import BalanceArguments
from balance_gateway.api.compiled.compiler import Compiler, Write
from balance_gateway.api.compiled.field_errors import KeyPath
from balance_gateway.api.compiled.holes import Part
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.series_fields import SeriesArguments
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.ports.cache_validity import CacheValidity, Validity

_NEVER_VALID = CacheValidity(is_valid=False)
_NO_TABLE: Mapping[str, AccountJson] = {}
#: Stands for an account with a missing value; the output is written again.
_PLACEHOLDER = AccountJson((b"null",), (), 0.0, _NEVER_VALID, (), 0)


class AccountWriter:
    """Writes accounts with one selection.

    Args:
        compiler: the compiler of the output that contains the accounts.
        nodes: the field nodes with the selections of an account.
        path: the path of an account in this output.
    """

    def __init__(self, compiler: Compiler, nodes: Sequence[FieldNode], path: KeyPath) -> None:
        part = compiler.for_part(path)
        first = len(part.arguments)
        self._write_object: Write = part.compile_object(BANK_ACCOUNT, nodes, ())
        self._positions = range(first, len(part.arguments))
        self._signature = part.build_signature()
        self._path = path

    def write_list(self, accounts: Sequence[Account], out: Output) -> None:
        """Write a list of accounts."""
        out.parts.append(b"[")
        self.write_items(accounts, out)
        out.parts.append(b"]")

    def write_items(self, accounts: Sequence[Account], out: Output) -> None:
        """Write accounts with commas between them."""
        state, now_s = out.state, out.state.now_s
        texts: list[bytes] = []
        #: Only used from the first account with holes in its text on.
        parts: list[Part] | None = None
        validities, until_s, value_count = out.validities, out.valid_until_s, 0
        # Without "today" the arguments, and so the table, are the same in each time zone.
        uses_today = self._uses_today(state.arguments)
        table = _NO_TABLE if uses_today or not accounts else self._get_table(accounts[0], out)
        zone = None
        out.indexes.append(0)
        for index, account in enumerate(accounts):
            if uses_today and account.time_zone is not zone:
                table = self._get_table(account, out)
                # An empty table is replaced by the first JSON that is kept.
                zone = account.time_zone if table else None
            entry = table.get(account.id)
            if (
                entry is None
                or now_s >= entry.valid_until_s
                or not entry.validity.is_valid
                or (entry.others and not _are_valid(entry.others))
            ):
                entry = self._find(account, out)
            if entry.errors:
                out.indexes[-1] = index
                out.add_errors(entry.errors, self._path)
            if parts is None and len(entry.parts) > 1:
                parts = _separate(texts)
            if parts is None:
                texts.append(entry.parts[0])  # type: ignore[arg-type]
            else:
                if index:
                    parts.append(b",")
                parts += entry.parts
            validities.append(entry.validity)
            if entry.others:
                validities += entry.others
            value_count += entry.value_count
            if entry.valid_until_s < until_s:  # noqa: PLR1730 (min takes longer, and this is hot)
                until_s = entry.valid_until_s
        out.indexes.pop()
        out.value_count += value_count
        out.expire_at(until_s)
        if parts is None:
            out.parts.append(b",".join(texts))
        else:
            out.parts += parts
            out.has_holes = True

    def limit_to_today(self, accounts: Sequence[Account], out: Output) -> None:
        """Limit the validity of the accounts' text to the end of "today" where it means that."""
        if self._uses_today(out.state.arguments):
            for account in {each.time_zone.key: each for each in accounts}.values():
                self._expire_with(out.state.context.today(account), account, out)

    def _expire_with(self, today: date, account: Account, out: Output) -> None:
        # From midnight on "today" is another day.
        out.expire_at(day_end_exclusive(today, account.time_zone).timestamp())

    def write(self, account: Account, out: Output) -> None:
        """Write an account."""
        entry = self._get_table(account, out).get(account.id)
        if entry is None or not _is_valid(entry, out.state.now_s):
            entry = self._find(account, out)
        out.parts += entry.parts
        out.has_holes |= len(entry.parts) > 1
        out.validities.append(entry.validity)
        out.validities += entry.others
        out.value_count += entry.value_count
        out.expire_at(entry.valid_until_s)
        if entry.errors:
            out.add_errors(entry.errors, self._path)

    def _find(self, account: Account, out: Output) -> AccountJson:
        """Return JSON that this request has written, or write it; a placeholder if missing."""
        entry = out.state.written_accounts.get((id(self), account.id))
        entry = entry or self._write(account, out)
        if entry is None:
            out.is_complete = False
            return _PLACEHOLDER
        return entry

    def _write(self, account: Account, out: Output) -> AccountJson | None:
        """Write the account's JSON and keep it; None if a value is missing."""
        state = out.state
        part = Output(state)
        self._write_object(account, part)
        if not part.is_complete:
            return None
        validities = part.collect_validities(state.now_s)
        entry = _build_entry(part, validities)
        if validities is None:
            # For this request only, which may write its output several times.
            state.written_accounts[id(self), account.id] = entry
        elif state.kept is not None:
            key = self.build_key(state.arguments, state.context.today(account))
            state.kept.account_json.put(key, account.id, entry)
        return entry

    def _get_table(self, account: Account, out: Output) -> Mapping[str, AccountJson]:
        """Return the kept JSON for the account's time zone, by account id."""
        state = out.state
        if state.kept is None:
            return _NO_TABLE
        tables = state.tables.get(self)
        if tables is None:
            tables = state.tables[self] = {}
        found = tables.get(account.time_zone.key)
        if found is not None:
            return found
        today = None
        if self._uses_today(state.arguments):
            today = state.context.today(account)
            self._expire_with(today, account, out)
        key = self.build_key(state.arguments, today)
        table = state.kept.account_json.get_table(key)
        if table:
            # An empty table is none: the first JSON that is kept creates one.
            tables[account.time_zone.key] = table
        return table

    def _uses_today(self, arguments: Sequence[Any]) -> bool:
        """Whether the JSON is about today without naming the day."""
        for position in self._positions:
            argument = arguments[position]
            if type(argument) is BalanceArguments and argument.as_of is None:
                return True
        return False

    def build_key(self, arguments: Sequence[Any], today: date | None) -> SelectionKey:
        """Return the key of the kept JSON; ``today`` is only needed if an argument means it."""
        # Whether a day is today affects how long its value is cached, not the value, so "today" and
        # the explicit day share their kept JSON.
        key: list[Any] = [self._signature]
        for position in self._positions:
            argument = arguments[position]
            if type(argument) is BalanceArguments:
                if argument.as_of is None:
                    argument = argument._replace(as_of=today)
            elif type(argument) is SeriesArguments:
                argument = argument[:3]
            else:
                # The error of wrong arguments.
                argument = type(argument), argument.message
            key.append(argument)
        return tuple(key)


def _build_entry(part: Output, validities: Sequence[Validity] | None) -> AccountJson:
    """Build what is kept of an account's JSON; without validities it is kept for no time."""
    parts = part.join()
    validity, *others = validities or (_NEVER_VALID,)
    return AccountJson(
        parts=parts,
        errors=part.errors,
        valid_until_s=0.0 if validities is None else part.valid_until_s,
        validity=validity,
        others=others,
        value_count=part.value_count,
    )


def _is_valid(entry: AccountJson, now_s: float) -> bool:
    return now_s < entry.valid_until_s and entry.validity.is_valid and _are_valid(entry.others)


def _are_valid(validities: Sequence[Validity]) -> bool:
    for validity in validities:  # noqa: SIM110 (faster than all with a generator)
        if not validity.is_valid:
            return False
    return True


def _separate(texts: Sequence[bytes]) -> list[Part]:
    """Return the items of a list with commas between them, and after the last one if any."""
    separated: list[Part] = []
    for index, text in enumerate(texts):
        if index:
            separated.append(b",")
        separated.append(text)
    return separated
