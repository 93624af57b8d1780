"""Whatever ends the truth of a response, the next one is again that of graphql-core."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from balance_gateway.domain.calendar_days import day_end_exclusive, today
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.domain.health import ConnectorStatus, HealthState
from tests.api.compiled.gateway_harness import START
from tests.api.compiled.random_history import ADMIN, DOCUMENTS, History, without_early_refresh
from tests.api.compiled.scripted_parts import ACCOUNTS
from tests.api.compiled.whole_gateway import WholeGateway, open_worlds

Event = Callable[[History], Awaitable[None]]


def wait(seconds: float) -> Event:
    async def act(history: History) -> None:
        history.fast.clock.now += timedelta(seconds=seconds)

    return act


def pass_midnight(account_id: str) -> Event:
    async def act(history: History) -> None:
        zone = ACCOUNTS[account_id].time_zone
        midnight = day_end_exclusive(today(history.fast.now, zone), zone)
        # Kept so shortly before that no value expires earlier.
        history.fast.clock.now = midnight - timedelta(seconds=5)
        for query, variables in DOCUMENTS:
            for _ in range(3):
                await history.compare(query, variables, ADMIN)
        history.fast.clock.now = midnight

    return act


def read_newer(selection: str) -> Event:
    """Another request reads a value that is newer than the cached one."""

    async def act(history: History) -> None:
        await history.apply("new values", lambda world: world.write_outside("a0", 7))
        await history.compare(f'{{ bankAccount(id: "a0") {{ {selection} }} }}', {}, ADMIN)

    return act


def lose_provider(seconds: float) -> Event:
    async def act(history: History) -> None:
        for connector in history.fast.providers:
            ids = {each.id for each in ACCOUNTS.values() if each.connector == connector}
            await history.apply(
                f"{connector} fails",
                lambda world, name=connector, ids=ids: setattr(
                    world.providers[name], "failing_ids", ids
                ),
            )
        await wait(seconds)(history)

    return act


def set_opening_balance(account_id: str, mode: str = "apply") -> Event:
    async def act(history: History) -> None:
        account = ACCOUNTS[account_id]
        if account.connector in history.fast.providers:
            await history.apply(
                mode, lambda world: setattr(world.find_provider(account_id), "write_mode", mode)
            )
        amount = f'{{minorUnits: "77", currency: "{account.currency}"}}'
        arguments = f'input: {{accountId: "{account_id}", amount: {amount}}}'
        await history.compare(
            f"mutation {{ upsertOpeningBalance({arguments}) {{ __typename ... on WriteOutcome"
            " { writeId message } ... on OpeningBalanceApplied { bankAccount { id name"
            " balance { ledger { amount } } openingBalance { amount { amount } } } } } }",
            {},
            ADMIN,
        )

    return act


async def settle(history: History) -> None:
    await set_opening_balance("a8", "lose")(history)
    for query, variables in DOCUMENTS:
        await history.compare(query, variables, ADMIN)
    [write] = await history.core.journal.unsettled()
    await history.compare(
        f'mutation {{ settleOpeningBalanceWrite(writeId: "{write.intent.id}", as: APPLIED, note:'
        ' "seen") { ... on OpeningBalanceWriteSettled { write { outcome settlement { how } } } } }',
        {},
        ADMIN,
    )


def change(text: str, act: Callable[[WholeGateway], Awaitable[object] | None]) -> Event:
    async def apply(history: History) -> None:
        await history.apply(text, act)

    return apply


def change_health(world: WholeGateway) -> None:
    world.watch.statuses["main"] = ConnectorStatus(
        HealthState.DOWN, None, START, ErrorCode.PROVIDER_TIMEOUT
    )


def learn_sides(world: WholeGateway) -> None:
    for provider in world.providers.values():
        provider.known_sides |= ACCOUNTS.keys()


async def write_in_flight(history: History) -> None:
    """A write of another process is raised and not lowered: nothing of the account is kept."""
    await history.apply("begins", lambda world: world.reads.begin_write(ACCOUNTS["a0"], "outside"))
    await history.apply("new values", lambda world: world.write_outside("a0", 7))


EVENTS: dict[str, dict[str, Event]] = {
    "time": {
        "a moment": wait(0.004),
        "a second": wait(1),
        "the lifetime of today": wait(30),
        "the lifetime of a past day": wait(600),
        "the lifetime of an opening balance": wait(3600),
        "two days": wait(200_000),
        "midnight in UTC": pass_midnight("a0"),
        "midnight in Tokyo": pass_midnight("a1"),
        "midnight in New York": pass_midnight("a2"),
    },
    "values": {
        "a newer balance": read_newer("balance(maxAgeSeconds: 0) { asOf }"),
        "a newer balance of a past day": read_newer(
            'balance(asOf: "2026-05-06", maxAgeSeconds: 0) { asOf }'
        ),
        "a failing provider": lose_provider(0),
        "a failing provider with stale values": lose_provider(40),
        "a failing provider without values": lose_provider(200_000),
        "sides that are read": change("sides", learn_sides),
        "another health": change("health", change_health),
        "a call from the budget": change("call", lambda w: w.budget_used.update({"main": 1})),
    },
    "writes": {
        "a write": set_opening_balance("a0"),
        "a write of another account in the business": set_opening_balance("a10"),
        "a write to the embedded ledger": set_opening_balance("a13"),
        "a settled write": settle,
        "a write that stays uncertain": set_opening_balance("a8", "lose"),
        "a write in flight": write_in_flight,
        "an import": change("import", lambda w: w.import_entries("a13", 5, other_process=False)),
        "an import by another process": change(
            "import", lambda w: w.import_entries("a13", 6, other_process=True)
        ),
        "an opening balance from another process": change(
            "set", lambda w: w.change_opening_outside("a13", 5)
        ),
    },
}


async def keep_and_compare(history: History, name: str, event: Event) -> None:
    """Let responses be kept, let the event happen, and compare them all again."""
    history.log(f"--- {name}")
    for query, variables in DOCUMENTS:
        for _ in range(3):
            await history.compare(query, variables, ADMIN)
    await event(history)
    for query, variables in DOCUMENTS:
        await history.compare(query, variables, ADMIN)


@pytest.mark.parametrize("kind", EVENTS)
async def test_after_an_event_every_response_is_that_of_graphql_core(kind: str) -> None:
    with without_early_refresh():
        async with open_worlds(2) as (fast, core):
            history = History(0, fast, core)
            for name, event in EVENTS[kind].items():
                built = fast.built
                await keep_and_compare(history, name, event)
                assert fast.built > built, f"nothing was kept before {name}"
                # No value is fresh, and no provider fails, when the next event comes.
                await wait(100_000)(history)
                for world in (fast, core):
                    for provider in world.providers.values():
                        provider.failing_ids, provider.write_mode = set(), "apply"
