"""The contract of ``ports/providers.py``, checked for every provider.

It names no provider: a provider takes part by its ``contract_case.py``; see ``contract.py``. The
capabilities decide what is expected of it. ``test_contract_suite.py`` shows that broken providers
fail here.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Hashable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest

from balance_gateway.domain.accounts import Account, Capability, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    BalanceQuery,
    MissingReason,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.bank_feeds import BankFeed
from balance_gateway.domain.errors import (
    BadInput,
    GatewayError,
    ProviderError,
    SideUnknown,
    Unsupported,
)
from balance_gateway.domain.money import Money
from balance_gateway.ports.bank_feeds import BankFeedReader
from balance_gateway.ports.providers import BalanceProvider
from tests.providers.conftest import assert_contains_no_secret
from tests.providers.contract import OpenProvider, ProviderCase, find_cases, list_rooms

CASES = find_cases()
Result = BalanceFigures | GatewayError

#: Seconds that a close may take before it counts as hanging.
HANG_S = 10


@pytest.fixture(
    params=[each for case in CASES for each in (case, *case.variants)],
    ids=lambda case: case.title,
)
def case(request: pytest.FixtureRequest) -> ProviderCase:
    found: ProviderCase = request.param
    return found


@pytest.fixture
async def opened(case: ProviderCase, request: pytest.FixtureRequest) -> AsyncIterator[OpenProvider]:
    async with case.open(request) as found:
        yield found


# --- what the tests share ------------------------------------------------------------------------


async def read_balances(provider: BalanceProvider, queries: Sequence[BalanceQuery]) -> list[Result]:
    """Read each group with one call, as callers do; return the results in the queries' order."""
    groups: dict[Hashable, list[int]] = {}
    for index, query in enumerate(queries):
        try:
            group_key = provider.balance_group(query)
        except GatewayError:
            # Such a query is called, and fails, alone.
            group_key = ("alone", index)
        groups.setdefault(group_key, []).append(index)
    results: dict[int, Result] = {}
    for indexes in groups.values():
        group = [queries[index] for index in indexes]
        try:
            answers: Sequence[Result] = await provider.balances(group)
        except GatewayError as error:
            answers = [error] * len(group)
        results.update(zip(indexes, answers, strict=True))
    return [results[index] for index in range(len(queries))]


async def read_balance(provider: BalanceProvider, account: Account, day: date) -> Result:
    [result] = await read_balances(provider, [BalanceQuery(account, day)])
    return result


def assert_figures(result: Result, expected: BalanceFigures | None, account: Account) -> None:
    """Compare a result with the expected figures; without any, an error is right too.

    Reasons are compared where the case expects one, and must in any case explain what is None.
    """
    if expected is None or (expected.bank is None and expected.ledger is None):
        if isinstance(result, GatewayError):
            assert result.account_id == account.id
            return
        assert (result.bank, result.ledger) == (None, None)
        assert_reasons(result, expected)
        return
    assert isinstance(result, BalanceFigures)
    shown = (result.as_of, result.bank, result.ledger)
    assert shown == (expected.as_of, expected.bank, expected.ledger)
    assert_reasons(result, expected)
    for amount in (expected.bank, expected.ledger):
        assert amount is None or amount.currency == account.currency


def assert_reasons(result: BalanceFigures, expected: BalanceFigures | None) -> None:
    """Fail unless exactly the balances that are None have a reason, and as expected."""
    assert (result.bank is None) is (result.bank_missing is not None)
    assert (result.ledger is None) is (result.ledger_missing is not None)
    assert (result.difference is None) is (result.difference_missing is not None)
    if expected is not None and expected.bank_missing is not None:
        assert result.bank_missing is expected.bank_missing
    if expected is not None and expected.ledger_missing is not None:
        assert result.ledger_missing is expected.ledger_missing


