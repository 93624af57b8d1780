"""Define the accounts of the two seeded companies: names, currencies and opening amounts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Final, Literal

from balance_gateway_sandbox.state.identifiers import derive_number

Provider = Literal["light", "asset", "layer"]
Tenant = Literal["acme", "globex"]
Side = Literal["debit", "credit"]

ZONES: Final = {
    "BHD": "Asia/Bahrain",
    "CAD": "America/Toronto",
    "CHF": "Europe/Zurich",
    "CLF": "America/Santiago",
    "DKK": "Europe/Copenhagen",
    "EUR": "Europe/Berlin",
    "GBP": "Europe/London",
    "JPY": "Asia/Tokyo",
    "KRW": "Asia/Seoul",
    "KWD": "Asia/Kuwait",
    "NOK": "Europe/Oslo",
    "SEK": "Europe/Stockholm",
    "USD": "America/New_York",
}
PURPOSES: Final = (
    "Operating",
    "Payroll",
    "Tax reserve",
    "Savings",
    "Collections",
    "Settlements",
    "Deposits",
    "Travel",
    "Escrow",
    "Marketing",
    "Refunds",
    "Treasury",
    "Suppliers",
)
CITIES: Final = ("Austin", "Boston", "Chicago", "Denver", "Seattle")


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """The seeded properties of one account.

    Attributes:
        opening_minor: Minor units in the provider's sign: the account holder's side at Light, the
            normal side at Asset and Layer. None means no opening balance.
        early_history: Whether transactions before the opening day exist.
    """

    name: str
    currency: str
    side: Side
    opening_minor: int | None
    early_history: bool = False

    @property
    def time_zone(self) -> str:
        """The time zone of the account's days, chosen by its currency."""
        return ZONES[self.currency]


LIGHT_ACME: Final = (
    AccountPlan("Operating EUR", "EUR", "debit", 1_250_000_00, early_history=True),
    AccountPlan("Payroll DKK", "DKK", "debit", 843_125_50),
    AccountPlan("Operating USD", "USD", "debit", 2_310_455_17, early_history=True),
    AccountPlan("Operating JPY", "JPY", "debit", 125_400_000),
    AccountPlan("Operating KWD", "KWD", "debit", 88_412_375),
    AccountPlan("Reserve CLF", "CLF", "debit", 41_250_7500),
    AccountPlan("Company card EUR", "EUR", "credit", -4_512_90),
    AccountPlan("Overdraft SEK", "SEK", "debit", -9_841_204_33),
    AccountPlan("New account USD", "USD", "debit", None),
    AccountPlan("Treasury USD", "USD", "debit", 42_949_672_96_01),
    AccountPlan("Long-term reserve JPY", "JPY", "debit", 9_007_199_254_740_993),
    AccountPlan("Dormant GBP", "GBP", "debit", 0),
)
LIGHT_GLOBEX: Final = (
    AccountPlan("Operating GBP", "GBP", "debit", 310_200_00, early_history=True),
    AccountPlan("Payroll GBP", "GBP", "debit", 95_750_25),
    AccountPlan("Operating KRW", "KRW", "debit", 880_450_000),
    AccountPlan("Reserve BHD", "BHD", "debit", 51_300_125),
    AccountPlan("Company card GBP", "GBP", "credit", -1_899_99),
    AccountPlan("New account EUR", "EUR", "debit", None),
)
NORTH_AMERICA_ACME: Final = (
    AccountPlan("Operating checking", "USD", "debit", 1_480_300_25),
    AccountPlan("Payroll checking", "USD", "debit", 212_075_00),
    AccountPlan("Company card", "USD", "credit", 4_512_90),
    AccountPlan("Fleet card", "USD", "credit", -120_55),
    AccountPlan("Term loan", "USD", "credit", 750_000_00),
    AccountPlan("Overdrawn checking", "USD", "debit", -9_841_204_33),
    AccountPlan("New savings", "USD", "debit", None),
    AccountPlan("Treasury sweep", "USD", "debit", 42_949_672_96_01),
    AccountPlan("Long-term reserve", "USD", "debit", 9_007_199_254_740_993),
    AccountPlan("Dormant savings", "USD", "debit", 0),
    AccountPlan("Legacy reserve", "USD", "debit", 66_000_00, early_history=True),
)
"""Used at both Asset and Layer. Amounts are on the account's normal side."""


def list_account_plans(seed: int, provider: Provider, tenant: Tenant) -> tuple[AccountPlan, ...]:
    """Return the accounts of one company at one provider, always the same for a seed.

    Returns:
        The named accounts first, then generated ones. In total 52 (Light) or 50 for acme, 6 to 8
        for globex.
    """
    if provider == "light":
        if tenant == "globex":
            return LIGHT_GLOBEX
        currencies = ("EUR", "USD", "GBP", "SEK", "NOK", "CHF", "DKK")
        names = (f"{p} {c}" for c, p in product(currencies, PURPOSES))
        return _extend_plans(seed, LIGHT_ACME, names, 52)
    if tenant == "acme":
        names = (f"{p} {city}" for city, p in product(CITIES, PURPOSES))
        return _extend_plans(seed, NORTH_AMERICA_ACME, names, 50)
    currency = "CAD" if provider == "layer" else "USD"
    names = (f"{p} {currency}" for p in PURPOSES)
    card = AccountPlan("Company card", currency, "credit", 2_750_10)
    new = AccountPlan("New checking", currency, "debit", None)
    return _extend_plans(seed, (card, new), names, 8)


def _extend_plans(
    seed: int, named_plans: Iterable[AccountPlan], names: Iterator[str], count: int
) -> tuple[AccountPlan, ...]:
    chosen = tuple(named_plans)
    taken = {plan.name for plan in chosen}
    free = (name for name in names if name not in taken)
    rest = []
    for name in islice(free, count - len(chosen)):
        currency = name[-3:] if name[-3:] in ZONES else "USD"
        opening = derive_number(seed, "opening", name) % 80_000_000 + 1_000_00
        rest.append(AccountPlan(name, currency, "debit", opening))
    return chosen + tuple(rest)
