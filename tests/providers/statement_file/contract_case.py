"""Statement files for the contract suite: a file in a temporary folder."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from balance_gateway.domain.accounts import Account, Capability, ProviderKind
from balance_gateway.domain.balances import (
    BalanceFigures,
    MissingReason,
    OpeningBalance,
    OpeningBalanceSource,
)
from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.money import Money
from balance_gateway.providers.statement_file.provider import (
    StatementFileProvider,
    StatementFileSettings,
)
from tests.providers.contract import OpenProvider, ProviderCase

STATEMENTS: dict[str, Any] = {
    "accounts": {
        "operating": {
            "currency": "EUR",
            "opening_balance": {"amount": "1000.00", "effective_at": "2026-01-01T00:00:00Z"},
            "balances": {
                "2026-01-02": {"bank": "1250.00", "ledger": "1240.00"},
                "2026-01-09": {"bank": "1210.00", "ledger": "1240.00"},
            },
        },
        "owed": {
            "currency": "EUR",
            "opening_balance": {"amount": "-500.00"},
            "balances": {"2026-01-02": {"bank": "-507.00", "ledger": "-507.5"}},
        },
        "unset": {"currency": "EUR", "balances": {"2026-01-09": {"bank": "12.34"}}},
    }
}


def build_account(name: str) -> Account:
    return Account(
        f"acct_{name}", "acme", "statements", ProviderKind.STATEMENT_FILE, name, "EUR",
        ZoneInfo("Europe/Copenhagen"), {"statement_account_id": name},
    )  # fmt: skip


def to_money(text: str | None) -> Money | None:
    return None if text is None else Money(int(Decimal(text) * 100), "EUR")


class StatementFileCase(ProviderCase):
    """Read-only; the figures of a day are those in the file or none."""

    kind = ProviderKind.STATEMENT_FILE
    capabilities = frozenset(
        {
            Capability.READ_BANK_BALANCE,
            Capability.READ_LEDGER_BALANCE,
            Capability.READ_OPENING_BALANCE,
        }
    )
    operating = build_account("operating")
    owed = build_account("owed")
    unset = build_account("unset")
    unknown = build_account("unknown")
    group = (owed, operating, unset)
    days = (date(2025, 12, 31), date(2026, 1, 2), date(2026, 1, 5), date(2026, 1, 9))
    owed_day = days[1]
    opening = Money(1_000_00, "EUR")

    def expect(self, account: Account, day: date) -> BalanceFigures:
        written = STATEMENTS["accounts"][account.name]["balances"].get(day.isoformat(), {})
        bank, ledger = to_money(written.get("bank")), to_money(written.get("ledger"))
        return BalanceFigures(
            day,
            bank,
            ledger,
            bank_missing=MissingReason.NOT_IN_FILE if bank is None else None,
            ledger_missing=MissingReason.NOT_IN_FILE if ledger is None else None,
        )

    @asynccontextmanager
    async def open(self, request: pytest.FixtureRequest) -> AsyncIterator[OpenProvider]:
        folder: Path = request.getfixturevalue("tmp_path")
        path = folder / "statements.json"
        path.write_text(json.dumps(STATEMENTS), encoding="utf-8")

        async def read_stored(account: Account) -> OpeningBalance | None:
            stored = json.loads(path.read_text())["accounts"][account.name].get("opening_balance")
            if stored is None:
                return None
            amount = to_money(stored["amount"])
            assert amount is not None
            at = datetime(2026, 1, 1, tzinfo=UTC) if "effective_at" in stored else None
            return OpeningBalance(amount, at, OpeningBalanceSource.PROVIDER)

        async def stop_backend() -> None:
            path.unlink()

        settings = StatementFileSettings(path=path)
        yield OpenProvider(
            provider=StatementFileProvider("statements", settings, clock=system_clock),
            expect=self.expect,
            read_stored=read_stored,
            stop_backend=stop_backend,
            private_texts=(str(folder), "statements.json"),
        )


CASE = StatementFileCase()
