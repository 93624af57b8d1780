"""No response shows an older value after a newer one, and unrelated entries stay cached."""

import orjson

from balance_gateway.api.request.context import Caller
from tests.api.compiled.gateway_harness import READER, GatewayHarness

PLAIN = "{ balance { ledger { amount } } }"
UNCACHED = "{ balance(maxAgeSeconds: 0) { ledger { amount } } }"


async def read_amount(harness: GatewayHarness, account: str, selection: str = PLAIN) -> str:
    """Request an account's balance and return the ledger amount."""
    query = f'{{ bankAccount(id: "{account}") {selection} }}'
    response = orjson.loads(await harness.send(harness.compiled, query))
    return str(response["data"]["bankAccount"]["balance"]["ledger"]["amount"])


async def test_cached_account_json_never_shows_an_older_value_after_a_newer_one() -> None:
    """The JSON of the older value is still fresh when ``maxAgeSeconds: 0`` reads a newer one.

    Later requests without ``maxAgeSeconds`` must not use the older JSON.
    """
    harness = GatewayHarness()
    older = [await read_amount(harness, "a0") for _ in range(4)]
    harness.provider.offset += 100

    newer = await read_amount(harness, "a0", UNCACHED)

    assert newer not in older
    assert [await read_amount(harness, "a0") for _ in range(4)] == [newer] * 4


async def test_a_newer_value_invalidates_only_the_responses_that_contain_it() -> None:
    harness = GatewayHarness()
    for account in ("a0", "a1", "a2"):
        for _ in range(3):
            await read_amount(harness, account)
    bodies = [key[2] for key in harness.compiled._kept_responses._responses]

    await read_amount(harness, "a1", UNCACHED)

    responses = [
        harness.compiled.cached_response(body, Caller(READER, "request")) for body in bodies
    ]
    assert [response is not None for response in responses] == [True, False, True]


async def test_a_newer_value_keeps_responses_with_other_days_of_the_account() -> None:
    harness = GatewayHarness()
    past = '{ balance(asOf: "2026-05-01") { ledger { amount } } }'
    for selection in (PLAIN, past, past, past):
        await read_amount(harness, "a0", selection)
    body = next(reversed(harness.compiled._kept_responses._responses))[2]

    await read_amount(harness, "a0", UNCACHED)

    assert harness.compiled.cached_response(body, Caller(READER, "request")) is not None


async def test_json_of_values_replaced_between_reads_is_not_cached() -> None:
    """One of two values of an account is replaced after both were read.

    JSON that combines the older and another value must not be served afterwards.
    """
    harness = GatewayHarness()
    both = '{ balance { ledger { amount } } other: balance(asOf: "2026-05-01") { asOf } }'
    await read_amount(harness, "a0", both)
    harness.provider.offset += 100
    newer = await read_amount(harness, "a0", UNCACHED)

    assert [await read_amount(harness, "a0", both) for _ in range(4)] == [newer] * 4
