"""The accounts of the benchmarks, and the figures that their providers tell: made from numbers.

The upstreams print these figures, and the answers are checked against them.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["light", "asset", "layer", "local"]

#: The day that is asked for, and the day whose balance is Light's derived opening balance.
DAY = "2026-05-07"
BEFORE_ALL = "2025-01-01"

LIGHT_COUNT = 1_000
OTHERS_COUNT = 200
LOCAL_COUNT = 50
BUSINESS = "benchmark-business"
LIGHT_IDS = "00000000-0000-4000-8000-"

#: Entries of each local account, one a month up to DAY, in each book.
LOCAL_ENTRIES = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """What is true of an account on DAY, in minor units."""

    bank: int | None
    ledger: int
    opening: int | None = None


def account_id(kind: Kind, number: int) -> str:
    """The gateway's id."""
    return f"{kind}-{number:04d}"


def ids(kind: Kind, count: int) -> list[str]:
    """The first so many of a provider's accounts."""
    return [account_id(kind, number) for number in range(count)]


def mixed_ids() -> list[str]:
    """Fifty accounts at three providers."""
    return [*ids("light", 20), *ids("asset", 15), *ids("layer", 15)]


def remote_id(kind: Kind, number: int) -> str:
    """The provider's id."""
    return f"{LIGHT_IDS}{number:012d}" if kind == "light" else f"ledger-{number:04d}"


def currency(kind: str) -> str:
    """The currency of a provider's accounts."""
    return "EUR" if kind in ("light", "local") else "USD"


def figures(account: str) -> Figures:
    """What the providers of these benchmarks tell of an account."""
    kind, _, digits = account.partition("-")
    number = int(digits)
    if kind == "light":
        return Figures(bank=50_000 + number, ledger=40_000 + number, opening=70_000 + number)
    if kind == "asset":
        return Figures(bank=None, ledger=200_000 + number)
    if kind == "layer":
        return Figures(bank=None, ledger=300_000 + number)
    # Without an opening balance the embedded ledger does not know what the bank holds.
    return Figures(bank=None, ledger=LOCAL_ENTRIES * (20_000 + number))


def trial_balance() -> dict[str, object]:
    """Asset's report of the whole business."""
    return {
        "data": [
            {
                "ledger_id": remote_id("asset", number),
                "ledger_name": f"Account {number}",
                "debit": figures(account_id("asset", number)).ledger / 100,
                "credit": 0,
                "has_entries": True,
            }
            for number in range(OTHERS_COUNT)
        ]
    }


def ledger_tree() -> dict[str, object]:
    """Layer's ledger balances of the whole business."""
    return {
        "accounts": [
            {
                "id": remote_id("layer", number),
                "name": f"Account {number}",
                "normality": "DEBIT",
                "balance": figures(account_id("layer", number)).ledger,
                "sub_accounts": [],
            }
            for number in range(OTHERS_COUNT)
        ]
    }


def light_balance(remote: str, as_of: str) -> dict[str, object]:
    """Light's answer for one account and day."""
    number = int(remote[-4:])
    told = figures(account_id("light", number))
    return {
        "bankAccountId": remote,
        "currency": "EUR",
        "bankBalance": told.opening if as_of == BEFORE_ALL else told.bank,
        "ledgerBalance": told.ledger,
        "asOf": as_of,
    }