def assert_is_safe(error: BaseException, opened: OpenProvider) -> None:
    """Fail unless it is an error of the gateway without any of the backend's texts."""
    assert isinstance(error, GatewayError)
    assert error.message
    assert_contains_no_secret(error)
    shown = f"{error!s} {error!r} {error.message}"
    assert not [text for text in opened.private_texts if text in shown]


def build_write(
    case: ProviderCase, account: Account, minor_units: int, **changes: object
) -> OpeningBalanceWrite:
    chooses = Capability.CHOOSE_EFFECTIVE_AT in case.capabilities
    at = case.effective_at if chooses else None
    write = OpeningBalanceWrite(account, Money(minor_units, account.currency), at)
    return replace(write, **changes)  # type: ignore[arg-type]


async def read_stored_amounts(case: ProviderCase, opened: OpenProvider) -> list[Money | None]:
    stored = [await opened.read_stored(account) for account in case.accounts]
    return [None if opening is None else opening.amount for opening in stored]


async def assert_write_is_refused(
    case: ProviderCase, opened: OpenProvider, write: OpeningBalanceWrite
) -> GatewayError:
    """Fail unless the write is refused as bad input or unsupported, and changes nothing."""
    before = await read_stored_amounts(case, opened)
    with pytest.raises((BadInput, Unsupported)) as caught:
        await opened.provider.set_opening_balance(write)
    assert_is_safe(caught.value, opened)
    assert caught.value.account_id == write.account.id
    assert await read_stored_amounts(case, opened) == before
    if Capability.WRITE_OPENING_BALANCE not in case.capabilities:
        assert isinstance(caught.value, Unsupported)
    return caught.value


# --- discovery -----------------------------------------------------------------------------------


def test_every_provider_has_a_case() -> None:
    assert sorted(case.kind.value for case in CASES) == list_rooms()
    folders = [type(case).__module__.split(".")[-2] for case in CASES]
    assert folders == [case.kind.value for case in CASES]


# --- kind and capabilities -----------------------------------------------------------------------


async def test_kind_and_capabilities_are_as_documented(
    case: ProviderCase, opened: OpenProvider
) -> None:
    provider = opened.provider

    assert provider.kind is case.kind
    assert provider.connector
    assert provider.capabilities == case.capabilities
    reads = {Capability.READ_BANK_BALANCE, Capability.READ_LEDGER_BALANCE}
    assert provider.capabilities & reads


# --- balances ------------------------------------------------------------------------------------


async def test_figures_before_on_and_after_entries(
    case: ProviderCase, opened: OpenProvider
) -> None:
    assert list(case.days) == sorted(set(case.days))
    for account in case.accounts:
        for day in case.days:
            result = await read_balance(opened.provider, account, day)

            assert_figures(result, opened.expect(account, day), account)


async def test_a_balance_without_the_capability_is_null(
    case: ProviderCase, opened: OpenProvider
) -> None:
    result = await read_balance(opened.provider, case.operating, case.days[-1])

    assert isinstance(result, BalanceFigures)
    shown = {
        Capability.READ_BANK_BALANCE: result.bank,
        Capability.READ_LEDGER_BALANCE: result.ledger,
    }
    for capability, amount in shown.items():
        assert (amount is not None) is (capability in case.capabilities)
    reasons = {
        Capability.READ_BANK_BALANCE: result.bank_missing,
        Capability.READ_LEDGER_BALANCE: result.ledger_missing,
    }
    for capability, reason in reasons.items():
        assert capability in case.capabilities or reason is MissingReason.NOT_OFFERED


async def test_figures_say_what_they_count(case: ProviderCase, opened: OpenProvider) -> None:
    """A total counts each money once by the path: equal for the same account under another id."""
    again = replace(case.operating, id="acct_again")
    day = case.days[-1]
    results = await read_balances(
        opened.provider, [BalanceQuery(one, day) for one in (*case.group, again)]
    )

    *paths, path_again = [
        result.remote_path if isinstance(result, BalanceFigures) else () for result in results
    ]
    for path in paths:
        assert path
        assert not [each for each in paths if each != path and each == path[: len(each)]]
    assert len(set(paths)) == len(set(case.group))
    if case.operating.remote:
        [operating] = await read_balances(opened.provider, [BalanceQuery(case.operating, day)])
        assert isinstance(operating, BalanceFigures)
        assert path_again == operating.remote_path
    else:
        assert path_again not in paths


