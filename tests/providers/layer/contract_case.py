"""Layer for the contract suite: the sandbox over HTTP, one ledger tree per business and day."""

from datetime import date
from decimal import Decimal
from typing import Any

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.money import Money
from balance_gateway.providers.layer.provider import LayerProvider, LayerSettings
from tests.providers.conftest import FakeClock
from tests.providers.sandbox_case import SandboxCase, opening_counts_on, sum_entries


class LayerCase(SandboxCase):
    kind = ProviderKind.LAYER
    capabilities = frozenset(
        {
            Capability.READ_LEDGER_BALANCE,
            Capability.READ_OPENING_BALANCE,
            Capability.WRITE_OPENING_BALANCE,
            Capability.CHOOSE_EFFECTIVE_AT,
        }
    )
    operating_name = "Operating checking"
    owed_name = "Company card"
    unset_name = "New savings"
    third_name = "Legacy reserve"
    owed_side = Side.CREDIT
    opening = Money(1_480_300_25, "USD")
    remote_key = "external_account_id"
    account_keys = ("ledger_account_id",)
    calls_per_write = 2

    def __init__(self) -> None:
        super().__init__()
        self.group = (self.owed, self.operating, self.third)

    def connect(self, url: str, clock: FakeClock, **options: Any) -> LayerProvider:
        defaults = {
            "token_url": f"{url}/layer-auth/oauth2/token",
            "scope": "https://sandbox.layerfi.com/sandbox",
        }
        settings = LayerSettings(
            base_url=f"{url}/layer", **self.build_credentials(defaults | options)
        )
        return LayerProvider("layer_1", settings, clock=clock)

    def parse_opening(self, amount: Decimal, state: dict[str, Any]) -> int:
        return -int(amount) if state["normal_side"] == "credit" else int(amount)

    def compute_figures(
        self, state: dict[str, Any], account: Account, day: date
    ) -> tuple[int | None, int | None]:
        ledger = sum_entries(
            state, account, day, lambda entry: entry["on_books"] and "accrual" in entry["bases"]
        )
        opening = self.read_opening(state) or 0
        return None, int(ledger) + opening * opening_counts_on(account, day)


CASE = LayerCase()
