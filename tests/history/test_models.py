"""The models of the simulation, compared with a real Redis and the real journal."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import (
    SettledBy,
    Settlement,
    WriteIntent,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.pipeline.cache import redis_scripts
from balance_gateway.pipeline.cache.cache_store import CacheEntry, NewValue, RedisStore
from balance_gateway.pipeline.cache.redis_fence import RedisFences
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.ports.write_journal import AccountBusy
from balance_gateway.storage.database import open_database
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_settlements import SqlWriteSettlements
from tests.history.journal_model import JournalModel
from tests.history.redis_model import ModelClient, RedisModel
from tests.servers import RedisServer, redis_server

KEYS = ("one", "two", "three")
LONG_MS = 1_000_000
#: Two instants far in the future, and one in the past.
TIMES_MS = (int(time.time() * 1000) + 9 * LONG_MS, int(time.time() * 1000) + 10 * LONG_MS, 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as started:
        yield started


_KEEP_KEYS = ("one", "s", "l", "two", "v1", "three", "v2")


def _draw_keep_arguments(rng: random.Random, ms: int) -> tuple[Any, ...]:
    """Draw two values to keep, some of them under the present standing."""
    values = [
        (f"{rng.randint(0, 3)}/{rng.randint(0, 3)}", rng.randint(0, 6), rng.choice("ab"), b"e", "n")
        for _ in range(2)
    ]
    return ("token", ms, *values[0], *values[1])


def _random_command(rng: random.Random) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    key, other = rng.choice(KEYS), rng.choice(KEYS)
    ms = rng.choice([LONG_MS, 2 * LONG_MS])
    number, write_id = rng.randint(0, 3), rng.choice(["w1", "w2", "w3"])
    fence_keys = (key, other, "h", "s", "l")
    return rng.choice(
        [
            ("get", (key,), {}),
            ("mget", KEYS, {}),
            ("set", (key, number), {}),
            ("set", (key, number), {"nx": True}),
            ("set", (key, number), {"px": ms}),
            ("mset", (key, number, "four", number), {}),
            ("exists", (key,), {}),
            ("delete", (key, "four"), {}),
            ("incr", (key,), {}),
            ("decr", (key,), {}),
            ("pexpire", (key, ms), {}),
            ("pttl", (key,), {}),
            ("zadd", ("h", {write_id: rng.choice(TIMES_MS)}), {}),
            ("zrem", ("h", write_id), {}),
            ("zscore", ("h", write_id), {}),
            *[("eval", (redis_scripts.HOLD, fence_keys, (number, "f", write_id, ms)), {})] * 2,
            *[("eval", (redis_scripts.END, fence_keys, (number, "f", write_id)), {})] * 2,
            (
                "eval",
                (redis_scripts.OPEN_EPOCH, (key, other, "l"), (rng.choice(["", 1]), number, ms)),
                {},
            ),
            ("eval", (redis_scripts.FIND_NEWEST, ("l",), (number,)), {}),
            *[("eval", (redis_scripts.KEEP, _KEEP_KEYS, _draw_keep_arguments(rng, ms)), {})] * 4,
        ]
    )


def _run_on_redis(
    client: Any, name: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    if name == "mset":
        return client.execute_command("MSET", *arguments) in (True, b"OK")
    if name == "eval":
        text, keys, values = arguments
        result = client.eval(text, len(keys), *keys, *values)
        is_log = text == redis_scripts.FIND_NEWEST
        return [tuple(fields) for _, fields in result] if is_log else result
    return getattr(client, name)(*arguments, **options)


def test_the_model_behaves_like_redis(server: RedisServer) -> None:
    rng = random.Random(1)
    with redis.Redis(port=server.port) as client:
        for _ in range(150):
            client.flushall()
            model = RedisModel(lambda: time.time() * 1000)
            commands = [_random_command(rng) for _ in range(25)]
            for name, arguments, options in commands:
                if name == "eval" and len(set(arguments[1])) < len(arguments[1]):
                    continue
                real = _run_on_redis(client, name, arguments, options)
                modelled = getattr(model, f"_{name}")(*arguments, **options)
                if name == "eval" and arguments[0] == redis_scripts.FIND_NEWEST:
                    modelled = [each.fields for each in modelled]
                if (name == "zscore" and real is not None) or (name == "pttl" and real > 0):
                    assert modelled == pytest.approx(real, abs=LONG_MS / 4)
                else:
                    assert modelled == real, (name, arguments, options, commands)
            log = client.eval("return redis.call('XRANGE', KEYS[1], '-', '+')", 1, "l")
            assert [list(each.fields) for each in model.stream("l")] == [each for _, each in log]
            for key in (*KEYS, "four", "v1", "v2", "s"):
                assert model._get(key) == client.get(key)
                assert (model._pttl(key) > 0) == (client.pttl(key) > 0)
            assert set(model._scores("h")) == {one.decode() for one in client.zrange("h", 0, -1)}
            assert model._pttl("h") == pytest.approx(client.pttl("h"), abs=LONG_MS / 4)


def test_the_model_expires_keys_like_redis(server: RedisServer) -> None:
    now_ms = 0.0
    model = RedisModel(lambda: now_ms)
    with redis.Redis(port=server.port) as client:
        client.flushall()
        for store in (client.set, model._set):
            store("short", 1, px=30)
            store("permanent", 1, px=30)
            store("permanent", 2)
        time.sleep(0.06)
        now_ms = 60.0
        assert [model._get("short"), model._get("permanent")] == client.mget("short", "permanent")
        assert model._get("permanent") == b"2"


async def _has_unsettled_writes() -> bool:
    return False


async def test_fences_and_stores_behave_the_same_on_the_model(server: RedisServer) -> None:
    rng = random.Random(2)
    model = RedisModel(lambda: time.monotonic() * 1000)

    async def deliver(effect: Any) -> Any:
        return effect()

    async with Redis(port=server.port) as real:
        await real.flushall()
        clients = [RedisClient(real, "test"), RedisClient(ModelClient(model, deliver), "test")]  # type: ignore[arg-type]
        for _ in range(40):
            fences = [RedisFences(client, 100.0, _has_unsettled_writes) for client in clients]
            values = [RedisStore(client, 100.0) for client in clients]
            for _ in range(15):
                key, seconds = rng.choice(KEYS), rng.choice([50.0, 200.0])
                write_id = rng.choice(["w1", "w2", "w3"])
                step = rng.choice(["begin", "end", "hold", "look", "look", "lose"])
                if step == "lose" and rng.random() < 0.3:
                    await real.flushall()
                    model.lose_keys()
                seen = []
                for fence, value in zip(fences, values, strict=True):
                    if step == "begin":
                        await fence.begin_write(key, write_id)
                    elif step == "end":
                        await fence.end_write(key, write_id)
                    elif step == "hold":
                        await fence.hold(key, write_id, seconds)
                    states = await fence.states(KEYS)
                    before = await value.get(KEYS)
                    old = [
                        entry is not None and entry.nonce == state.nonce
                        for entry, state in zip(before, states, strict=True)
                    ]
                    if step == "look":
                        state = states[KEYS.index(key)]
                        entry = CacheEntry(state.nonce, 1, 1, None)
                        await value.keep({key: NewValue(entry, key, "account", state.seq)})
                    seen.append(([state.settled for state in states], old))
                assert seen[0] == seen[1], step


def _intent(rng: random.Random, number: int, now: datetime) -> WriteIntent:
    return WriteIntent(
        id=f"write-{number:03}",
        tenant="acme",
        account_id=(account_id := rng.choice(["a", "a again", "b"])),
        remote_account=f"remote {account_id[0]}",
        connector="c",
        principal="p",
        amount=Money(number, "EUR"),
        effective_at=None,
        memo=None,
        reference_number=None,
        idempotency_key=rng.choice([None, "k1", "k2", "k3", "k4"]),
        fingerprint=str(number),
        previous=None,
        started_at=now - timedelta(seconds=rng.choice([0, 0, 2])),
    )


def _outcome(rng: random.Random, record: WriteRecord, now: datetime) -> WriteRecord:
    outcome = rng.choice([WriteOutcome.APPLIED, WriteOutcome.REJECTED, WriteOutcome.UNCERTAIN])
    finished = replace(record, outcome=outcome, finished_at=now)
    if outcome is WriteOutcome.APPLIED:
        balance = OpeningBalance(record.intent.amount, None, OpeningBalanceSource.PROVIDER)
        return replace(finished, applied=balance, error_code=None, error_message=None)
    retryable = rng.random() < 0.5
    modelled = replace(
        finished, error_code="INTERNAL", error_message="m", error_retryable=retryable
    )
    return replace(modelled, applied=None)


@pytest.mark.parametrize("seed", range(3))
async def test_the_model_behaves_like_the_journal(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    now = datetime(2026, 3, 1, tzinfo=UTC)
    model = JournalModel()
    database = await open_database(f"sqlite:///{tmp_path}/journal.db")
    try:
        journal = SqlWriteJournal(database, lambda: now)
        settlements = SqlWriteSettlements(database)
        begun: list[WriteRecord] = []
        for number in range(60):
            now += timedelta(seconds=rng.random())
            if rng.random() < 0.5 or not begun:
                intent = _intent(rng, number, now)
                real, modelled = (
                    await _begin_in_journal(journal, intent),
                    _begin_in_model(model, intent, now),
                )
                assert modelled == real, number
                begun += [real] if isinstance(real, WriteRecord) else []
            else:
                record = rng.choice(begun)
                last = await journal.last_applied(record.intent.remote_account)
                finished = _outcome(rng, record, now)
                if finished.outcome is not WriteOutcome.UNCERTAIN and rng.random() < 0.5:
                    how = rng.choice(list(SettledBy))
                    settled = replace(
                        finished, settlement=Settlement(how, now), error_retryable=False
                    )
                    last = rng.choice([last, None])
                    real_settled = await settlements.settle(settled, last=last)
                    assert model.settle(settled, last) == real_settled
                else:
                    await journal.finish(finished)
                    model.finish(finished, now)
            for account in ("remote a", "remote b"):
                assert model.last_applied(account) == await journal.last_applied(account)
            for key in ("k1", "k2"):
                assert model.by_key("acme", key) == await journal.by_key("acme", key)
            since = now - timedelta(seconds=5)
            assert list(model.unfinished()) == list(await journal.unfinished())
            assert list(model.unsettled()) == list(await settlements.unsettled())
            assert list(model.unsettled_since(since)) == list(await journal.unsettled_since(since))
    finally:
        await database.aclose()


async def _begin_in_journal(journal: SqlWriteJournal, intent: WriteIntent) -> WriteRecord | None:
    try:
        return await journal.begin(intent, lease_s=3.0)
    except AccountBusy:
        return None


def _begin_in_model(model: JournalModel, intent: WriteIntent, now: datetime) -> WriteRecord | None:
    try:
        return model.begin(intent, 3.0, now)
    except AccountBusy:
        return None
