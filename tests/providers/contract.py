"""What the contract suite must know of a provider, and the search for all providers' cases.

``tests/providers/<kind>/contract_case.py`` defines ``CASE``, an instance of ``ProviderCase``.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import BalanceFigures, OpeningBalance
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.money import Money
from balance_gateway.ports.providers import BalanceProvider

TESTS = Path(__file__).parent
ROOMS = TESTS.parents[1] / "src" / "balance_gateway" / "providers"


@dataclass(frozen=True, kw_only=True)
class OpenProvider:
    """A provider with known data, ready to be called, and its backend as the suite sees it.

    Attributes:
        provider: The provider; the case closes it after the test.
        expect: Returns the figures of an account at the end of a day, computed without the
            provider. None, also for a single balance, means that no figure is known.
        read_stored: Reads the account's opening balance from the backend, without the provider;
            only amount and ``effective_at`` are compared. None if none is set.
        stop_backend: Makes every later call of the provider fail.
        count_calls: Returns the number of calls that the backend has received; None if they
            cannot be counted.
        expect_feed: Returns the bank feed of an account, computed without the provider; None for an
            account without a link to a bank. None without ``Capability.READ_BANK_FEED``.
        private_texts: Texts that no error may contain: secrets, addresses, the backend's words.
    """

    provider: BalanceProvider
    expect: Callable[[Account, date], BalanceFigures | None]
    read_stored: Callable[[Account], Awaitable[OpeningBalance | None]]
    stop_backend: Callable[[], Awaitable[None]]
    count_calls: Callable[[], int] | None = None
    expect_feed: Callable[[Account], BankFeed | None] | None = None
    private_texts: tuple[str, ...] = ()


class ProviderCase(ABC):
    """One provider as the contract suite sees it. All accounts have two decimals.

    Attributes:
        kind: The provider's kind; its value is the name of the folder.
        capabilities: The capabilities that the provider's page documents.
        operating: An account that holds money and has an opening balance.
        owed: An account that owes money; each of its balances at the end of ``owed_day`` is
            negative.
        owed_day: See ``owed``.
        owed_side: The normal side of ``owed``, which is not configured; None if the provider knows
            no sides.
        group: Accounts that are read with one call for a day, at least one.
        days: Days before, on and after entries of all accounts, in order.
        unset: An account without an opening balance; None if the provider has no opening balances.
        unknown: An account that does not exist at the provider; None if every configured account
            exists there.
        opening: The opening balance of ``operating``; None if it cannot be read or derived.
        derive_as_of: The day whose balance is the opening balance of ``operating``; None if the
            provider derives none.
        effective_at: The instant of the suite's writes. Ignored without
            ``Capability.CHOOSE_EFFECTIVE_AT``.
    """

    kind: ProviderKind
    capabilities: frozenset[Capability]
    operating: Account
    owed: Account
    owed_day: date
    owed_side: Side | None = None
    group: tuple[Account, ...]
    days: tuple[date, ...]
    unset: Account | None = None
    unknown: Account | None = None
    opening: Money | None = None
    derive_as_of: date | None = None
    effective_at: datetime = datetime(2025, 12, 1, 9, 30, tzinfo=UTC)

    @abstractmethod
    def open(self, request: pytest.FixtureRequest) -> AbstractAsyncContextManager[OpenProvider]:
        """Open the provider over a backend that only this test uses.

        Args:
            request: Gives access to fixtures, such as ``tmp_path`` or ``sandbox``.
        """

    @property
    def title(self) -> str:
        """The name of the case in the report."""
        return self.kind.value

    @property
    def variants(self) -> "tuple[ProviderCase, ...]":
        """The same provider with other settings, which must behave alike; none by default."""
        return ()

    @property
    def accounts(self) -> tuple[Account, ...]:
        """All accounts that exist at the provider, each once."""
        found = (self.operating, self.owed, *self.group, *((self.unset,) if self.unset else ()))
        return tuple({account.id: account for account in found}.values())


def find_cases() -> list[ProviderCase]:
    """Return the case of each folder beside this file that has a ``contract_case.py``."""
    folders = sorted(path.parent.name for path in TESTS.glob("*/contract_case.py"))
    return [
        importlib.import_module(f"tests.providers.{folder}.contract_case").CASE
        for folder in folders
    ]


def list_rooms() -> list[str]:
    """Return the names of the folders of ``src`` that contain a provider."""
    return sorted(
        path.name
        for path in ROOMS.iterdir()
        if path.is_dir() and path.name not in {"http", "__pycache__"}
    )
