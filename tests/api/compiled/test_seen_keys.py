"""What is sent once is not kept, and what is remembered of it is bounded."""

from balance_gateway.api.compiled.seen_keys import SeenKeys
from tests.api.compiled.gateway_harness import GatewayHarness

QUERY = '{ bankAccount(id: "a0") { balance { asOf ledger { minorUnits } } } }'


def test_a_key_is_remembered_for_half_of_the_limit_at_least() -> None:
    seen = SeenKeys(keys_max=100)
    first = seen.note("a")
    others = [seen.note(number) for number in range(49)]
    again = seen.note("a")
    for number in range(100, 200):
        seen.note(number)

    assert (first, again) == (False, True)
    assert not any(others)
    assert len(seen) <= 100
    assert not seen.note("a")


def test_a_key_that_is_used_stays_known() -> None:
    seen = SeenKeys(keys_max=10)
    seen.note("a")
    for number in range(100):
        seen.note(number)
        assert seen.note("a"), number


async def test_a_response_is_kept_from_the_second_time_on() -> None:
    harness = GatewayHarness()
    engine = harness.compiled
    counts = []
    for _ in range(3):
        await harness.send(engine, QUERY)
        counts.append(len(engine._kept_responses))
    for number in range(300):
        await harness.send(engine, QUERY + " " * number)

    assert counts == [0, 1, 1]
    assert len(engine._kept_responses) == 1


async def test_a_response_that_was_kept_is_kept_again_after_a_change() -> None:
    harness = GatewayHarness()
    engine = harness.compiled
    for _ in range(2):
        await harness.send(engine, QUERY)
    for number in range(10_000):
        engine._kept_responses._seen.note(number)
    await harness.write("a0")

    await harness.send(engine, QUERY)

    assert len(engine._kept_responses) == 1
