"""A model of the parts of Redis that the gateway uses, and a client with injected faults.

``RedisModel`` is the server: keys, expiry by a given clock, and the fence's scripts in Python.
``test_models.py`` runs the same random commands against it and against a real Redis.
"""

import asyncio
import copy
import secrets
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.cache import redis_scripts
from balance_gateway.pipeline.cache.change_log import ENTRIES_MAX, LogEntry, OnEntries
from balance_gateway.pipeline.redis_client import RedisClient, ServerIdentity

Arguments = Sequence[Any]

#: A string, a sorted set (scores by member), or a stream.
Value = bytes | dict[str, float] | list[LogEntry]
Snapshot = tuple[dict[str, Value], dict[str, float]]


class RedisModel:
    """Keys and values of one Redis; every command is atomic.

    Args:
        now_ms: returns the server's time.
        log_max: how many entries the log keeps.
    """

    def __init__(self, now_ms: Callable[[], float], log_max: int = 10_000) -> None:
        self._now_ms = now_ms
        self._log_max = log_max
        self._values: dict[str, Value] = {}
        self._ends_ms: dict[str, float] = {}
        self._runs = 1
        self._added = 0

    @property
    def run_id(self) -> str:
        """The identity of the current server process."""
        return f"run{self._runs}"

    def execute(self, name: str, *arguments: Any) -> Any:
        """Run one command; EVAL takes the script's text as its first argument."""
        return getattr(self, f"_{name.lower()}")(*arguments)

    def lose_keys(self) -> None:
        """Delete all keys, as FLUSHALL does."""
        self._values.clear()
        self._ends_ms.clear()

    def restart(self, snapshot: Snapshot | None = None) -> None:
        """Restart empty, or with an older copy: from disk, or of a replica that took over."""
        self._runs += 1
        values, ends_ms = snapshot or ({}, {})
        self._values, self._ends_ms = copy.deepcopy(values), dict(ends_ms)

    def snapshot(self) -> Snapshot:
        """Return a copy of all keys."""
        return copy.deepcopy(self._values), dict(self._ends_ms)

    def _alive(self, key: str) -> bool:
        ends_ms = self._ends_ms.get(key)
        if ends_ms is not None and ends_ms <= self._now_ms():
            del self._values[key], self._ends_ms[key]
        return key in self._values

    def _scores(self, key: str) -> dict[str, float]:
        found = self._values[key] if self._alive(key) else {}
        assert isinstance(found, dict)
        return found

    def stream(self, key: str) -> list[LogEntry]:
        """Return the entries of a stream."""
        found = self._values.get(key, [])
        assert isinstance(found, list)
        return found

    def add_entry(self, key: str, *fields: Any) -> None:
        """Add an entry to a stream; ids are numbers in order."""
        entries = self._values.setdefault(key, [])
        assert isinstance(entries, list)
        self._added += 1
        texts = [each if isinstance(each, bytes) else str(each).encode() for each in fields]
        entries.append(LogEntry(b"%d" % self._added, tuple(texts)))
        del entries[: -self._log_max]

    def read_from(self, key: str, first: bytes, count: int) -> list[LogEntry]:
        """Return the entries from an id on."""
        entries = self.stream(key)
        start = bisect_left(entries, int(first), key=lambda each: int(each.id))
        return entries[start : start + count]

    def _ping(self) -> bool:
        return True

    def _get(self, key: str) -> bytes | None:
        value = self._values[key] if self._alive(key) else None
        if isinstance(value, dict | list):
            raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _mget(self, *keys: str) -> list[bytes | None]:
        return [self._get(key) for key in keys]

    def _set(self, key: str, value: Any, *, nx: bool = False, px: int | None = None) -> bool | None:
        if nx and self._alive(key):
            return None
        self._values[key] = value if isinstance(value, bytes) else str(value).encode()
        self._ends_ms.pop(key, None)
        if px is not None:
            self._ends_ms[key] = self._now_ms() + px
        return True

    def _mset(self, *pairs: Any) -> bool:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self._set(key, value)
        return True

    def _exists(self, key: str) -> int:
        return int(self._alive(key))

    def _delete(self, *keys: str) -> int:
        deleted = [key for key in keys if self._alive(key)]
        for key in deleted:
            del self._values[key]
            self._ends_ms.pop(key, None)
        return len(deleted)

    def _incr(self, key: str, by: int = 1) -> int:
        value = int(self._get(key) or 0) + by
        self._values[key] = str(value).encode()
        return value

    def _decr(self, key: str) -> int:
        return self._incr(key, -1)

    def _pexpire(self, key: str, ms: int) -> int:
        if not self._alive(key):
            return 0
        self._ends_ms[key] = self._now_ms() + int(ms)
        return 1

    def _pttl(self, key: str) -> int:
        if not self._alive(key):
            return -2
        return int(self._ends_ms[key] - self._now_ms()) if key in self._ends_ms else -1

    def _zadd(self, key: str, scores: Mapping[str, float]) -> int:
        before = self._scores(key)
        self._values[key] = {**before, **scores}
        return len(set(scores) - set(before))

    def _zrem(self, key: str, *members: str) -> int:
        before = self._scores(key)
        left = {member: score for member, score in before.items() if member not in members}
        if left:
            self._values[key] = left
        else:
            self._delete(key)
        return len(before) - len(left)

    def _zscore(self, key: str, member: str) -> float | None:
        return self._scores(key).get(member)

    def _eval(self, text: str, keys: Sequence[str], arguments: Arguments) -> Any:
        return getattr(self, _SCRIPTS[text])(keys, arguments)

    def hold(self, keys: Sequence[str], arguments: Arguments) -> int:
        """Run ``redis_scripts.HOLD``."""
        self._start_change(keys, arguments)
        member, ends_ms = str(arguments[2]), int(self._now_ms()) + int(arguments[3])
        before_ms = self._zscore(keys[2], member)
        if before_ms is None or before_ms < ends_ms:
            self._zadd(keys[2], {member: ends_ms})
        return self._update_held_flag(keys)

    def end(self, keys: Sequence[str], arguments: Arguments) -> int:
        """Run ``redis_scripts.END``."""
        self._start_change(keys, arguments)
        self._zrem(keys[2], str(arguments[2]))
        return self._update_held_flag(keys)

    def _start_change(self, keys: Sequence[str], arguments: Arguments) -> None:
        self.log_change(keys[4], arguments[0], b"f", arguments[1])
        self._incr(keys[3])
        self._set(keys[0], arguments[0])
        now_ms = int(self._now_ms())
        self._zrem(keys[2], *[one for one, ms in self._scores(keys[2]).items() if ms <= now_ms])

    def log_change(self, key: str, token: Any, *names: Any) -> None:
        """Add an entry to the log of changes."""
        self.add_entry(key, b"t", token, *names)

    def _update_held_flag(self, keys: Sequence[str]) -> int:
        scores = self._scores(keys[2])
        if scores:
            left_ms = int(max(scores.values())) - int(self._now_ms())
            self._set(keys[1], 1, px=left_ms)
            self._pexpire(keys[2], left_ms)
        else:
            self._delete(keys[1])
        return 1

    def open_epoch(self, keys: Sequence[str], arguments: Arguments) -> bytes:
        """Run ``redis_scripts.OPEN_EPOCH``."""
        current = self._get(keys[0]) or b""
        if current != str(arguments[0]).encode():
            return current
        self.log_change(keys[2], arguments[1], b"a", b"*")
        if int(arguments[2]) > 0:
            self._set(keys[1], 1, px=int(arguments[2]))
        self._set(keys[0], arguments[1])
        return str(arguments[1]).encode()

    def find_newest(self, keys: Sequence[str], arguments: Arguments) -> list[LogEntry]:
        """Run ``redis_scripts.FIND_NEWEST``."""
        if not self.stream(keys[0]):
            self.log_change(keys[0], arguments[0], b"a", b"*")
        return self.stream(keys[0])[-1:]

    def keep(self, keys: Sequence[str], arguments: Arguments) -> list[int]:
        """Run ``redis_scripts.KEEP``."""
        results, named = [], []
        epoch = self._get(keys[0]) or b""
        pairs = list(zip(keys[3::2], keys[4::2], strict=True))
        rows = [arguments[start : start + 5] for start in range(2, len(arguments), 5)]
        for (nonce, key), (standing, seen, digest, _, name) in zip(pairs, rows, strict=True):
            if epoch + b"/" + (self._get(nonce) or b"") != str(standing).encode():
                results.append(redis_scripts.REFUSED)
                continue
            parts = (self._get(key) or b"").split(b" ", 2)
            is_later = len(parts) == 3 and int(parts[0]) > int(seen)
            differs = is_later and parts[1] != str(digest).encode()
            results.append(redis_scripts.DROPPED if differs else redis_scripts.KEPT)
            named += [b"v", name]
        if named:
            self.log_change(keys[2], arguments[0], *named)
        for result, (_, key), row in zip(results, pairs, rows, strict=True):
            if result != redis_scripts.REFUSED:
                number = b"%d" % self._incr(keys[1])
                text = b"%b - " % number
                if result == redis_scripts.KEPT:
                    text = b"%b %b %b" % (number, str(row[2]).encode(), row[3])
                self._set(key, text, px=int(arguments[1]))
        return results


