"""The arithmetic of the sandbox: accounts, opening balances, entries and their sums.

Amounts are exact decimals; entries are signed, + being a debit (money in). An opening balance is
kept in the sign its provider uses: the holder's side at Light, the normal side at Asset and Layer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any, Final, Literal

from balance_gateway_sandbox.state.company import Side

Basis = Literal["accrual", "cash"]
BOTH_BASES: Final[frozenset[Basis]] = frozenset({"accrual", "cash"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of money.

    Attributes:
        amount: + is money in (a debit), − money out.
        on_bank: Whether the bank's statement has it.
        on_books: Whether the ledger has it.
        bases: The accounting bases under which the books count it.
    """

    entry_id: str
    at: datetime
    amount: Decimal
    memo: str
    on_bank: bool = True
    on_books: bool = True
    bases: frozenset[Basis] = BOTH_BASES


@dataclass(frozen=True, slots=True)
class OpeningBalance:
    """An opening balance, in its provider's own sign."""

    opening_id: str
    amount: Decimal
    at: datetime
    created_at: datetime
    updated_at: datetime
    memo: str | None = None
    reference_number: str | None = None
    tags: tuple[dict[str, Any], ...] = ()
    metadata: dict[str, Any] | None = None


@dataclass(slots=True)
class AccountBook:
    """One account: what opens it and what happened since, in no particular order."""

    remote_id: str
    name: str
    currency: str
    normal_side: Side
    opening: OpeningBalance | None = None
    entries: list[Entry] = field(default_factory=list)

    def sum_entries(self, keep: Callable[[Entry], bool]) -> Decimal:
        """The sum of the entries that `keep` accepts; + is a debit."""
        return sum_exactly(entry.amount for entry in self.entries if keep(entry))

    def compute_opening_debit(self) -> Decimal:
        """The opening balance with + as a debit, from a normal-side amount; 0 when none is set."""
        if self.opening is None:
            return Decimal(0)
        return convert_side(self.opening.amount, self.normal_side)


def sum_exactly(amounts: Iterable[Decimal]) -> Decimal:
    """A sum that never rounds, however many digits its terms have."""
    with localcontext() as context:
        context.prec = 400
        return sum(amounts, Decimal(0))


def convert_side(amount: Decimal, side: Side) -> Decimal:
    """Turn a debit-positive amount to `side`, or a `side` amount to debit-positive."""
    return amount if side == "debit" or not amount else amount.copy_negate()
