"""The file format of an exported audit log: JSON, one object per line.

The first line is the header: ``{"format": "balance-gateway-audit", "version": 1, …}``. Each other
line is one of these, and the lines of a tenant are in the order of its chain:

* ``{"row": {…}}``: the members of the row's canonical form (see ``audit_chain``), ``number`` and,
  for a row of a chain, ``hash``.
* ``{"removed": {…}}``: the seal of rows that retention has removed before the next row of the
  tenant: ``tenant``, ``first_sequence``, ``last_sequence``, ``previous_hash``, ``last_hash``,
  ``removed_in``.

A reader ignores further members of the header.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from balance_gateway.domain.audit import RemovedRows
from balance_gateway.storage.tables import instant_text

FORMAT = "balance-gateway-audit"
VERSION = 1

#: A line is refused above this length; a row has some kilobytes.
LINE_BYTES_MAX = 16_000_000


class UnreadableExport(Exception):
    """A file is not an export, or was changed or cut off; the message names the line."""


def format_header(at: datetime) -> bytes:
    """Return the first line of an export that is made at an instant."""
    return _format({"format": FORMAT, "version": VERSION, "exported_at": instant_text(at)})


def format_row(columns: Mapping[str, Any]) -> bytes:
    """Return the line of a row, from its stored columns."""
    return _format({"row": {name: value for name, value in columns.items() if value is not None}})


def format_removed(tenant: str, seal: RemovedRows) -> bytes:
    """Return the line of a seal."""
    members = {
        "tenant": tenant,
        "first_sequence": seal.first_sequence,
        "last_sequence": seal.last_sequence,
        "previous_hash": seal.previous_hash,
        "last_hash": seal.last_hash,
        "removed_in": seal.removed_in,
    }
    return _format({"removed": members})


def read_export(path: Path) -> Iterator[tuple[Mapping[str, Any], Sequence[RemovedRows]]]:
    """Yield the columns of each row, with the seals before it in the order of the file.

    Raises:
        OSError: the file cannot be read.
        UnreadableExport: it is no export, or a line of it is malformed.
    """
    waiting: dict[str, list[RemovedRows]] = {}
    with path.open("rb") as file:
        _require_header(_read_line(file, 1))
        number = 1
        while line := _read_line(file, number := number + 1):
            match line:
                case {"row": dict(row), **rest} if not rest and _is_row(row):
                    yield {"sequence": None, **row}, waiting.pop(row["tenant"], ())
                case {"removed": dict(members), **rest} if not rest:
                    tenant, seal = _parse_seal(members, number)
                    waiting.setdefault(tenant, []).append(seal)
                case _:
                    raise UnreadableExport(f"line {number} is neither a row nor a seal")


def _format(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def _read_line(file: BinaryIO, number: int) -> Any:
    """Return the decoded line; None at the end of the file."""
    text = file.readline(LINE_BYTES_MAX)
    if not text:
        return None
    try:
        if not text.endswith(b"\n"):
            raise ValueError
        return json.loads(text, object_pairs_hook=_build_object)
    except (ValueError, RecursionError):
        problem = f"line {number} is not a whole line of JSON: the file was changed or cut off"
        raise UnreadableExport(problem) from None


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Programs differ in which of the two they read.
        raise ValueError("a member occurs twice")
    return members


def _require_header(header: Any) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UnreadableExport("line 1 is not the header of an audit export")
    if header.get("version") != VERSION:
        raise UnreadableExport(f"its version is not {VERSION}: a newer release wrote it")


def _is_row(row: Mapping[str, Any]) -> bool:
    is_named = isinstance(row.get("tenant"), str) and type(row.get("number")) is int
    return is_named and type(row.get("sequence")) in (int, type(None))


def _parse_seal(members: Mapping[str, Any], number: int) -> tuple[str, RemovedRows]:
    try:
        seal = RemovedRows(**{key: each for key, each in members.items() if key != "tenant"})
        numbers = (seal.first_sequence, seal.last_sequence, seal.removed_in)
        texts = (members["tenant"], seal.previous_hash, seal.last_hash)
    except (KeyError, TypeError):
        raise UnreadableExport(f"line {number} is not a seal") from None
    if {type(each) for each in numbers} != {int} or {type(each) for each in texts} != {str}:
        raise UnreadableExport(f"line {number} is not a seal")
    return members["tenant"], seal