#: The method that models each script.
_SCRIPTS: Mapping[str, str] = {
    redis_scripts.HOLD: "hold",
    redis_scripts.END: "end",
    redis_scripts.OPEN_EPOCH: "open_epoch",
    redis_scripts.FIND_NEWEST: "find_newest",
    redis_scripts.KEEP: "keep",
}


class ModelLink:
    """Reads the log of the model; a ``LogLink``.

    Args:
        model: the server.
        redis: runs the commands.
        key: the key of the log.
    """

    def __init__(self, model: RedisModel, redis: RedisClient, key: str) -> None:
        self._model = model
        self._redis = redis
        self._key = key
        self._number = 0
        self._run_id = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connection(self) -> int:
        """The number of the connection; another one when another server was met."""
        if self._run_id != self._redis.server.run_id:
            self._run_id = self._redis.server.run_id
            self._number += 1
        return self._number

    def read_newest(self, on_entries: OnEntries) -> None:
        """Read the newest entry over a new connection."""
        client: Any = self._redis.client
        script = redis_scripts.FIND_NEWEST
        token = secrets.token_hex(8)
        self._begin(lambda: client.run("eval", script, [self._key], [token]), on_entries)

    def read_from(self, position: LogEntry, on_entries: OnEntries) -> None:
        """Read the entries from an id on; a server that has restarted has cut the connection."""
        run_id, client = self._run_id, self._redis.client

        def read() -> list[LogEntry]:
            if self._model.run_id != run_id:
                raise unreachable()
            return self._model.read_from(self._key, position.id, ENTRIES_MAX)

        self._begin(lambda: client.deliver(read), on_entries)  # type: ignore[attr-defined]

    def _begin(self, command: Callable[[], Any], on_entries: OnEntries) -> None:
        task = asyncio.get_running_loop().create_task(self._run(command, on_entries))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, command: Callable[[], Any], on_entries: OnEntries) -> None:
        try:
            entries = await self._redis.run(command)
        except CacheUnavailable:
            self._number += 1
            on_entries(None)
            return
        on_entries(entries)

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""