async def test_money_owed_is_negative(case: ProviderCase, opened: OpenProvider) -> None:
    result = await read_balance(opened.provider, case.owed, case.owed_day)

    assert isinstance(result, BalanceFigures)
    amounts = [amount for amount in (result.bank, result.ledger) if amount is not None]
    assert amounts
    assert all(amount.minor_units < 0 for amount in amounts)


async def test_results_are_in_the_order_of_the_queries(
    case: ProviderCase, opened: OpenProvider
) -> None:
    """In both orders, with duplicates, in one group and over several groups and days."""
    day = case.days[-1]
    once = [BalanceQuery(account, day) for account in case.group]
    group = [*once, *reversed(once), once[0]]
    assert len({opened.provider.balance_group(query) for query in group}) == 1
    everything = [BalanceQuery(one, day) for day in case.days for one in case.accounts]

    together = await opened.provider.balances(group)
    for queries, results in (
        (group, together),
        (everything[::-1], await read_balances(opened.provider, everything[::-1])),
    ):
        assert len(results) == len(queries)
        for query, result in zip(queries, results, strict=True):
            assert_figures(result, opened.expect(query.account, query.as_of), query.account)


async def test_equal_queries_are_one_group(case: ProviderCase, opened: OpenProvider) -> None:
    for account in case.accounts:
        for day in case.days:
            query = BalanceQuery(account, day)
            equal = BalanceQuery(replace(account), day)
            group = opened.provider.balance_group(query)

            assert group == opened.provider.balance_group(equal)
            assert hash(group) == hash(opened.provider.balance_group(equal))


async def test_a_group_is_read_with_one_call(case: ProviderCase, opened: OpenProvider) -> None:
    queries = [BalanceQuery(account, case.days[-1]) for account in (*case.group, *case.group)]
    await opened.provider.balances(queries[:1])
    before = None if opened.count_calls is None else opened.count_calls()

    results = await opened.provider.balances(queries)

    assert all(isinstance(result, BalanceFigures) for result in results)
    if opened.count_calls is not None:
        assert opened.count_calls() == (before or 0) + 1


async def test_an_unknown_account_fails_alone(case: ProviderCase, opened: OpenProvider) -> None:
    day = case.days[-1]
    if case.unknown is None:
        never_seen = replace(case.operating, id="acct_never_seen")
        assert not isinstance(await read_balance(opened.provider, never_seen, day), GatewayError)
        return
    accounts = (case.unknown, case.operating, case.unknown, *case.group)

    results = await read_balances(opened.provider, [BalanceQuery(one, day) for one in accounts])

    for account, result in zip(accounts, results, strict=True):
        if account is case.unknown:
            assert isinstance(result, GatewayError)
            assert result.account_id == account.id
            assert_is_safe(result, opened)
        else:
            assert_figures(result, opened.expect(account, day), account)


async def test_first_and_last_calendar_day_are_figures_or_errors(
    case: ProviderCase, opened: OpenProvider
) -> None:
    for day in (date.min, date.max):
        result = await read_balance(opened.provider, case.operating, day)

        if isinstance(result, GatewayError):
            assert_is_safe(result, opened)
        else:
            assert result.as_of == day


# --- normal side ---------------------------------------------------------------------------------


