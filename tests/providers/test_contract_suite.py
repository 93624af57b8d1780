"""The contract suite fails for broken providers, and fits providers that only read.

Both cases here are fakes of our own port: a ledger with every capability, and a statement that can
only be read, for accounts without ids of their own.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    MissingReason,
    OpeningBalance,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.bank_feeds import BankFeed, BankFeedState, ReportedFigure
from balance_gateway.domain.errors import (
    BadInput,
    GatewayError,
    ProviderUnavailable,
    SideUnknown,
    Unsupported,
    with_account,
)
from balance_gateway.domain.money import Money
from tests.providers import test_contract
from tests.providers.contract import OpenProvider, ProviderCase

OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)
READ_ONLY = frozenset({Capability.READ_LEDGER_BALANCE})
CHECKS = {
    name: check
    for name, check in vars(test_contract).items()
    if name.startswith("test_") and inspect.iscoroutinefunction(check)
}


def build_account(name: str) -> Account:
    zone = ZoneInfo("UTC")
    return Account(f"acct_{name}", "acme", "fake", ProviderKind.LOCAL, name, "EUR", zone)


class FakeProvider:
    """A ledger in memory; the capabilities say what it can do."""

    kind = ProviderKind.LOCAL
    connector = "fake"

    def __init__(self, case: "FakeCase") -> None:
        self.capabilities = case.capabilities
        self.entries = dict(case.entries)
        self.openings: dict[str, OpeningBalance] = {}
        if Capability.WRITE_OPENING_BALANCE in self.capabilities:
            for account, amount in ((case.operating, 1000), (case.owed, -5000)):
                self.store(OpeningBalanceWrite(account, Money(amount, "EUR"), OPENED_AT))
        self.calls = 0
        self.is_stopped = False

    def store(self, write: OpeningBalanceWrite) -> OpeningBalance:
        opening = OpeningBalance(
            write.amount,
            write.effective_at,
            OpeningBalanceSource.PROVIDER,
            memo=write.memo,
            reference_number=write.reference_number,
        )
        self.openings[write.account.id] = opening
        return opening

    async def call(self) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.is_stopped:
            raise ProviderUnavailable("The fake is stopped.", provider=self.kind.name)

    def require(self, capability: Capability, account: Account, field: str | None = None) -> None:
        if capability not in self.capabilities:
            message = f"The fake lacks {capability.value}."
            raise Unsupported(message, field=field, account_id=account.id)

    def balance_group(self, query: BalanceQuery) -> Hashable:
        return query.as_of

    async def balances(
        self, queries: Sequence[BalanceQuery]
    ) -> Sequence[BalanceFigures | GatewayError]:
        await self.call()
        return [self.build_figures(query) for query in queries]

    def build_figures(self, query: BalanceQuery) -> BalanceFigures | GatewayError:
        account = query.account
        if account.id not in self.entries:
            return BadInput("There is no such account.", account_id=account.id)
        entries = self.entries[account.id]
        total = sum(amount for day, amount in entries if day <= query.as_of)
        if Capability.READ_BANK_BALANCE not in self.capabilities:
            is_known = any(day <= query.as_of for day, _ in entries)
            return BalanceFigures(
                query.as_of,
                None,
                Money(total, "EUR") if is_known else None,
                bank_missing=MissingReason.NOT_OFFERED,
                ledger_missing=None if is_known else MissingReason.NOT_IN_FILE,
                remote_path=(account.id,),
            )
        opening = self.openings.get(account.id)
        return BalanceFigures(
            query.as_of,
            None if opening is None else opening.amount + Money(total, "EUR"),
            Money(total, "EUR"),
            bank_missing=MissingReason.NO_OPENING_BALANCE if opening is None else None,
            remote_path=(account.id,),
        )

    async def opening_balance(self, account: Account) -> OpeningBalance | None:
        self.require(Capability.READ_OPENING_BALANCE, account)
        await self.call()
        return self.openings.get(account.id)

    async def normal_balance(self, account: Account) -> Side:
        if account.normal_balance is None:
            raise SideUnknown("Configure normal_balance.", account_id=account.id)
        return account.normal_balance

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        account = write.account
        self.require(Capability.WRITE_OPENING_BALANCE, account)
        notes = {"memo": write.memo, "referenceNumber": write.reference_number}
        for field in [field for field, note in notes.items() if note is not None]:
            self.require(Capability.WRITE_MEMO, account, field)
        if write.amount.currency != account.currency:
            raise BadInput("Wrong currency.", field="amount", account_id=account.id)
        await self.call()
        return self.store(write)

    async def probe(self) -> None:
        await self.call()

    async def aclose(self) -> None:
        pass


FEED = BankFeed(
    state=BankFeedState.CONNECTED,
    last_synced_at=OPENED_AT,
    disconnected_at=None,
    needs_attention=False,
    latest=ReportedFigure(-77, OPENED_AT),
)


class FakeFeedProvider(FakeProvider):
    """The same, with a link to a bank."""

    def bank_feed_group(self, account: Account) -> Hashable:
        return account.connector

    async def bank_feeds(
        self, accounts: Sequence[Account]
    ) -> Sequence[BankFeed | GatewayError | None]:
        await self.call()
        return [self.build_feed(account) for account in accounts]

    def build_feed(self, account: Account) -> BankFeed | GatewayError | None:
        if account.id not in self.entries:
            return BadInput("There is no such account.", account_id=account.id)
        return expect_feed(account)


def expect_feed(account: Account) -> BankFeed | None:
    return (
        None if account.name == "unset" else replace(FEED, needs_attention=account.name == "owed")
    )


class FakeCase(ProviderCase):
    kind = ProviderKind.LOCAL
    operating = build_account("operating")
    owed = build_account("owed")
    unset = build_account("unset")
    unknown = build_account("unknown")
    group = (owed, operating, unset)
    days = (date(2025, 12, 31), date(2026, 1, 2), date(2026, 1, 9))
    owed_day = date(2026, 1, 9)

    def __init__(self, capabilities: frozenset[Capability], provider: type[FakeProvider]) -> None:
        self.capabilities = capabilities
        self.provider = provider
        self.entries = {
            self.operating.id: [(date(2026, 1, 2), 70), (date(2026, 1, 5), -30)],
            self.owed.id: [(date(2026, 1, 1), -900)],
            self.unset.id: [(date(2026, 1, 2), 5)],
        }
        if Capability.READ_OPENING_BALANCE in capabilities:
            self.opening = Money(1000, "EUR")

    @asynccontextmanager
    async def open(self, request: Any = None) -> AsyncIterator[OpenProvider]:
        provider = self.provider(self)
        reference = FakeProvider(self)

        def expect(account: Account, day: date) -> BalanceFigures | None:
            figures = reference.build_figures(BalanceQuery(account, day))
            assert isinstance(figures, BalanceFigures)
            return figures

        async def read_stored(account: Account) -> OpeningBalance | None:
            return provider.openings.get(account.id)

        async def stop_backend() -> None:
            provider.is_stopped = True

        yield OpenProvider(
            provider=provider,
            expect=expect,
            read_stored=read_stored,
            stop_backend=stop_backend,
            count_calls=lambda: provider.calls,
            expect_feed=expect_feed if Capability.READ_BANK_FEED in self.capabilities else None,
        )


async def run_check(name: str, case: FakeCase) -> None:
    check: Callable[[ProviderCase, OpenProvider], Awaitable[None]] = CHECKS[name]
    async with case.open() as opened:
        await check(case, opened)


@pytest.mark.usefixtures("only_new_garbage")
@pytest.mark.parametrize(
    ("capabilities", "provider"),
    [(frozenset(Capability), FakeFeedProvider), (READ_ONLY, FakeProvider)],
    ids=["all", "read"],
)
async def test_a_correct_provider_passes(
    capabilities: frozenset[Capability], provider: type[FakeProvider]
) -> None:
    assert {name for _, _, name in FAULTS} <= CHECKS.keys()
    for name in CHECKS:
        await run_check(name, FakeCase(capabilities, provider))


# --- broken providers ----------------------------------------------------------------------------


class WrongOrder(FakeProvider):
    async def balances(self, queries: Any) -> Any:
        return (await super().balances(queries))[::-1]


class DropsDuplicates(FakeProvider):
    async def balances(self, queries: Any) -> Any:
        once = {query.account.id: query for query in queries}
        return await super().balances(list(once.values()))


class FlippedSign(FakeProvider):
    def build_figures(self, query: BalanceQuery) -> Any:
        figures = super().build_figures(query)
        if isinstance(figures, GatewayError) or figures.ledger is None:
            return figures
        return replace(figures, ledger=-figures.ledger)


class InventedZero(FakeProvider):
    def build_figures(self, query: BalanceQuery) -> Any:
        figures = super().build_figures(query)
        if isinstance(figures, GatewayError) or figures.ledger is not None:
            return figures
        return replace(figures, ledger=Money(0, "EUR"))


class NoReason(FakeProvider):
    def build_figures(self, query: BalanceQuery) -> Any:
        figures = super().build_figures(query)
        if isinstance(figures, GatewayError):
            return figures
        return replace(figures, bank_missing=None, ledger_missing=None)


class ReasonBesideTheFigure(FakeProvider):
    def build_figures(self, query: BalanceQuery) -> Any:
        figures = super().build_figures(query)
        if isinstance(figures, GatewayError):
            return figures
        return replace(figures, bank_missing=MissingReason.BEFORE_OPENING)


class WrongReason(FakeProvider):
    def build_figures(self, query: BalanceQuery) -> Any:
        figures = super().build_figures(query)
        if isinstance(figures, GatewayError) or figures.bank_missing is None:
            return figures
        return replace(figures, bank_missing=MissingReason.OTHER_BASIS)


class NoPath(FakeProvider):
    def build_figures(self, query: BalanceQuery) -> Any:
        figures = super().build_figures(query)
        return figures if isinstance(figures, GatewayError) else replace(figures, remote_path=())


class OnePathForAll(FakeProvider):
    def build_figures(self, query: BalanceQuery) -> Any:
        figures = super().build_figures(query)
        if isinstance(figures, GatewayError):
            return figures
        return replace(figures, remote_path=("ledger",))


class OneErrorForTheGroup(FakeProvider):
    async def balances(self, queries: Any) -> Any:
        results = await super().balances(queries)
        for result in results:
            if isinstance(result, GatewayError):
                raise result
        return results


class ErrorWithoutAccount(FakeProvider):
    def build_figures(self, query: BalanceQuery) -> Any:
        figures = super().build_figures(query)
        return BadInput("No.") if isinstance(figures, GatewayError) else figures


class CallForEachAccount(FakeProvider):
    async def balances(self, queries: Any) -> Any:
        return [(await super(CallForEachAccount, self).balances([one]))[0] for one in queries]


class OtherCurrency(FakeProvider):
    def build_figures(self, query: BalanceQuery) -> Any:
        figures = super().build_figures(query)
        if isinstance(figures, GatewayError) or figures.ledger is None:
            return figures
        return replace(figures, ledger=Money(figures.ledger.minor_units, "USD"))


class ZeroOpening(FakeProvider):
    async def opening_balance(self, account: Account) -> Any:
        found = await super().opening_balance(account)
        return found or OpeningBalance(Money(0, "EUR"), None, OpeningBalanceSource.PROVIDER)


class DroppedMemo(FakeProvider):
    def store(self, write: OpeningBalanceWrite) -> OpeningBalance:
        return super().store(replace(write, memo=None))


class IgnoredMemo(FakeProvider):
    """Accepts a memo that it cannot store."""

    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        return await super().set_opening_balance(replace(write, memo=None))


class MovedDate(FakeProvider):
    def store(self, write: OpeningBalanceWrite) -> OpeningBalance:
        return super().store(replace(write, effective_at=OPENED_AT))


class AcceptsAnyCurrency(FakeProvider):
    async def set_opening_balance(self, write: OpeningBalanceWrite) -> OpeningBalance:
        amount = Money(write.amount.minor_units, write.account.currency)
        return await super().set_opening_balance(replace(write, amount=amount))


class WritesAllAccounts(FakeProvider):
    def store(self, write: OpeningBalanceWrite) -> OpeningBalance:
        opening = super().store(write)
        self.openings = dict.fromkeys(self.openings, opening)
        return opening


class WritesWithoutCapability(FakeProvider):
    def require(self, capability: Capability, *_: Any) -> None:
        pass


class IgnoresConfiguredSide(FakeProvider):
    async def normal_balance(self, account: Account) -> Side:
        return Side.DEBIT


class ProbeAlwaysSucceeds(FakeProvider):
    async def probe(self) -> None:
        self.calls += 1


class RaisesItsOwnError(FakeProvider):
    async def probe(self) -> None:
        self.calls += 1
        if self.is_stopped:
            raise ConnectionError("10.0.0.7 refused")


class QuotesTheSecret(FakeProvider):
    async def call(self) -> None:
        try:
            await super().call()
        except ProviderUnavailable as error:
            copy = with_account(error)
            copy.args = ("key-b7Q2-secret was refused",)
            raise copy from None


class NeverCloses(FakeProvider):
    async def aclose(self) -> None:
        await asyncio.Event().wait()


class BreaksWhenCancelled(FakeProvider):
    async def call(self) -> None:
        try:
            await super().call()
        except asyncio.CancelledError:
            self.is_stopped = True
            raise


class MixesConcurrentCalls(FakeProvider):
    current: Any = None

    async def balances(self, queries: Any) -> Any:
        self.current = queries
        await asyncio.sleep(0)
        return await super().balances(self.current)


class FeedsInAnotherOrder(FakeFeedProvider):
    async def bank_feeds(self, accounts: Any) -> Any:
        return (await super().bank_feeds(accounts))[::-1]


class CallForEachFeed(FakeFeedProvider):
    async def bank_feeds(self, accounts: Any) -> Any:
        return [(await super(CallForEachFeed, self).bank_feeds([one]))[0] for one in accounts]


class OneErrorForAllFeeds(FakeFeedProvider):
    async def bank_feeds(self, accounts: Any) -> Any:
        feeds = await super().bank_feeds(accounts)
        for feed in feeds:
            if isinstance(feed, GatewayError):
                raise feed
        return feeds


class FlippedFeedSign(FakeFeedProvider):
    def build_feed(self, account: Account) -> Any:
        feed = super().build_feed(account)
        if not isinstance(feed, BankFeed):
            return feed
        return replace(feed, latest=ReportedFigure(77, OPENED_AT))


class FeedsWithoutCapability(FakeFeedProvider):
    pass


ALL = frozenset(Capability)
WITHOUT_FEED = ALL - {Capability.READ_BANK_FEED}
WITHOUT_MEMO = ALL - {Capability.WRITE_MEMO}
FAULTS: list[tuple[type[FakeProvider], frozenset[Capability], str]] = [
    (WrongOrder, ALL, "test_results_are_in_the_order_of_the_queries"),
    (DropsDuplicates, ALL, "test_results_are_in_the_order_of_the_queries"),
    (FlippedSign, ALL, "test_money_owed_is_negative"),
    (FlippedSign, ALL, "test_figures_before_on_and_after_entries"),
    (InventedZero, READ_ONLY, "test_figures_before_on_and_after_entries"),
    (NoReason, ALL, "test_figures_before_on_and_after_entries"),
    (ReasonBesideTheFigure, ALL, "test_figures_before_on_and_after_entries"),
    (WrongReason, ALL, "test_figures_before_on_and_after_entries"),
    (NoReason, READ_ONLY, "test_figures_before_on_and_after_entries"),
    (WrongReason, READ_ONLY, "test_a_balance_without_the_capability_is_null"),
    (NoPath, ALL, "test_figures_say_what_they_count"),
    (OnePathForAll, ALL, "test_figures_say_what_they_count"),
    (OneErrorForTheGroup, ALL, "test_an_unknown_account_fails_alone"),
    (ErrorWithoutAccount, ALL, "test_an_unknown_account_fails_alone"),
    (CallForEachAccount, ALL, "test_a_group_is_read_with_one_call"),
    (OtherCurrency, ALL, "test_figures_before_on_and_after_entries"),
    (ZeroOpening, ALL, "test_opening_balance_is_read_or_unsupported"),
    (DroppedMemo, ALL, "test_notes_are_stored_or_refused"),
    (IgnoredMemo, WITHOUT_MEMO, "test_notes_are_stored_or_refused"),
    (MovedDate, ALL, "test_effective_date_is_honoured_or_refused"),
    (AcceptsAnyCurrency, ALL, "test_amount_in_another_currency_is_never_sent"),
    (WritesAllAccounts, ALL, "test_a_write_changes_no_other_account"),
    (WritesWithoutCapability, READ_ONLY, "test_written_amount_is_stored_and_can_be_read_back"),
    (IgnoresConfiguredSide, ALL, "test_normal_side_is_the_configured_one"),
    (ProbeAlwaysSucceeds, ALL, "test_a_lost_backend_is_an_error_of_every_call"),
    (RaisesItsOwnError, ALL, "test_a_lost_backend_is_an_error_of_every_call"),
    (QuotesTheSecret, ALL, "test_a_lost_backend_is_an_error_of_every_call"),
    (NeverCloses, ALL, "test_closing_twice_does_not_hang"),
    (BreaksWhenCancelled, ALL, "test_a_cancelled_call_leaves_the_provider_usable"),
    (MixesConcurrentCalls, ALL, "test_concurrent_calls_give_the_same_results"),
    (FeedsInAnotherOrder, ALL, "test_bank_feeds_of_a_group_are_read_with_one_call_in_order"),
    (CallForEachFeed, ALL, "test_bank_feeds_of_a_group_are_read_with_one_call_in_order"),
    (OneErrorForAllFeeds, ALL, "test_bank_feed_of_an_unknown_account_fails_alone"),
    (FlippedFeedSign, ALL, "test_bank_feeds_of_a_group_are_read_with_one_call_in_order"),
    (FeedsWithoutCapability, WITHOUT_FEED, "test_bank_feeds_are_offered_with_the_capability_only"),
    (FakeProvider, ALL, "test_bank_feeds_are_offered_with_the_capability_only"),
]


@pytest.mark.usefixtures("only_new_garbage")
@pytest.mark.parametrize(
    ("provider", "capabilities", "name"),
    FAULTS,
    ids=[f"{provider.__name__}-{name}" for provider, _, name in FAULTS],
)
async def test_a_broken_provider_fails(
    provider: type[FakeProvider],
    capabilities: frozenset[Capability],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(test_contract, "HANG_S", 0.05)
    case = FakeCase(capabilities, provider)

    with pytest.raises((AssertionError, GatewayError, ConnectionError, pytest.fail.Exception)):
        await run_check(name, case)
