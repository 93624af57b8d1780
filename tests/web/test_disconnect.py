"""A disconnecting client cancels its reads, and never a write that has begun."""

import asyncio
import json

import pytest

from tests.api.fakes import ADMIN, READ, GatewayHarness, run_server

READ_QUERY = '{ bankAccount(id: "acct_yen") { balance { asOf } } }'
MUTATION = (
    'mutation { upsertOpeningBalance(input: {accountId: "acct_yen", amount: {minorUnits: 7, '
    'currency: "JPY"}}) { __typename } }'
)


async def send_and_disconnect(url: str, query: str, key: str, begun: asyncio.Event) -> None:
    """Send a request, wait until its execution has begun, and close the connection."""
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"query": query})
    writer.write(
        f"POST /graphql HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    await writer.drain()
    await asyncio.wait_for(begun.wait(), 5)
    writer.close()
    await writer.wait_closed()


async def wait_until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_disconnect_cancels_a_read(harness: GatewayHarness):
    begun = asyncio.Event()

    class SignallingGate(asyncio.Event):
        async def wait(self):
            begun.set()
            return await super().wait()

    harness.reads.gate = SignallingGate()

    async with run_server(harness.app()) as url:
        await send_and_disconnect(url, READ_QUERY, READ, begun)
        await wait_until(lambda: harness.reads.cancelled == 1)


async def test_a_disconnect_does_not_cancel_a_write(harness: GatewayHarness):
    harness.writer.gate = asyncio.Event()

    async with run_server(harness.app()) as url:
        await send_and_disconnect(url, MUTATION, ADMIN, harness.writer.started)
        await asyncio.sleep(0.05)
        assert harness.writer.finished == 0
        harness.writer.gate.set()
        await wait_until(lambda: harness.writer.finished == 1)

    assert harness.reads.opening_answers["acct_yen"].value.amount.minor_units == 7


async def test_draining_waits_for_writes(harness: GatewayHarness):
    harness.writer.gate = asyncio.Event()

    async with run_server(harness.app()) as url:
        await send_and_disconnect(url, MUTATION, ADMIN, harness.writer.started)
        assert harness.endpoint is not None
        draining = asyncio.ensure_future(harness.endpoint.drain())
        await asyncio.sleep(0.05)
        assert not draining.done()
        harness.writer.gate.set()
        await asyncio.wait_for(draining, 5)

    assert harness.writer.finished == 1


@pytest.mark.parametrize("query", [READ_QUERY, MUTATION])
async def test_a_cancelled_server_task_does_not_cancel_a_write(harness: GatewayHarness, query):
    """At the end of its shutdown timeout, uvicorn cancels the tasks that still run."""
    harness.writer.gate = asyncio.Event()
    harness.reads.gate = asyncio.Event()
    harness.app()
    endpoint = harness.endpoint
    assert endpoint is not None
    sent: list[object] = []
    body = json.dumps({"query": query}).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        if messages:
            return messages.pop()
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "query_string": b"",
        "headers": [
            (b"authorization", f"Bearer {ADMIN}".encode()),
            (b"content-type", b"application/json"),
        ],
    }
    serving = asyncio.ensure_future(endpoint(scope, receive, send))
    await wait_until(lambda: harness.writer.started.is_set() or harness.reads.calls)

    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    harness.writer.gate.set()
    await endpoint.drain()

    assert harness.writer.finished == (query == MUTATION)
    if query == READ_QUERY:
        await wait_until(lambda: harness.reads.cancelled == 1)