async def test_normal_side_is_the_configured_one(case: ProviderCase, opened: OpenProvider) -> None:
    assert case.owed.normal_balance is None
    for side in Side:
        configured = replace(case.owed, normal_balance=side)

        assert await opened.provider.normal_balance(configured) is side
    assert opened.count_calls is None or opened.count_calls() == 0
    if case.owed_side is not None:
        assert await opened.provider.normal_balance(case.owed) is case.owed_side
        return
    with pytest.raises(SideUnknown, match="normal_balance") as caught:
        await opened.provider.normal_balance(case.owed)
    assert caught.value.account_id == case.owed.id
    assert_is_safe(caught.value, opened)


# --- opening balance -----------------------------------------------------------------------------


async def test_opening_balance_is_read_or_unsupported(
    case: ProviderCase, opened: OpenProvider
) -> None:
    if Capability.READ_OPENING_BALANCE not in case.capabilities:
        with pytest.raises(Unsupported) as caught:
            await opened.provider.opening_balance(case.operating)
        assert caught.value.account_id == case.operating.id
        assert_is_safe(caught.value, opened)
        return
    for account in (case.operating, case.owed):
        opening = await opened.provider.opening_balance(account)
        stored = await opened.read_stored(account)

        assert opening is not None
        assert stored is not None
        assert (opening.amount, opening.effective_at) == (stored.amount, stored.effective_at)
        assert opening.source is OpeningBalanceSource.PROVIDER
        assert account is not case.operating or opening.amount == case.opening
    assert case.unset is not None
    assert await opened.provider.opening_balance(case.unset) is None


async def test_opening_balance_is_derived_only_from_a_configured_day(
    case: ProviderCase, opened: OpenProvider
) -> None:
    if case.derive_as_of is None:
        # A stored opening balance, or none at all, is not replaced by a balance of some day.
        configured = replace(case.operating, derive_opening_balance_as_of=case.days[-1])
        if Capability.READ_OPENING_BALANCE in case.capabilities:
            opening = await opened.provider.opening_balance(configured)
            assert opening is not None
            assert opening.source is OpeningBalanceSource.PROVIDER
        else:
            with pytest.raises(Unsupported):
                await opened.provider.opening_balance(configured)
        return
    configured = replace(case.operating, derive_opening_balance_as_of=case.derive_as_of)

    opening = await opened.provider.opening_balance(configured)

    assert opening is not None
    stored = await opened.read_stored(case.operating)
    assert stored is not None
    assert opening.amount == stored.amount == case.opening
    assert (opening.source, opening.effective_at) == (OpeningBalanceSource.DERIVED, None)


async def test_written_amount_is_stored_and_can_be_read_back(
    case: ProviderCase, opened: OpenProvider
) -> None:
    accounts = (case.operating, case.owed, case.unset or case.operating)
    if Capability.WRITE_OPENING_BALANCE not in case.capabilities:
        for account in accounts:
            await assert_write_is_refused(case, opened, build_write(case, account, 1))
        return
    amounts = (0, 1, -1, 123_456_78, 2**53 + 1, -(2**53) - 1)
    for account, minor_units in product(accounts, amounts):
        write = build_write(case, account, minor_units)

        answered = await opened.provider.set_opening_balance(write)

        stored = await opened.read_stored(account)
        assert stored is not None
        assert answered.amount == stored.amount == write.amount
        assert answered.source is OpeningBalanceSource.PROVIDER
        assert (answered.memo, answered.reference_number) == (None, None)
        if write.effective_at is not None:
            assert answered.effective_at == stored.effective_at == write.effective_at
        if Capability.READ_OPENING_BALANCE in case.capabilities:
            opening = await opened.provider.opening_balance(account)
            assert opening is not None
            assert opening.amount == write.amount
            assert opening.effective_at == answered.effective_at


async def test_a_write_changes_no_other_account(case: ProviderCase, opened: OpenProvider) -> None:
    before = await read_stored_amounts(case, opened)
    if Capability.WRITE_OPENING_BALANCE not in case.capabilities:
        await assert_write_is_refused(case, opened, build_write(case, case.owed, 1))
        return

    await opened.provider.set_opening_balance(build_write(case, case.owed, -4242))

    before[case.accounts.index(case.owed)] = Money(-4242, case.owed.currency)
    assert await read_stored_amounts(case, opened) == before


