"""Asset for the contract suite: the sandbox over HTTP, one trial balance per business and day."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.money import Money
from balance_gateway.providers.asset.provider import AssetProvider, AssetSettings
from tests.providers.conftest import ENTRIES_START, NOW, FakeClock
from tests.providers.sandbox_case import SandboxCase, opening_counts_on, sum_entries


class AssetCase(SandboxCase):
    kind = ProviderKind.ASSET
    capabilities = frozenset(
        {
            Capability.READ_LEDGER_BALANCE,
            Capability.WRITE_OPENING_BALANCE,
            Capability.READ_BANK_FEED,
        }
    )
    operating_name = "Operating checking"
    owed_name = "Company card"
    unset_name = "New savings"
    third_name = "Legacy reserve"
    owed_side = Side.CREDIT
    opening = Money(1_480_300_25, "USD")
    derive_as_of = date(2026, 1, 1)
    remote_key = "ledger_id"
    account_keys = ("ledger_id",)

    def __init__(self) -> None:
        super().__init__()
        self.group = (self.owed, self.operating, self.third)

    def connect(self, url: str, clock: FakeClock, **options: Any) -> AssetProvider:
        settings = AssetSettings(base_url=f"{url}/asset", **self.build_credentials(options))
        return AssetProvider("asset_1", settings, clock=clock)

    def format_entry_amount(self, minor_units: int) -> str | int:
        return str(Decimal(minor_units).scaleb(-2))

    def choose_effective_at(self, at: datetime = ENTRIES_START) -> datetime | None:
        return None

    def parse_opening(self, amount: Decimal, state: dict[str, Any]) -> int:
        sign = -1 if state["normal_side"] == "credit" else 1
        return int(amount.scaleb(2)) * sign

    def compute_figures(
        self, state: dict[str, Any], account: Account, day: date
    ) -> tuple[int | None, int | None]:
        ledger = sum_entries(
            state,
            account,
            day,
            lambda entry: entry["on_books"] and "cash" in entry["bases"],
            lambda entry: datetime.fromisoformat(entry["at"]) >= ENTRIES_START,
        )
        opening = self.read_opening(state) or 0
        return None, int(ledger.scaleb(2)) + opening * opening_counts_on(account, day)

    def compute_feed(self, state: dict[str, Any], account: Account) -> BankFeed:
        bank = sum_entries(
            state,
            account,
            NOW.date(),
            lambda entry: entry["on_bank"] and datetime.fromisoformat(entry["at"]) <= NOW,
        )
        figure = int(bank.scaleb(2)) + (self.read_opening(state) or 0)
        sign = -1 if state["normal_side"] == "credit" else 1
        return BankFeed(
            state=BankFeedState.CONNECTED,
            last_synced_at=NOW,
            disconnected_at=None,
            needs_attention=False,
            latest=ReportedFigure(figure * sign, None),
        )


CASE = AssetCase()
