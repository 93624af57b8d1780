"""The contract case of a provider that the sandbox imitates, over real HTTP."""

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest

from balance_gateway.domain.accounts import Account, Capability, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.domain.money import Money
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.providers import BalanceProvider
from tests.providers.conftest import (
    ENTRIES_START,
    SANDBOX,
    FakeClock,
    SandboxServer,
    make_account,
    make_write,
    sandbox_account,
)
from tests.providers.contract import OpenProvider, ProviderCase

#: An id that the sandbox does not know.
UNKNOWN_ID = "6f1c0b6e-3c0e-4d0a-9c56-1d1d6a7f2a11"


class SandboxCase(ProviderCase):
    """A provider over HTTP: what the tests of all such providers must know of it, too.

    Attributes:
        operating_name: Name in the sandbox of the account ``operating``.
        owed_name: Name of ``owed``.
        unset_name: Name of ``unset``.
        third_name: Name of another account of the same business.
        remote_key: The key of the id by which the sandbox's control endpoints know an account.
        account_keys: The keys of ids that belong to one account only.
        secret_option: The name of the setting that holds the secret.
        has_token_endpoint: Whether the provider issues tokens for client credentials.
        names_currency: Whether a balance names its currency.
        day_has_time_zone: Whether the ends of a day are sent as instants of the account's zone.
        calls_per_write: Number of calls of one write.
        last_write_path: Pattern of the path of a write's last call.
        transport: The HTTP client of the connector.
    """

    operating_name: str
    owed_name: str
    unset_name: str
    third_name: str
    remote_key: str
    account_keys: tuple[str, ...]
    secret_option: str = "client_secret"
    has_token_endpoint: bool = True
    names_currency: bool = False
    day_has_time_zone: bool = True
    calls_per_write: int = 1
    last_write_path: str = "/opening-balance$"

    transport: str = "pooled"

    owed_day = date(2026, 1, 1)
    days = (date(2025, 11, 30), date(2026, 1, 1), date(2026, 5, 6), date(2026, 5, 7))

    def __init__(self) -> None:
        self.seeded: dict[str, dict[str, Any]] = {}
        self.operating = sandbox_account(self.name, self.operating_name)
        self.owed = sandbox_account(self.name, self.owed_name)
        self.unset = sandbox_account(self.name, self.unset_name)
        self.third = sandbox_account(self.name, self.third_name)
        #: ``operating`` with a configured normal side, so that a write needs no other call.
        self.operating_with_side = replace(self.operating, normal_balance=Side.DEBIT)
        changed = dict.fromkeys(self.account_keys, UNKNOWN_ID)
        remote = {**self.operating.remote, **changed}
        self.unknown = make_account(
            self.kind, self.operating.currency, remote=remote, id="acct_unknown"
        )

    @property
    def has_bank_feed(self) -> bool:
        """Whether the provider reports its link to the bank."""
        return Capability.READ_BANK_FEED in self.capabilities

    @property
    def title(self) -> str:
        return self.name if self.transport == "pooled" else f"{self.name}-{self.transport}"

    @property
    def variants(self) -> tuple[ProviderCase, ...]:
        over_httpx = copy(self)
        over_httpx.transport = "httpx"
        return (over_httpx,)

    @property
    def name(self) -> str:
        """The provider's name in the sandbox."""
        return self.kind.value

    @abstractmethod
    def connect(self, url: str, clock: FakeClock, **options: Any) -> BalanceProvider:
        """Build the adapter for a sandbox at this URL; ``options`` are settings."""

    def build_credentials(self, options: dict[str, Any]) -> dict[str, Any]:
        """Replace ``credential``, the name of client credentials in the sandbox, by them."""
        credential = SANDBOX.get_credential(options.pop("credential", f"{self.name}-acme"))
        return {
            "client_id": Secret(credential.client_id or ""),
            "client_secret": Secret(credential.client_secret or ""),
            "timeout_s": 5.0,
        } | options

    @abstractmethod
    def parse_opening(self, amount: Decimal, state: dict[str, Any]) -> int:
        """Convert the sandbox's opening balance to minor units from the holder's side."""

    @abstractmethod
    def compute_figures(
        self, state: dict[str, Any], account: Account, day: date
    ) -> tuple[int | None, int | None]:
        """Compute bank and ledger balance from the sandbox's state, without the adapter."""

    def compute_feed(self, state: dict[str, Any], account: Account) -> BankFeed | None:
        """Compute the bank feed from the sandbox's state, without the adapter."""
        raise NotImplementedError

    def format_entry_amount(self, minor_units: int) -> str | int:
        """Convert the amount of an entry to the unit of the sandbox's control endpoint."""
        return minor_units

    def write(self, account: Account, minor_units: int) -> OpeningBalanceWrite:
        return make_write(account, minor_units, effective_at=self.choose_effective_at())

    def choose_effective_at(self, at: datetime = ENTRIES_START) -> datetime | None:
        """Return the instant of a write; None for a provider that accepts none."""
        return at

    def read_state(self, sandbox: SandboxServer, account: Account) -> dict[str, Any]:
        found: dict[str, Any] = sandbox.state(self.name, account.remote[self.remote_key])
        return found

    def read_opening(self, state: dict[str, Any]) -> int | None:
        """Return the sandbox's opening balance in minor units, from the holder's side."""
        if state["opening"] is None:
            return None
        return self.parse_opening(Decimal(state["opening"]["amount"]), state)

    @asynccontextmanager
    async def open(self, request: pytest.FixtureRequest) -> AsyncIterator[OpenProvider]:
        sandbox: SandboxServer = request.getfixturevalue("sandbox")
        provider = self.connect(sandbox.url, FakeClock(), transport=self.transport)
        for account in self.accounts:
            # Once for all tests: the fixture has reset the sandbox to these states.
            if account.id not in self.seeded:
                self.seeded[account.id] = self.read_state(sandbox, account)

        def expect(account: Account, day: date) -> BalanceFigures:
            bank, ledger = self.compute_figures(self.seeded[account.id], account, day)
            return BalanceFigures(
                day,
                None if bank is None else Money(bank, account.currency),
                None if ledger is None else Money(ledger, account.currency),
            )

        def expect_feed(account: Account) -> BankFeed | None:
            return self.compute_feed(self.seeded[account.id], account)

        async def read_stored(account: Account) -> OpeningBalance | None:
            state = self.read_state(sandbox, account)
            minor_units = self.read_opening(state)
            if minor_units is None:
                return None
            at = datetime.fromisoformat(state["opening"]["at"])
            amount = Money(minor_units, account.currency)
            return OpeningBalance(amount, at, OpeningBalanceSource.PROVIDER)

        async def stop_backend() -> None:
            sandbox.fault("drop_before", provider=self.name, times=None)

        try:
            yield OpenProvider(
                provider=provider,
                expect=expect,
                read_stored=read_stored,
                stop_backend=stop_backend,
                count_calls=lambda: len(list_calls(sandbox)),
                expect_feed=expect_feed if self.has_bank_feed else None,
                private_texts=(sandbox.url, urlsplit(sandbox.url).netloc, UNKNOWN_ID, "not found"),
            )
        finally:
            await provider.aclose()


def list_calls(sandbox: SandboxServer) -> list[dict[str, Any]]:
    """Return the requests that the sandbox received, without those for tokens."""
    return [one for one in sandbox.requests() if "token" not in one["path"]]


def sum_entries(state: dict[str, Any], account: Account, day: date, *conditions: Any) -> Decimal:
    """Sum the sandbox's entries until the end of the day that meet all conditions."""
    until = day_end_exclusive(day, account.time_zone)
    return sum(
        (
            Decimal(entry["amount"])
            for entry in state["entries"]
            if datetime.fromisoformat(entry["at"]) < until
            and all(condition(entry) for condition in conditions)
        ),
        Decimal(0),
    )


def opening_counts_on(account: Account, day: date) -> bool:
    """Return whether the seeded opening balances are on the books at the end of the day."""
    return day_end_exclusive(day, account.time_zone) > ENTRIES_START
