"""The accounts of the benchmarks and the figures of their providers, derived from account numbers.

The upstreams return these figures, and the benchmarks check the responses against them.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["light", "asset", "layer", "local"]

#: The requested day, and the day from which Light's opening balance is derived.
DAY = "2026-05-07"
BEFORE_ALL = "2025-01-01"

LIGHT_COUNT = 1_000
OTHERS_COUNT = 200
LOCAL_COUNT = 50
BUSINESS = "benchmark-business"
LIGHT_IDS = "00000000-0000-4000-8000-"

#: Entries in each book of each local account: one a month, up to DAY.
LOCAL_ENTRIES = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of an account on DAY, in minor units; None where the provider has none."""

    bank: int | None
    ledger: int
    opening: int | None = None


def build_account_id(kind: Kind, number: int) -> str:
    """Build the gateway's id of an account."""
    return f"{kind}-{number:04d}"


def list_ids(kind: Kind, count: int) -> list[str]:
    """List the ids of the first ``count`` accounts of a provider."""
    return [build_account_id(kind, number) for number in range(count)]


def list_mixed_ids() -> list[str]:
    """List the ids of fifty accounts at three providers."""
    return [*list_ids("light", 20), *list_ids("asset", 15), *list_ids("layer", 15)]


def build_remote_id(kind: Kind, number: int) -> str:
    """Build the provider's id of an account."""
    return f"{LIGHT_IDS}{number:012d}" if kind == "light" else f"ledger-{number:04d}"


def get_currency(kind: str) -> str:
    """Return the currency of a provider's accounts."""
    return "EUR" if kind in ("light", "local") else "USD"


def get_figures(account: str) -> Figures:
    """Return the figures of an account on DAY; ``opening`` is the one before all entries."""
    kind, _, digits = account.partition("-")
    number = int(digits)
    if kind == "light":
        return Figures(bank=50_000 + number, ledger=40_000 + number, opening=70_000 + number)
    if kind == "asset":
        return Figures(bank=None, ledger=200_000 + number)
    if kind == "layer":
        return Figures(bank=None, ledger=300_000 + number)
    # Without an opening balance the embedded ledger has no bank balance.
    return Figures(bank=None, ledger=LOCAL_ENTRIES * (20_000 + number))


def build_trial_balance() -> dict[str, object]:
    """Build Asset's trial balance of the business."""
    return {
        "data": [
            {
                "ledger_id": build_remote_id("asset", number),
                "ledger_name": f"Account {number}",
                "debit": get_figures(build_account_id("asset", number)).ledger / 100,
                "credit": 0,
                "has_entries": True,
            }
            for number in range(OTHERS_COUNT)
        ]
    }


def build_ledger_tree() -> dict[str, object]:
    """Build Layer's ledger balances of the business."""
    return {
        "accounts": [
            {
                "id": build_remote_id("layer", number),
                "name": f"Account {number}",
                "normality": "DEBIT",
                "balance": get_figures(build_account_id("layer", number)).ledger,
                "sub_accounts": [],
            }
            for number in range(OTHERS_COUNT)
        ]
    }


def build_light_balance(remote: str, as_of: str) -> dict[str, object]:
    """Build Light's balance of one account and day."""
    number = int(remote[-4:])
    figures = get_figures(build_account_id("light", number))
    return {
        "bankAccountId": remote,
        "currency": "EUR",
        "bankBalance": figures.opening if as_of == BEFORE_ALL else figures.bank,
        "ledgerBalance": figures.ledger,
        "asOf": as_of,
    }
