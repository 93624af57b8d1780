"""Light for the contract suite: the sandbox over HTTP, one account and day per call."""

from datetime import date
from decimal import Decimal
from typing import Any

from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.money import Money
from balance_gateway.domain.secret import Secret
from balance_gateway.providers.light.provider import LightProvider, LightSettings
from tests.providers.conftest import SANDBOX, FakeClock
from tests.providers.sandbox_case import SandboxCase, sum_entries


class LightCase(SandboxCase):
    kind = ProviderKind.LIGHT
    capabilities = frozenset(
        {
            Capability.READ_BANK_BALANCE,
            Capability.READ_LEDGER_BALANCE,
            Capability.WRITE_OPENING_BALANCE,
            Capability.CHOOSE_EFFECTIVE_AT,
        }
    )
    operating_name = "Operating USD"
    owed_name = "Company card EUR"
    unset_name = "New account USD"
    third_name = "Operating EUR"
    opening = Money(2_310_455_17, "USD")
    # Operating USD has entries before its opening balance: the day is before them all.
    derive_as_of = date(2025, 6, 1)
    remote_key = "bank_account_id"
    account_keys = ("bank_account_id",)
    secret_option = "api_key"
    has_token_endpoint = False
    names_currency = True
    day_has_time_zone = False
    last_write_path = "/balance$"

    def __init__(self) -> None:
        super().__init__()
        self.group = (self.operating,)

    def connect(self, url: str, clock: FakeClock, **options: Any) -> LightProvider:
        credential = SANDBOX.get_credential(options.pop("credential", "light-acme"))
        defaults = {"api_key": Secret(credential.api_key or ""), "timeout_s": 5.0}
        settings = LightSettings(base_url=f"{url}/light", **defaults | options)
        return LightProvider("light_1", settings, clock=clock)

    def parse_opening(self, amount: Decimal, state: dict[str, Any]) -> int:
        return int(amount)

    def compute_figures(
        self, state: dict[str, Any], account: Account, day: date
    ) -> tuple[int | None, int | None]:
        opening = self.read_opening(state)
        bank = sum_entries(state, account, day, lambda entry: entry["on_bank"])
        # The ledger has the opening balance as an entry of its own.
        ledger = sum_entries(state, account, day, lambda entry: entry["on_books"])
        return None if opening is None else opening + int(bank), int(ledger)


CASE = LightCase()