async def test_amount_in_another_currency_is_never_sent(
    case: ProviderCase, opened: OpenProvider
) -> None:
    assert case.operating.currency != "CHF"
    write = build_write(case, case.operating, 1, amount=Money(1, "CHF"))
    calls = None if opened.count_calls is None else opened.count_calls()

    error = await assert_write_is_refused(case, opened, write)

    assert calls is None or opened.count_calls is None or opened.count_calls() == calls
    if Capability.WRITE_OPENING_BALANCE in case.capabilities:
        assert isinstance(error, BadInput)
        assert (error.field or "").split(".")[0] == "amount"


async def test_notes_are_stored_or_refused(case: ProviderCase, opened: OpenProvider) -> None:
    for field, attribute in (("memo", "memo"), ("referenceNumber", "reference_number")):
        write = build_write(case, case.operating, 4242, **{attribute: "Opening 2026"})
        if Capability.WRITE_MEMO not in case.capabilities:
            error = await assert_write_is_refused(case, opened, write)
            assert isinstance(error, Unsupported)
            if Capability.WRITE_OPENING_BALANCE in case.capabilities:
                assert error.field == field
            continue

        answered = await opened.provider.set_opening_balance(write)

        assert getattr(answered, attribute) == "Opening 2026"
        opening = await opened.provider.opening_balance(case.operating)
        assert opening is not None
        assert getattr(opening, attribute) == "Opening 2026"


async def test_effective_date_is_honoured_or_refused(
    case: ProviderCase, opened: OpenProvider
) -> None:
    at = datetime(2025, 12, 3, 16, 45, tzinfo=UTC)
    write = build_write(case, case.operating, 4242, effective_at=at)
    if Capability.CHOOSE_EFFECTIVE_AT not in case.capabilities:
        error = await assert_write_is_refused(case, opened, write)
        if Capability.WRITE_OPENING_BALANCE in case.capabilities:
            assert isinstance(error, BadInput)
            assert error.field == "effectiveAt"
        return

    answered = await opened.provider.set_opening_balance(write)

    stored = await opened.read_stored(case.operating)
    assert stored is not None
    assert answered.effective_at == stored.effective_at == at


# --- bank feed -----------------------------------------------------------------------------------


async def test_bank_feeds_are_offered_with_the_capability_only(
    case: ProviderCase, opened: OpenProvider
) -> None:
    offers = Capability.READ_BANK_FEED in case.capabilities

    assert isinstance(opened.provider, BankFeedReader) is offers
    assert (opened.expect_feed is not None) is offers


async def test_bank_feeds_of_a_group_are_read_with_one_call_in_order(
    case: ProviderCase, opened: OpenProvider
) -> None:
    provider, expect = opened.provider, opened.expect_feed
    if not isinstance(provider, BankFeedReader) or expect is None:
        assert Capability.READ_BANK_FEED not in case.capabilities
        return
    accounts = [*case.group, *reversed(case.group), case.group[0]]
    assert len({provider.bank_feed_group(account) for account in accounts}) == 1
    # A copy is the same account.
    assert provider.bank_feed_group(replace(accounts[0])) == provider.bank_feed_group(accounts[0])
    await provider.bank_feeds(accounts[:1])
    before = None if opened.count_calls is None else opened.count_calls()

    feeds = await provider.bank_feeds(accounts)

    assert list(feeds) == [expect(account) for account in accounts]
    assert any(isinstance(feed, BankFeed) and feed.latest is not None for feed in feeds)
    if opened.count_calls is not None:
        assert opened.count_calls() == (before or 0) + 1


