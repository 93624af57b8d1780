"""The fields of balance series and histories: the balances of one account on several days."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from balance_gateway.api.compiled.argument_coercion import ABSENT
from balance_gateway.api.compiled.balance_fields import BALANCE, BalanceView
from balance_gateway.api.compiled.compiler import (
    Compiler,
    ObjectType,
    SelectedField,
    Write,
    leaf,
    nested,
)
from balance_gateway.api.compiled.encoding import encode_day, encode_text
from balance_gateway.api.compiled.field_errors import KeyPath
from balance_gateway.api.compiled.kept_texts import KeptText
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.taken_values import get_terms
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.history import HistoryStep, list_days, require_usable_day
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import BalanceFigures
from balance_gateway.domain.errors import BadInput, GatewayError
from balance_gateway.ports.reads import Observed


class Point(NamedTuple):
    """A day of a series, with its balance or its problem."""

    day: date
    balance: BalanceView | None
    problem: GatewayError | None


class Balances(NamedTuple):
    """The days for which the balances of an account are selected."""

    account: Account
    days: Sequence[date]


class SeriesArguments(NamedTuple):
    """The arguments of a series of balances, and the days that they name."""

    start: date
    end: date
    step: HistoryStep
    days: tuple[date, ...]


#: The types of the arguments of ``balanceSeries`` and ``balanceHistory``.
SERIES_ARGUMENTS: Mapping[str, str] = {"from": "Date!", "to": "Date!", "step": "HistoryStep"}

PROBLEM = ObjectType(
    "BalanceProblem",
    {
        "code": leaf(lambda error: encode_text(error.code)),
        "message": leaf(lambda error: encode_text(error.message)),
    },
)

POINT = ObjectType(
    "BalancePoint",
    {
        "day": leaf(lambda point: encode_day(point.day)),
        "balance": nested(BALANCE, lambda point: point.balance),
        "problem": nested(PROBLEM, lambda point: point.problem),
    },
)


class BalancesWriter:
    """Writes a list of balances, and keeps the text of each.

    Args:
        write_item: writes one item.
        build_item: builds an item from the day, the account and the result.
        failing_path: of the field that fails with a day; None if a day has a problem of its own.
    """

    def __init__(
        self,
        write_item: Write,
        build_item: Callable[[date, Account, Any], Any],
        failing_path: KeyPath | None,
    ) -> None:
        self._write_item = write_item
        self._build_item = build_item
        self._failing_path = failing_path
        #: Names this writer without keeping it alive.
        self._token = object()
        #: Texts with holes, or with other values in them, are not kept.
        self._is_keeping = True

    def write_list(self, balances: Balances, out: Output) -> None:
        """Write the list, or the error that the field fails with."""
        if self._write_kept(balances, out):
            return
        account, days = balances
        results = out.state.values.get_balances([account] * len(days), days)
        if results is None:
            out.write_missing()
            return
        out.depend_on_all(list(map(get_terms, results)))
        if self._failing_path is not None:
            error = next((each for each in results if isinstance(each, GatewayError)), None)
            if error is not None:
                out.fail(self._failing_path, error)
                return
        self._write_results(balances, results, out)

    def _write_kept(self, balances: Balances, out: Output) -> bool:
        """Write the list from kept texts; return whether all days have one."""
        account, days = balances
        state = out.state
        # What this request has read itself comes first.
        if state.kept is None or account.id in state.values.read_accounts:
            return False
        found = state.kept.texts.find_all((self._token, account.id), days, state.now_s)
        if found is None:
            return False
        out.parts.append(b"[" + b",".join([each.text for each in found]) + b"]")
        terms = [each.terms for each in found]
        out.validities += [each.validity for each in terms]
        out.expire_at(min([each.until_s for each in terms]))
        out.value_count += len(terms)
        return True

    def _write_results(self, balances: Balances, results: Sequence[Any], out: Output) -> None:
        kept = out.state.kept if self._is_keeping else None
        account, key = balances.account, (self._token, balances.account.id)
        table = {} if kept is None else kept.texts.get_table(key)
        out.indexes.append(0)
        out.parts.append(b"[")
        for index, (day, result) in enumerate(zip(balances.days, results, strict=True)):
            if index:
                out.parts.append(b",")
                out.indexes[-1] = index
            terms = result.cache_terms if isinstance(result, Observed) else None
            former, text = table.get(day), None
            if kept is not None and terms is not None:
                if former is not None and former.terms.validity is terms.validity:
                    text = former.text
                else:
                    text = self._write_alone(self._build_item(day, account, result), out)
                if text is not None:
                    kept.texts.put(key, day, KeptText(text, terms))
            if text is None:
                self._write_item(self._build_item(day, account, result), out)
            else:
                out.parts.append(text)
        out.parts.append(b"]")
        out.indexes.pop()

    def _write_alone(self, item: Any, out: Output) -> bytes | None:
        """Return the text of an item; None if it depends on more than the balance."""
        part = Output(out.state)
        self._write_item(item, part)
        if part.has_holes or part.depends_on_more:
            self._is_keeping = False
            return None
        if part.errors or not part.is_complete:
            return None
        texts: list[bytes] = part.parts  # type: ignore[assignment]
        return b"".join(texts)


def _compile_points(compiler: Compiler, field: SelectedField) -> Write:
    write_point = compiler.compile_object(POINT, field.nodes, field.item_path)
    return BalancesWriter(write_point, _build_point, None).write_list


SERIES = ObjectType("BalanceSeries", {"points": _compile_points})


def build_series_arguments(
    limits: Limits, start: date, end: date, step: Any
) -> SeriesArguments | GatewayError:
    """Build the arguments of a series, or their error."""
    chosen = HistoryStep.DAY if step is ABSENT or step is None else step
    try:
        require_usable_day(start, "from")
        require_usable_day(end, "to")
        days = _list_days(start, end, chosen, limits.history_points)
    except BadInput as error:
        return error
    return SeriesArguments(start, end, chosen, days)


@lru_cache(maxsize=256)
def _list_days(start: date, end: date, step: HistoryStep, points_max: int) -> tuple[date, ...]:
    return tuple(list_days(start, end, step, points_max))


def compile_series(compiler: Compiler, field: SelectedField) -> Write:
    """Compile ``BankAccount.balanceSeries``."""
    write_series = compiler.compile_object(SERIES, field.nodes, field.path)
    return _compile_balances(compiler, field, write_series)


def compile_history(compiler: Compiler, field: SelectedField) -> Write:
    """Compile ``BankAccount.balanceHistory``: one unavailable day fails the field."""
    write_balance = compiler.compile_object(BALANCE, field.nodes, field.item_path)
    writer = BalancesWriter(
        write_balance, lambda _day, account, read: BalanceView(account, read), field.path
    )
    return _compile_balances(compiler, field, writer.write_list)


def _compile_balances(
    compiler: Compiler, field: SelectedField, write_balances: Callable[[Balances, Output], None]
) -> Write:
    """Compile a field of an account that is written from its balances on several days."""
    position = compiler.compile_arguments(field, SERIES_ARGUMENTS, build_series_arguments)
    compiler.allow_error(field.nodes, field.path)

    def write(account: Account, out: Output) -> None:
        arguments = out.state.arguments[position]
        if not isinstance(arguments, SeriesArguments):
            out.fail(field.path, arguments)
            return
        write_balances(Balances(account, arguments.days), out)

    return write


def _build_point(
    day: date, account: Account, result: Observed[BalanceFigures] | GatewayError
) -> Point:
    if isinstance(result, GatewayError):
        return Point(day, None, result)
    return Point(day, BalanceView(account, result), None)
