"""Nobody is told an older value after a newer one, and nothing else is forgotten for that."""

import orjson

from balance_gateway.api.request.context import Caller
from balance_gateway.pipeline.cache.cache_store import MemoryStore
from balance_gateway.pipeline.cache.fence import MemoryFences
from tests.api.fast_path.gateway_harness import READER, BookProvider, World
from tests.pipeline.fakes import LostFences

PLAIN = "{ balance { ledger { amount } } }"
ANEW = "{ balance(maxAgeSeconds: 0) { ledger { amount } } }"


class SharedFences(LostFences):
    """Fences that other processes change as well."""

    @property
    def nonces(self) -> None:
        return None


async def amount(world: World, account: str, selection: str = PLAIN) -> str:
    """What is told of an account's balance."""
    query = f'{{ bankAccount(id: "{account}") {selection} }}'
    answer = orjson.loads(await world.answer(world.compiled, query))
    return str(answer["data"]["bankAccount"]["balance"]["ledger"]["amount"])


async def test_after_a_newer_value_was_shown_no_fragment_brings_the_older_back() -> None:
    world = World()
    older = [await amount(world, "a0") for _ in range(3)]
    world.provider.shift += 100

    newer = await amount(world, "a0", ANEW)

    assert newer not in older
    assert [await amount(world, "a0") for _ in range(3)] == [newer] * 3


async def test_a_value_read_anew_ends_what_holds_it_and_nothing_else() -> None:
    world = World()
    for account in ("a0", "a1", "a2"):
        for _ in range(2):
            await amount(world, account)
    bodies = [body for _, body in world.compiled._remembered]

    await amount(world, "a1", ANEW)

    recalled = [world.compiled.cached_response(body, Caller(READER, "request")) for body in bodies]
    assert [answer is not None for answer in recalled] == [True, False, True]


async def test_a_value_read_anew_leaves_the_accounts_other_days_alone() -> None:
    world = World()
    past = '{ balance(asOf: "2026-05-01") { ledger { amount } } }'
    for selection in (PLAIN, past, past):
        await amount(world, "a0", selection)
    body = next(reversed(world.compiled._remembered))[1]

    await amount(world, "a0", ANEW)

    assert world.compiled.cached_response(body, Caller(READER, "request")) is not None


async def test_what_was_made_of_values_that_were_read_while_one_was_replaced_is_not_kept() -> None:
    world = World()
    both = '{ balance { ledger { amount } } other: balance(asOf: "2026-05-01") { asOf } }'
    await amount(world, "a0", both)
    world.provider.shift += 100
    newer = await amount(world, "a0", ANEW)

    assert [await amount(world, "a0", both) for _ in range(3)] == [newer] * 3


async def test_another_replicas_newer_value_is_not_followed_by_an_older_fragment() -> None:
    provider, values, fences = BookProvider(), MemoryStore(100), SharedFences(MemoryFences(30.0))
    here = World(provider=provider, values=values, fences=fences)
    there = World(provider=provider, values=values, fences=fences)
    older = [await amount(here, "a0") for _ in range(3)]
    provider.shift += 100

    newer = await amount(there, "a0", ANEW)

    assert newer not in older
    assert [await amount(here, "a0") for _ in range(3)] == [newer] * 3