async def test_bank_feed_of_an_unknown_account_fails_alone(
    case: ProviderCase, opened: OpenProvider
) -> None:
    provider, expect = opened.provider, opened.expect_feed
    if not isinstance(provider, BankFeedReader) or expect is None or case.unknown is None:
        return
    feeds = await provider.bank_feeds([case.unknown, *case.group])

    assert isinstance(feeds[0], GatewayError)
    assert feeds[0].account_id == case.unknown.id
    assert_is_safe(feeds[0], opened)
    assert list(feeds[1:]) == [expect(account) for account in case.group]


# --- failures, closing, concurrency --------------------------------------------------------------


async def test_probe_succeeds(case: ProviderCase, opened: OpenProvider) -> None:
    await opened.provider.probe()

    assert opened.count_calls is None or opened.count_calls() == 1


async def test_a_lost_backend_is_an_error_of_every_call(
    case: ProviderCase, opened: OpenProvider
) -> None:
    provider = opened.provider
    await opened.stop_backend()

    with pytest.raises(GatewayError) as probe:
        await provider.probe()
    assert_is_safe(probe.value, opened)
    result = await read_balance(provider, case.operating, case.days[-1])
    assert isinstance(result, ProviderError)
    assert not result.maybe_applied
    assert result.provider == case.kind.name
    assert_is_safe(result, opened)
    if isinstance(provider, BankFeedReader):
        with pytest.raises(ProviderError) as feed:
            await provider.bank_feeds([case.operating])
        assert_is_safe(feed.value, opened)
    if Capability.READ_OPENING_BALANCE in case.capabilities:
        with pytest.raises(ProviderError) as read:
            await provider.opening_balance(case.operating)
        assert_is_safe(read.value, opened)
    if Capability.WRITE_OPENING_BALANCE in case.capabilities:
        with pytest.raises(ProviderError) as write:
            await provider.set_opening_balance(build_write(case, case.operating, 1))
        assert_is_safe(write.value, opened)


async def test_closing_twice_does_not_hang(case: ProviderCase, opened: OpenProvider) -> None:
    """After use; the other tests' providers are closed once, some of them unused."""
    result = await read_balance(opened.provider, case.operating, case.days[-1])
    assert isinstance(result, BalanceFigures)

    closing = [asyncio.create_task(opened.provider.aclose()) for _ in range(2)]
    done, pending = await asyncio.wait(closing, timeout=HANG_S)

    assert not pending
    assert [task.exception() for task in done] == [None, None]


async def test_concurrent_calls_give_the_same_results(
    case: ProviderCase, opened: OpenProvider
) -> None:
    queries = [BalanceQuery(one, day) for day in case.days for one in case.accounts] * 2

    results = await asyncio.gather(
        *(read_balance(opened.provider, query.account, query.as_of) for query in queries)
    )

    for query, result in zip(queries, results, strict=True):
        assert_figures(result, opened.expect(query.account, query.as_of), query.account)


async def cancel_after(steps: int, call: Coroutine[Any, Any, object]) -> None:
    """Cancel the call after a number of steps of the event loop, and wait for its end."""
    task = asyncio.create_task(call)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        assert task.exception() is None


async def test_a_cancelled_call_leaves_the_provider_usable(
    case: ProviderCase, opened: OpenProvider
) -> None:
    provider, day = opened.provider, case.days[-1]
    writes = Capability.WRITE_OPENING_BALANCE in case.capabilities
    for steps in (0, 1, 2, 3, 5, 8, 13, 21, 34):
        await cancel_after(steps, read_balance(provider, case.operating, day))
        result = await read_balance(provider, case.owed, day)
        assert_figures(result, opened.expect(case.owed, day), case.owed)
        if writes:
            write = build_write(case, case.operating, 4200 + steps)
            await cancel_after(steps, provider.set_opening_balance(write))
    if writes:
        # After a cancelled write, the next one is stored.
        write = build_write(case, case.operating, 77)
        assert (await provider.set_opening_balance(write)).amount == write.amount
        stored = await opened.read_stored(case.operating)
        assert stored is not None
        assert stored.amount == write.amount
