"""Finds out which column of a file is what, by options or by the names in the first line."""

import difflib
from collections.abc import Mapping, Sequence

from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import UsageError

#: What a column can be, with the headers that mean it, without spaces and punctuation.
_HEADERS = {
    "account": ("account", "accountid", "id", "konto", "kontoid", "compte", "cuenta"),
    "amount": (
        *("amount", "openingbalance", "opening", "balance"),
        *("betrag", "saldo", "anfangsbestand", "eroeffnungssaldo", "eröffnungssaldo"),
        *("belob", "beløb", "primosaldo", "montant", "solde", "importe"),
    ),
    "date": (
        *("date", "effectiveat", "effectivedate", "asof", "day", "openingdate"),
        *("datum", "stichtag", "dato", "fecha"),
    ),
    "currency": ("currency", "ccy", "currencycode", "wahrung", "währung", "valuta", "devise"),
    "memo": ("memo", "note", "notes"),
    "reference": ("reference", "referencenumber", "ref", "referenz", "referenceno"),
}
FIELDS = tuple(_HEADERS)
_REQUIRED = ("account", "amount")


def parse_column_options(options: Sequence[str]) -> Mapping[str, str]:
    """Return the header of each field that options name, such as ``account=Konto``.

    Raises:
        UsageError: an option is not FIELD=HEADER, or names a field twice.
    """
    chosen: dict[str, str] = {}
    for option in options:
        field, equals, header = option.partition("=")
        field = field.strip().lower()
        if not equals or not header.strip():
            raise UsageError(
                f"--column must be FIELD=HEADER, such as account=Konto, not {escape(option)!r}."
            )
        if field not in FIELDS:
            hint = _suggest(field, FIELDS)
            raise UsageError(
                f"--column {escape(option)}: {escape(field)!r} is not a field{hint} The fields"
                f" are {', '.join(FIELDS)}."
            )
        if field in chosen:
            raise UsageError(f"--column {field}=… is there twice; leave one of them out.")
        chosen[field] = header.strip()
    return chosen


def map_columns(headers: Sequence[str], chosen: Mapping[str, str]) -> Mapping[str, int]:
    """Return the index of the column of each field that the file has.

    Args:
        headers: the cells of the first line.
        chosen: the header of each field that options name.

    Raises:
        UsageError: a column is missing, is unknown, or it is not certain which one is meant.
    """
    names = [header.strip() for header in headers]
    columns = {field: _find_chosen(field, header, names) for field, header in chosen.items()}
    taken = set(columns.values())
    if len(taken) < len(columns):
        raise UsageError("--column: two fields have the same column; give each its own.")
    for field, known in _HEADERS.items():
        if field in columns:
            continue
        found = [
            index
            for index, name in enumerate(names)
            if index not in taken and _normalise(name) in known
        ]
        if len(found) > 1:
            shown = " and ".join(repr(escape(names[index])) for index in found)
            raise UsageError(
                f"The columns {shown} may both be the {field}: give --column {field}=HEADER."
            )
        if found:
            columns[field] = found[0]
    for field in _REQUIRED:
        if field not in columns:
            raise UsageError(
                f"No column is known as the {field}: give --column {field}=HEADER. The first line"
                f" has {_list(names)}."
            )
    return columns


def _find_chosen(field: str, header: str, names: Sequence[str]) -> int:
    found = [index for index, name in enumerate(names) if name == header]
    found = found or [index for index, n in enumerate(names) if n.casefold() == header.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"--column {field}={escape(header)}: {len(found)} columns have this name. Rename the"
            " others in the file."
        )
    raise UsageError(
        f"--column {field}={escape(header)}: there is no column {escape(header)!r}"
        f"{_suggest(header, names)} The first line has {_list(names)}."
    )


def _suggest(text: str, known: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(text.casefold(), folded, n=1, cutoff=0.5)
    return f"; did you mean {escape(folded[near[0]])!r}?" if near else "."


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(escape(name[:40]) or "(empty)" for name in names[:20])
    return f"{shown}, … ({len(names)} columns)" if len(names) > 20 else shown


def _normalise(header: str) -> str:
    return "".join(char for char in header.casefold() if char.isalnum())
