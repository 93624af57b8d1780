"""The scripted parts of the whole gateway: accounts, providers, journal, health and storage."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceQuery,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.errors import GatewayError, ProviderTimeout, SideUnknown
from balance_gateway.domain.health import ConnectorStatus, HealthState
from balance_gateway.domain.writes import WriteRecord
from balance_gateway.ports import storage_changes as port
from balance_gateway.ports.write_journal import WriteFilter, WritePosition
from balance_gateway.providers.registry import PROVIDERS
from balance_gateway.service.directory import Connector
from tests.api.compiled.gateway_harness import CURRENCIES, START, ZONES, FiguresProvider
from tests.service.fakes import FakeJournal

HOLD_S = 40.0
_EVERYTHING = frozenset(Capability)
_WITHOUT_OPENING = _EVERYTHING - {Capability.READ_OPENING_BALANCE}

#: The connectors with their provider and capabilities.
CONNECTORS = {
    "main": Connector("main", ProviderKind.LIGHT, _EVERYTHING),
    "asset": Connector("asset", ProviderKind.ASSET, _WITHOUT_OPENING),
    "layer": Connector("layer", ProviderKind.LAYER, _EVERYTHING),
    "books": Connector("books", ProviderKind.LOCAL, PROVIDERS[ProviderKind.LOCAL].capabilities),
    "files": Connector(
        "files", ProviderKind.STATEMENT_FILE, PROVIDERS[ProviderKind.STATEMENT_FILE].capabilities
    ),
}


def _build_account(number: int) -> Account:
    connector = next(
        name
        for name, last in {"main": 7, "asset": 9, "layer": 12, "books": 14, "files": 15}.items()
        if number <= last
    )
    kind = CONNECTORS[connector].provider
    tenant = "globex" if number in (7, 11) else "acme"
    remote = {key: f"{number}" for each in PROVIDERS[kind].account_ids for key in (each.key,)}
    if number in (10, 11):
        # Two tenants in one business of the provider, so that a write to one touches the other.
        remote["business_id"] = "shared"
    capabilities = CONNECTORS[connector].capabilities
    return Account(
        id=f"a{number}",
        tenant=tenant,
        connector=connector,
        provider=kind,
        name=f'{tenant} account "{number}" ü',
        currency=CURRENCIES[number % 4],
        time_zone=ZoneInfo(ZONES[number % 3]),
        remote=MappingProxyType(remote),
        normal_balance=(Side.DEBIT, Side.CREDIT, None)[number % 3],
        capabilities=frozenset() if number == 4 else capabilities,
    )


ACCOUNTS = {f"a{number}": _build_account(number) for number in range(16)}
LOCAL_IDS = [each.id for each in ACCOUNTS.values() if each.connector == "books"]
#: The accounts with a side that the provider reports at some time.
SIDELESS_IDS = [each.id for each in ACCOUNTS.values() if each.normal_balance is None]


class Clock:
    """The clock of one or more gateways."""

    def __init__(self) -> None:
        self.now = START


class ScriptedProvider(FiguresProvider):
    """A provider that does what a test says, account by account.

    Attributes:
        versions: added to the figures of an account, in minor units.
        known_sides: the accounts with a side that was read; it stays known.
        defective_ids: the accounts with reads that raise an unexpected exception.
        set_balances: the opening balances that were set, by account id.
        write_mode: what the next write does: "apply", "lose" or "land unseen".
        reads: how often each value was read.
    """

    def __init__(self, connector: Connector) -> None:
        super().__init__()
        self.connector, self.kind = connector.id, connector.provider
        self.capabilities = connector.capabilities
        self.versions: Counter[str] = Counter()
        self.known_sides: set[str] = set()
        self.defective_ids: set[str] = set()
        self.set_balances: dict[str, OpeningBalance] = {}
        self.write_mode = "apply"
        self.reads: Counter[tuple[object, ...]] = Counter()

    def _figures(self, query: BalanceQuery) -> Any:
        account_id = query.account.id
        self.reads["balance", account_id, query.as_of] += 1
        if account_id in self.defective_ids:
            raise RuntimeError("defect")
        self.offset = self.versions[account_id]
        return super()._figures(query)

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        self.reads["opening", account.id] += 1
        if account.id in self.defective_ids:
            raise RuntimeError("defect")
        found = self.set_balances.get(account.id)
        if found is None or account.id in self.failing_ids:
            found = await super().opening_balance(account)
        await self._finish_call()
        return found

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        opening = OpeningBalance(
            write.amount, write.effective_at, OpeningBalanceSource.PROVIDER, memo=write.memo
        )
        if self.write_mode != "lose":
            self.set_balances[write.account.id] = opening
            self.versions[write.account.id] += 1
        if self.write_mode != "apply":
            raise ProviderTimeout("The provider did not answer.", maybe_applied=True)
        return opening

    async def bank_feeds(
        self, accounts: Sequence[Account]
    ) -> Sequence[BankFeed | GatewayError | None]:
        self.reads.update(("feed", account.id) for account in accounts)
        feeds = await super().bank_feeds(accounts)
        moved = [self._move(one, account) for one, account in zip(feeds, accounts, strict=True)]
        await self._finish_call()
        return moved

    def _move(self, feed: BankFeed | GatewayError | None, account: Account) -> Any:
        if not isinstance(feed, BankFeed) or feed.latest is None:
            return feed
        latest = replace(
            feed.latest, minor_units=feed.latest.minor_units + self.versions[account.id]
        )
        return replace(feed, latest=latest)

    async def normal_balance(self, account: Account) -> Side:
        if account.normal_balance is None and account.id not in self.known_sides:
            raise SideUnknown("The side is not known.", account_id=account.id)
        return account.normal_balance or Side.CREDIT


class Journal(FakeJournal):
    """The fake journal with pages, newest first."""

    async def page(
        self, tenant: str, selected: WriteFilter, limit: int, after: WritePosition | None
    ) -> Sequence[WriteRecord]:
        found = [
            one
            for one in self.records.values()
            if one.intent.tenant == tenant
            and (selected.outcomes is None or one.outcome in selected.outcomes)
            and (selected.account_ids is None or one.intent.account_id in selected.account_ids)
            and (selected.since is None or one.intent.started_at >= selected.since)
        ]
        found.sort(key=lambda one: (one.intent.started_at, one.intent.id), reverse=True)
        if after is not None:
            key = (after.started_at, after.id)
            found = [one for one in found if (one.intent.started_at, one.intent.id) < key]
        return found[:limit]


class Watch:
    """Reports the state of a connector that a test sets, and a budget that changes with time."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.statuses = dict.fromkeys(CONNECTORS, ConnectorStatus(HealthState.UNKNOWN))

    def count_changes(self, connector: str) -> int:
        return hash((self.statuses[connector], self.world.budget_used[connector]))

    def status(self, connector: str) -> ConnectorStatus:
        second = self.world.now.replace(microsecond=0)
        return replace(
            self.statuses[connector],
            requests_per_minute=300,
            remaining=300 - second.second - self.world.budget_used[connector],
            refills_at=second + timedelta(seconds=30),
            unchanged_until_s=second.timestamp() + 1,
        )


class StorageChanges:
    """Shows changes of the ledger's real database and of the journal.

    Args:
        ledger: shows changes of the ledger.
        journal: the journal.
    """

    def __init__(self, ledger: port.StorageChanges, journal: Journal) -> None:
        self._ledger = ledger
        self._journal = journal
        self._versions: dict[tuple[int, str], int] = {}

    def look_now(self) -> int | None:
        version = self._ledger.look_now()
        if version is None:
            return None
        return self._versions.setdefault(
            (version, repr(self._journal.records)), len(self._versions)
        )

    async def look(self) -> int:
        version = self.look_now()
        assert version is not None
        return version
