"""Define accounts with an opening balance and entries, and compute exact sums.

Amounts are exact decimals. Entries are signed: + is a debit (money in). An opening balance has
its provider's sign: the account holder's side at Light, the normal side at Asset and Layer.
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
        amount: + is money in (a debit), − is money out.
        on_bank: Whether the bank's statement contains it.
        on_books: Whether the company's ledger contains it.
        bases: The accounting bases under which the ledger counts it.
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
    """An opening balance with its provider's sign."""

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
    """One account with its opening balance and its entries in no particular order."""

    remote_id: str
    name: str
    currency: str
    normal_side: Side
    opening: OpeningBalance | None = None
    entries: list[Entry] = field(default_factory=list)

    def sum_entries(self, keep: Callable[[Entry], bool]) -> Decimal:
        """Sum the entries that `keep` accepts. Debits are positive."""
        return sum_exactly(entry.amount for entry in self.entries if keep(entry))

    def compute_opening_debit(self) -> Decimal:
        """Convert a normal-side opening balance to debit-positive. Return 0 if none is set."""
        if self.opening is None:
            return Decimal(0)
        return convert_side(self.opening.amount, self.normal_side)


def sum_exactly(amounts: Iterable[Decimal]) -> Decimal:
    """Sum amounts without rounding, whatever their number of digits."""
    with localcontext() as context:
        # The default precision of 28 digits would round large amounts.
        context.prec = 400
        return sum(amounts, Decimal(0))


def convert_side(amount: Decimal, side: Side) -> Decimal:
    """Convert a debit-positive amount to `side`, or an amount on `side` to debit-positive."""
    return amount if side == "debit" or not amount else amount.copy_negate()
