"""Layer for the contract suite: the sandbox over HTTP, one ledger tree per business and day."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.money import Money
from balance_gateway.providers.layer.provider import LayerProvider, LayerSettings
from tests.providers.conftest import NOW, FakeClock
from tests.providers.sandbox_case import SandboxCase, opening_counts_on, sum_entries


class LayerCase(SandboxCase):
    kind = ProviderKind.LAYER
    capabilities = frozenset(
        {
            Capability.READ_LEDGER_BALANCE,
            Capability.READ_OPENING_BALANCE,
            Capability.WRITE_OPENING_BALANCE,
            Capability.CHOOSE_EFFECTIVE_AT,
            Capability.READ_BANK_FEED,
        }
    )
    operating_name = "Operating checking"
    owed_name = "Company card"
    unset_name = "New savings"
    third_name = "Legacy reserve"
    owed_side = Side.CREDIT
    opening = Money(1_480_300_25, "USD")
    remote_key = "external_account_id"
    account_keys = ("ledger_account_id", "external_account_id")
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

    def compute_feed(self, state: dict[str, Any], account: Account) -> BankFeed:
        bank = sum_entries(
            state,
            account,
            NOW.date(),
            lambda entry: entry["on_bank"] and datetime.fromisoformat(entry["at"]) <= NOW,
        )
        figure = int(bank) + (self.read_opening(state) or 0)
        sign = -1 if state["normal_side"] == "credit" else 1
        return BankFeed(
            state=BankFeedState.CONNECTED,
            last_synced_at=NOW,
            disconnected_at=None,
            # A notification says that the opening balance is missing.
            needs_attention=state["opening"] is None,
            latest=ReportedFigure(figure * sign, NOW),
        )


CASE = LayerCase()
