"""Writes accounts: kept JSON where it is valid, else new JSON, which is kept where it may be."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from graphql import FieldNode

from balance_gateway.api.compiled.account_fields import BANK_ACCOUNT
from balance_gateway.api.compiled.account_json_cache import AccountJson, SelectionKey
from balance_gateway.api.compiled.balance_fields import BalanceArguments
from balance_gateway.api.compiled.compiler import Compiler, Write
from balance_gateway.api.compiled.field_errors import FieldError, KeyPath
from balance_gateway.api.compiled.holes import ConnectorHoles, Part
from balance_gateway.api.compiled.output import ALWAYS_VALID, NEVER_EXPIRES_S, Output
from balance_gateway.api.compiled.request_state import UnfinishedList
from balance_gateway.api.compiled.series_fields import SeriesArguments
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.domain.errors import GatewayError
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
        #: The connectors in an account's text, by their set: accounts with equal ones share it.
        self._connector_sets: dict[ConnectorHoles, ConnectorHoles] = {}

    def write_list(self, accounts: Sequence[Account], out: Output) -> None:
        """Write a list of accounts."""
        out.parts.append(b"[")
        self.write_items(accounts, out)
        out.parts.append(b"]")

    def write_items(self, accounts: Sequence[Account], out: Output) -> None:
        """Write accounts with commas between them."""
        self.add_items(self.find_all(accounts, out), out)

    def find_all(self, accounts: Sequence[Account], out: Output) -> list[AccountJson]:
        """Return the JSON of accounts: kept, or written now; a placeholder if a value is missing.

        The output is incomplete with a placeholder, and is written again.
        """
        state = out.state
        unfinished = state.unfinished_lists.pop(id(self), None)
        if unfinished is not None and unfinished.accounts == accounts:
            entries, missing = unfinished.entries, unfinished.missing
            self.limit_to_today(accounts, out)
            for position in missing:
                entries[position] = self._find(accounts[position], out)
        else:
            entries = self._find_entries(accounts, out)
            missing = [index for index, each in enumerate(entries) if each is _PLACEHOLDER]
            if missing and not state.may_wait:
                # A copy: the caller may add to what it gets.
                state.unfinished_lists[id(self)] = UnfinishedList(accounts, [*entries], missing)
        out.is_complete &= all(entries[position] is not _PLACEHOLDER for position in missing)
        return entries

    def _find_entries(self, accounts: Sequence[Account], out: Output) -> list[AccountJson]:
        state, now_s = out.state, out.state.now_s
        # Without "today" the arguments, and so the table, are the same in each time zone.
        uses_today = self._uses_today(state.arguments)
        table = _NO_TABLE if uses_today or not accounts else self._get_table(accounts[0], out)
        zone = None
        entries: list[AccountJson] = []
        for account in accounts:
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
            entries.append(entry)
        return entries

    def add_items(self, entries: Sequence[AccountJson], out: Output) -> None:
        """Add the JSON of accounts, and of what else is in their list, with commas between."""
        out.validities += [each.validity for each in entries]
        out.value_count += sum([each.value_count for each in entries])
        out.expire_at(min([each.valid_until_s for each in entries], default=NEVER_EXPIRES_S))
        # The accounts of a connector share their set.
        _add_connectors({each.connectors for each in entries}, out)
        more = [each for each in entries if each.has_more]
        if more:
            out.validities += [validity for each in more for validity in each.others]
            self._add_errors(entries, out)
        if any(len(each.parts) > 1 for each in more):
            out.has_holes = True
            out.parts += _list_between_commas([each.parts for each in entries])
        else:
            out.parts.append(b",".join([each.parts[0] for each in entries]))  # type: ignore[misc]

    def _add_errors(self, entries: Sequence[AccountJson], out: Output) -> None:
        for index in [index for index, each in enumerate(entries) if each.errors]:
            out.indexes.append(index)
            out.add_errors(entries[index].errors, self._path)
            out.indexes.pop()

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
        out.is_complete &= entry is not _PLACEHOLDER
        out.parts += entry.parts
        out.validities.append(entry.validity)
        out.value_count += entry.value_count
        out.expire_at(entry.valid_until_s)
        out.validities += entry.others
        out.has_holes |= len(entry.parts) > 1
        _add_connectors({entry.connectors}, out)
        out.add_errors(entry.errors, self._path)

    def _find(self, account: Account, out: Output) -> AccountJson:
        """Return JSON that this request has written, or write it; a placeholder if missing."""
        entry = out.state.written_accounts.get((id(self), account.id))
        return entry or self._write(account, out) or _PLACEHOLDER

    def _write(self, account: Account, out: Output) -> AccountJson | None:
        """Write the account's JSON and keep it; None if a value is missing."""
        state = out.state
        part = Output(state)
        self._write_object(account, part)
        if not part.is_complete:
            return None
        validities = part.collect_validities(state.now_s)
        connectors = frozenset(part.connectors)
        connectors = self._connector_sets.setdefault(connectors, connectors)
        entry = build_entry(part, validities, connectors)
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


def build_entry(
    part: Output, validities: Sequence[Validity] | None, connectors: ConnectorHoles
) -> AccountJson:
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
        connectors=connectors,
    )


def build_failed_entry(error: GatewayError) -> AccountJson:
    """Build null, with an error, as an item of a list of accounts."""
    errors = (FieldError((), (), error),)
    return AccountJson((b"null",), errors, NEVER_EXPIRES_S, ALWAYS_VALID, (), 0)


def _is_valid(entry: AccountJson, now_s: float) -> bool:
    return now_s < entry.valid_until_s and entry.validity.is_valid and _are_valid(entry.others)


def _are_valid(validities: Sequence[Validity]) -> bool:
    for validity in validities:  # noqa: SIM110 (faster than all with a generator)
        if not validity.is_valid:
            return False
    return True


def _add_connectors(sets: Collection[ConnectorHoles], out: Output) -> None:
    """Note the connectors with marks in an output's text."""
    for connectors in sets:
        if connectors:
            out.has_holes = True
            out.connectors |= connectors


def _list_between_commas(texts: Sequence[Sequence[Part]]) -> list[Part]:
    """Return the parts of several texts with commas between the texts."""
    parts: list[Part] = []
    for index, text in enumerate(texts):
        if index:
            parts.append(b",")
        parts += text
    return parts