class ModelClient:
    """A client of the model; has the methods of ``redis.asyncio.Redis`` that the gateway calls.

    Args:
        model: the server.
        deliver: delivers each command; it may delay, lose or refuse it.
        server: receives the identity of the server process with each command, as after a
            reconnect.
    """

    def __init__(
        self,
        model: RedisModel,
        deliver: Callable[[Callable[[], Any]], Any],
        server: ServerIdentity | None = None,
    ) -> None:
        self._model = model
        self._deliver = deliver
        self._server = server or ServerIdentity()

    async def deliver(self, effect: Callable[[], Any]) -> Any:
        """Run something on the server."""
        return await self._deliver(effect)

    async def run(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Run one command."""
        (result,) = await self.run_all([(name, arguments, options)])
        return result

    async def run_all(self, commands: Sequence[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> Any:
        """Run several commands atomically, as MULTI does."""
        model, server = self._model, self._server

        def effect() -> list[Any]:
            server.run_id = model.run_id
            return [getattr(model, f"_{name}")(*args, **more) for name, args, more in commands]

        return await self._deliver(effect)

    async def get(self, key: str) -> bytes | None:
        return await self.run("get", key)

    async def mget(self, *keys: Any) -> list[bytes | None]:
        names = keys[0] if len(keys) == 1 and isinstance(keys[0], list) else keys
        return await self.run("mget", *names)

    async def set(self, key: str, value: Any, *, nx: bool = False, px: int | None = None) -> Any:
        return await self.run("set", key, value, nx=nx, px=px)

    async def exists(self, key: str) -> int:
        return await self.run("exists", key)

    async def delete(self, *keys: str) -> int:
        return await self.run("delete", *keys)

    async def ping(self) -> bool:
        return await self.run("ping")

    def pipeline(self, transaction: bool = True) -> "ModelPipeline":
        return ModelPipeline(self)

    def register_script(self, text: str) -> Callable[..., Any]:
        if text not in _SCRIPTS:
            raise ResponseError("unknown script: add a model of it to redis_model.py")

        async def script(*, keys: Sequence[str], args: Arguments) -> Any:
            return await self.run("eval", text, keys, args)

        return script

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""


class ModelPipeline:
    """A pipeline: commands that are sent together."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self._commands: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    async def __aenter__(self) -> "ModelPipeline":
        return self

    async def __aexit__(self, *error: object) -> None:
        self._commands.clear()

    def execute_command(self, name: str, *arguments: Any) -> None:
        self._commands.append((name.lower(), arguments, {}))

    def set(self, key: str, value: Any, *, nx: bool = False) -> None:
        self._commands.append(("set", (key, value), {"nx": nx}))

    def incr(self, key: str) -> None:
        self._commands.append(("incr", (key,), {}))

    def pexpire(self, key: str, time: int) -> None:
        self._commands.append(("pexpire", (key, time), {}))

    async def execute(self) -> list[Any]:
        return await self._client.run_all(self._commands)


def unreachable() -> RedisConnectionError:
    """Build the error of a client that cannot connect."""
    return RedisConnectionError("the model is unreachable")
