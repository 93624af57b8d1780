"""Live fault test: real gateways, a real Redis and the provider sandbox, with injected faults.

Two ``balance-gateway serve`` processes share one Redis and one SQLite file. Clients read and write
a few accounts at Light, Layer and the embedded ledger over GraphQL, some with compare-and-set.
Meanwhile the sandbox refuses, delays and drops writes or applies them late, gateways and Redis are
killed and restarted, gateways are suspended, and Redis loses its keys. Many values come from what a
gateway keeps: compare the looks with the reads. In the end every uncertain write is settled, at
Light by hand. Every call is recorded with its times and checked by ``checker.py``. The seed
determines the calls and faults, but not how the machine's scheduler interleaves them.

From the repository's root, for ten minutes::

    python -m tests.history.live --seconds 600 --seed 7
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.history import checker
from tests.history.checker import History, Outcome, Read, Violation, Write
from tests.preloaded_processes import PreloadedProcess
from tests.servers import RedisServer, free_port

TIMEOUT_S, LATE_LANDING_S = 1.0, 7.0
KEY = "the-key-of-the-live-test"
DAYS = ("2026-06-01", "2026-02-01")
CLIENTS = 8
_SINCE = "2025-01-01T00:00:00Z"

_READ = """query Read($ids: [ID!]!, $day: Date!, $maxAge: Int) {
  bankAccounts(filter: {ids: $ids}) { nodes { id
    balance(asOf: $day, maxAgeSeconds: $maxAge) { bank { minorUnits } freshness { state } }
    openingBalance { amount { minorUnits } freshness { state } } } } }"""
_WRITE = """mutation Write($input: UpsertOpeningBalanceInput!) {
  upsertOpeningBalance(input: $input) { __typename
    ... on OpeningBalanceApplied { verified replayed }
    ... on OpeningBalanceUncertain { writeId }
    ... on OpeningBalanceRejected { code message } } }"""
_UNSETTLED = """query Unsettled($ids: [ID!]!, $day: Date!) {
  bankAccounts(filter: {ids: $ids}) { nodes { id unsettledWrite { writeId amount { minorUnits } }
    balance(asOf: $day, maxAgeSeconds: 0) { bank { minorUnits } } } } }"""
_SETTLE = """mutation Settle($id: ID!, $as: SettledAs!) {
  settleOpeningBalanceWrite(writeId: $id, as: $as, note: "live test") { __typename } }"""
#: Longer than a hold and the round of the background that follows it.
_SETTLED_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Target:
    """One account under test."""

    id: str
    provider: str
    currency: str
    remote: Mapping[str, str] = field(default_factory=dict)


class Process:
    """A gateway command that can be killed and restarted on the same port."""

    def __init__(self, directory: Path, name: str, *arguments: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = [*arguments, "--port", str(self.port)]
        self._log = directory / f"{name}.log"
        self._process: PreloadedProcess | None = None

    def start(self) -> None:
        """Start the process, without waiting until it serves."""
        with self._log.open("ab") as log:
            self._process = PreloadedProcess(self._arguments, environment=os.environ, log=log)

    def suspend(self) -> Callable[[], None]:
        """Suspend the process with SIGSTOP, and return what continues the same process."""
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGSTOP)
        return lambda: None if process is None else process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class LiveSystem:
    """All processes: two gateways, Redis and the sandbox; and the accounts under test."""

    def __init__(
        self, directory: Path, *, shared: bool = True, redis_server: str | None = None
    ) -> None:
        self.directory = directory
        self.shared = shared
        self.redis = RedisServer(directory)
        if redis_server is not None:
            self.redis.executable = redis_server
        self.sandbox = Process(directory, "sandbox", "sandbox")
        config = str(directory / "gateway.toml")
        self.gateways = [
            Process(directory, f"gateway-{number}", "serve", "--config", config)
            for number in range(2)
        ]
        self.targets: list[Target] = []

    @contextlib.asynccontextmanager
    async def running(self, http: httpx.AsyncClient) -> AsyncIterator[None]:
        """Start all processes, and end them on exit."""
        try:
            self.sandbox.start()
            self.redis.start()
            catalogue = (
                await _wait_until_up(http, f"{self.sandbox.url}/_control/catalogue")
            ).json()
            limits = dict.fromkeys(
                ("light_per_minute", "asset_tenant_per_minute", "layer_per_second"), None
            )
            options = await http.put(
                f"{self.sandbox.url}/_control/options", json={"limits": limits}
            )
            options.raise_for_status()
            self.targets = _build_targets(catalogue)
            (self.directory / "gateway.toml").write_text(self._config(catalogue))
            for gateway in self.gateways:
                gateway.start()
            for gateway in self.gateways:
                await _wait_until_up(http, f"{gateway.url}/readyz")
            yield
        finally:
            for process in [*self.gateways, self.sandbox]:
                process.kill()
            self.redis.stop()

    def _config(self, catalogue: Mapping[str, Any]) -> str:
        by_name = {one["name"]: one for one in catalogue["credentials"]}
        light, layer = by_name["light-acme"], by_name["layer-acme"]
        secrets = {
            "key": KEY,
            "light": light["api_key"],
            "layer_id": layer["client_id"],
            "layer_secret": layer["client_secret"],
        }
        for name, text in secrets.items():
            (self.directory / name).write_text(text)
            (self.directory / name).chmod(0o600)
        cache_url = self.redis.url if self.shared else "memory://"
        tables: list[tuple[str, Mapping[str, Any]]] = [
            ("[storage]", {"url": f"sqlite:///{self.directory / 'gateway.db'}"}),
            ("[cache]", {"url": cache_url, "late_landing_s": LATE_LANDING_S}),
            (
                "[[auth.api_keys]]",
                {
                    "name": "live-test",
                    "key": "file:key",
                    "tenant": "acme",
                    "scopes": ["balances:read", "balances:write"],
                },
            ),
            *self._connectors(layer["scopes"][0]),
            ("[connectors.local]", {"provider": "local", "timeout_s": TIMEOUT_S}),
        ]
        for target in self.targets:
            account = {
                "id": target.id,
                "tenant": "acme",
                "connector": target.provider,
                "name": target.id,
                "currency": target.currency,
                **target.remote,
            }
            tables.append(("[[accounts]]", account))
        # JSON's notation of strings, numbers and lists is valid TOML.
        lines = [
            "\n".join([head, *(f"{key} = {json.dumps(value)}" for key, value in values.items())])
            for head, values in tables
        ]
        return "\n\n".join(lines) + "\n"

    def _connectors(self, scope: str) -> list[tuple[str, Mapping[str, Any]]]:
        limits = {"timeout_s": TIMEOUT_S, "requests_per_minute": 1_000_000}
        return [
            (
                "[connectors.light]",
                {
                    "provider": "light",
                    "base_url": f"{self.sandbox.url}/light",
                    "api_key": "file:light",
                    **limits,
                },
            ),
            (
                "[connectors.layer]",
                {
                    "provider": "layer",
                    "base_url": f"{self.sandbox.url}/layer",
                    "token_url": f"{self.sandbox.url}/layer-auth/oauth2/token",
                    "scope": scope,
                    "client_id": "file:layer_id",
                    "client_secret": "file:layer_secret",
                    "upsert_route": "custom_account",
                    **limits,
                },
            ),
        ]


def _build_targets(catalogue: Mapping[str, Any]) -> list[Target]:
    """Choose three accounts at Light, two of one business at Layer, two of the embedded ledger."""
    found = [Target("local-1", "local", "EUR"), Target("local-2", "local", "USD")]
    missing = {"light": 3, "layer": 2}
    business = None
    for account in catalogue["accounts"]:
        provider = account["provider"]
        is_usable = account["tenant"] == "acme" and account["normal_side"] == "debit"
        if not is_usable or not missing.get(provider) or not account["has_opening_balance"]:
            continue
        if provider == "light":
            remote = {"bank_account_id": account["bank_account_id"]}
        else:
            names = ("business_id", "external_account_id", "custom_account_id", "ledger_account_id")
            remote = {name: account[name] for name in names}
            if None in remote.values() or business not in (None, remote["business_id"]):
                continue
            business = remote["business_id"]
        account_id = f"{provider}-{missing[provider]}"
        found.append(Target(account_id, provider, account["currency"], remote))
        missing[provider] -= 1
    return found


async def _wait_until_up(http: httpx.AsyncClient, url: str) -> httpx.Response:
    for _ in range(1200):
        with contextlib.suppress(httpx.TransportError):
            response = await http.get(url)
            if response.status_code == 200:
                return response
        await asyncio.sleep(0.1)
    raise AssertionError(f"{url} did not start")


class LiveTest:
    """Clients and faults on a live system, and the histories of the clients."""

    def __init__(
        self,
        system: LiveSystem,
        http: httpx.AsyncClient,
        seed: int,
        seconds: float,
        is_enough: Callable[[Counter[str]], bool] = lambda counts: False,
    ) -> None:
        self.system = system
        self.http = http
        self.rng = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._is_enough = is_enough
        self._ends_at_s = time.monotonic() + seconds
        self._last_value = 100_000
        self._initial: dict[str, int] = {}
        self._offsets: dict[tuple[str, str], int] = {}
        self._seen: dict[str, tuple[list[Write], list[Read]]] = {}

    async def run(
        self, *, without_faults: bool = False, settle: bool = False
    ) -> dict[str, History]:
        """Run clients and faults until the time is up, then read everything without faults.

        Args:
            without_faults: run the clients only.
            settle: wait until no write is in doubt, before everything is read.
        """
        await self._set_up()
        clients = [asyncio.create_task(self._client(number)) for number in range(CLIENTS)]
        faults = [
            (0.8, self._inject_fault),
            (5.0, self._kill_gateway),
            (3.0, self._suspend_gateway),
            # Rarely: a quarantine as long as a hold follows, in which nothing is kept.
            (40.0, self._kill_redis),
            (60.0, self._lose_keys),
        ]
        fault_tasks = [
            asyncio.create_task(self._every(mean_s, inject))
            for mean_s, inject in ([] if without_faults else faults)
        ]
        try:
            await asyncio.gather(*clients)
        finally:
            for fault_task in fault_tasks:
                fault_task.cancel()
            await asyncio.gather(*fault_tasks, return_exceptions=True)
        await self._count_commands()
        if not without_faults:
            await self._stop_faults()
        if settle:
            await self._settle_all()
        for gateway in self.system.gateways:
            for day in DAYS:
                ids = [target.id for target in self.system.targets]
                await self._read(gateway, ids, day, None, "final read")
        return {
            name: History(self._initial[name.split("/")[0]], writes, reads)
            for name, (writes, reads) in self._seen.items()
        }

    async def _stop_faults(self) -> None:
        """Remove all faults and restart Redis and the gateways."""
        await self.http.delete(f"{self.system.sandbox.url}/_control/faults")
        self.system.redis.stop()
        self.system.redis.start()
        for gateway in self.system.gateways:
            gateway.kill()
            gateway.start()
        for gateway in self.system.gateways:
            await _wait_until_up(self.http, f"{gateway.url}/readyz")

    async def _settle_all(self) -> None:
        """Wait until each uncertain write is settled: by the gateway, at Light as a person does."""
        gateway, ends_s = self.system.gateways[0], time.monotonic() + _SETTLED_WITHIN_S
        variables = {"ids": [target.id for target in self.system.targets], "day": DAYS[0]}
        while True:
            answer = await self._post(gateway, _UNSETTLED, variables)
            nodes = answer["data"]["bankAccounts"]["nodes"]
            doubtful = [node for node in nodes if node["unsettledWrite"]]
            for node in doubtful:
                # Its opening balance cannot be read back, but its bank balance shows it.
                if node["id"].startswith("light"):
                    await self._settle_by_hand(gateway, node)
            if not doubtful:
                return
            assert time.monotonic() < ends_s, f"unsettled: {doubtful}"
            await asyncio.sleep(1)

    async def _settle_by_hand(self, gateway: Process, node: Mapping[str, Any]) -> None:
        write = node["unsettledWrite"]
        offset = self._offsets[node["id"], DAYS[0]]
        is_set = int(node["balance"]["bank"]["minorUnits"]) - offset
        applied = is_set == int(write["amount"]["minorUnits"])
        decision = {"id": write["writeId"], "as": "APPLIED" if applied else "NOT_APPLIED"}
        answer = await self._post(gateway, _SETTLE, decision)
        self.counts[f"settled by hand: {answer['data']['settleOpeningBalanceWrite']}"] += 1

    async def _set_up(self) -> None:
        """Set a known opening balance for each account, and read each day's offset from it."""
        gateway = self.system.gateways[0]
        for target in self.system.targets:
            value = self._initial[target.id] = self._new_value()
            outcome, message = await self._post_write(gateway, target, value, None)
            assert outcome is Outcome.ACKNOWLEDGED, message
        for day in DAYS:
            ids = [target.id for target in self.system.targets]
            response = await self._post(gateway, _READ, {"ids": ids, "day": day, "maxAge": 0})
            for node in response["data"]["bankAccounts"]["nodes"]:
                bank = node["balance"] and node["balance"]["bank"]
                if bank is not None:
                    offset = int(bank["minorUnits"]) - self._initial[node["id"]]
                    self._offsets[node["id"], day] = offset
            failures = response.get("errors")
            assert {target.id for target in self.system.targets if target.provider != "layer"} <= {
                account_id for account_id, of_day in self._offsets if of_day == day
            }, failures

    def _new_value(self) -> int:
        self._last_value += 1
        return self._last_value

    async def _every(self, mean_s: float, inject: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / mean_s))
            await inject()

    async def _client(self, number: int) -> None:
        rng, name = self.rng, f"client {number}"
        while time.monotonic() < self._ends_at_s and not self._is_enough(self.counts):
            await asyncio.sleep(rng.expovariate(20))
            gateway = rng.choice(self.system.gateways)
            if rng.random() < 0.06:
                await self._write(gateway, rng.choice(self.system.targets), name)
            else:
                some = rng.sample(self.system.targets, rng.choice([1, 2, 4]))
                max_age = 0 if rng.random() < 0.25 else None
                ids = [target.id for target in some]
                await self._read(gateway, ids, rng.choice(DAYS), max_age, name)

    async def _post(
        self, gateway: Process, query: str, variables: Mapping[str, Any]
    ) -> dict[str, Any]:
        response = await self.http.post(
            f"{gateway.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {KEY}"},
        )
        if response.status_code != 200:
            raise httpx.RemoteProtocolError(f"{response.status_code}: {response.text[:200]}")
        answer: dict[str, Any] = response.json()
        return answer

    async def _write(self, gateway: Process, target: Target, by: str) -> None:
        value = self._new_value()
        key = f"key-{value}" if self.rng.random() < 0.4 else None
        expected = await self._choose_expected(gateway, target)
        invoked = time.monotonic_ns()
        outcome, message = Outcome.UNCERTAIN, "no answer"
        for _ in range(3 if key else 1):
            try:
                outcome, message = await self._post_write(gateway, target, value, key, expected)
                break
            except httpx.TransportError:
                await asyncio.sleep(self.rng.random())
                gateway = self.rng.choice(self.system.gateways)
        returned = time.monotonic_ns()
        self.counts[f"write {outcome.value}"] += 1
        if expected is not None:
            self.counts[f"compared {outcome.value}"] += 1
            self.counts["compared in doubt"] += "WRITE_UNSETTLED" in message
        compared = None if expected is None else (expected,)
        write = Write(value, invoked, returned, outcome, compared, f"{by}: {message}")
        self._get_history(target.id)[0].append(write)
        if target.provider == "light":
            self._get_history(f"{target.id}/record")[0].append(write)

    async def _choose_expected(self, gateway: Process, target: Target) -> int | None:
        """Read the value that a write must replace; None for a write without a comparison."""
        if target.provider == "light" or self.rng.random() < 0.6:
            return None
        variables = {"ids": [target.id], "day": DAYS[0], "maxAge": 0}
        try:
            answer = await self._post(gateway, _READ, variables)
            opening = answer["data"]["bankAccounts"]["nodes"][0]["openingBalance"]
        except (httpx.TransportError, KeyError, TypeError):
            return None
        return None if opening is None else int(opening["amount"]["minorUnits"])

    async def _post_write(
        self,
        gateway: Process,
        target: Target,
        value: int,
        key: str | None,
        expected: int | None = None,
    ) -> tuple[Outcome, str]:
        amount = {"minorUnits": str(value), "currency": target.currency}
        fields = {"accountId": target.id, "amount": amount, "idempotencyKey": key}
        fields["effectiveAt"] = _SINCE
        if expected is not None:
            current = {"minorUnits": str(expected), "currency": target.currency}
            fields["expectedPrevious"] = {"amount": current}
        answer = await self._post(gateway, _WRITE, {"input": fields})
        result = (answer.get("data") or {}).get("upsertOpeningBalance")
        if result is None:
            return Outcome.UNCERTAIN, str(answer)
        kinds = {
            "OpeningBalanceApplied": Outcome.ACKNOWLEDGED,
            "OpeningBalanceRejected": Outcome.REJECTED,
        }
        return kinds.get(result["__typename"], Outcome.UNCERTAIN), str(result)

    async def _read(
        self, gateway: Process, ids: Sequence[str], day: str, max_age: int | None, by: str
    ) -> None:
        invoked = time.monotonic_ns()
        try:
            answer = await self._post(gateway, _READ, {"ids": ids, "day": day, "maxAge": max_age})
        except httpx.TransportError:
            self.counts["read lost"] += 1
            return
        returned = time.monotonic_ns()
        self.counts["requests that read"] += 1
        failed = {
            (error.get("extensions") or {}).get("accountId") for error in answer.get("errors", [])
        }
        for node in ((answer.get("data") or {}).get("bankAccounts") or {}).get("nodes", []):
            account_id, balance, opening = node["id"], node["balance"], node["openingBalance"]
            offset = self._offsets.get((account_id, day))
            if balance and balance["bank"] and offset is not None:
                value = int(balance["bank"]["minorUnits"]) - offset
                self._record(account_id, value, balance, invoked, returned, f"{by}, {day}")
            if opening is not None:
                light = account_id.startswith("light")
                register = f"{account_id}/record" if light else account_id
                value = int(opening["amount"]["minorUnits"])
                self._record(register, value, opening, invoked, returned, f"{by}, opening")
            elif account_id not in failed and balance is not None:
                self._get_history(account_id)[1].append(Read(None, invoked, returned, False, by))
            self.counts["read failed"] += account_id in failed

    def _record(
        self,
        register: str,
        value: int,
        answer: Mapping[str, Any],
        invoked: int,
        returned: int,
        by: str,
    ) -> None:
        state = answer["freshness"]["state"]
        self.counts[f"read {state.lower()}"] += 1
        read = Read(value, invoked, returned, state == "STALE", f"{by}, {state}")
        self._get_history(register)[1].append(read)

    def _get_history(self, register: str) -> tuple[list[Write], list[Read]]:
        return self._seen.setdefault(register, ([], []))

    async def _inject_fault(self) -> None:
        """Inject one fault; a late write takes effect within the gateways' ``late_landing_s``."""
        rng = self.rng
        provider, method = rng.choice([("light", "PUT"), ("layer", "POST")])
        faults: list[dict[str, Any]] = [
            {"kind": "delay", "method": "GET", "delay_s": rng.uniform(0, 0.9)},
            {"kind": "delay", "method": "GET", "delay_after_s": rng.uniform(0, 0.9)},
            {"kind": "status", "method": "GET", "status": 503},
            {"kind": "delay", "method": method, "delay_after_s": rng.uniform(0, 1.5)},
            {"kind": "delay", "method": method, "delay_s": rng.uniform(0, 1.5)},
            {"kind": "status", "method": method, "status": rng.choice([400, 500, 503])},
            {"kind": "drop_before", "method": method},
            {"kind": "drop_after", "method": method},
            {
                "kind": "late_landing",
                "method": method,
                "delay_s": rng.uniform(0, LATE_LANDING_S - 0.5),
                "status": rng.choice([None, 504]),
            },
        ]
        fault = {"provider": provider, "times": rng.randint(1, 2), **rng.choice(faults)}
        response = await self.http.post(f"{self.system.sandbox.url}/_control/faults", json=fault)
        response.raise_for_status()
        self.counts["faults"] += 1

    async def _kill_gateway(self) -> None:
        gateway = self.rng.choice(self.system.gateways)
        await asyncio.to_thread(gateway.kill)
        self.counts["gateways killed"] += 1
        await asyncio.sleep(self.rng.uniform(0, 0.5))
        gateway.start()
        await _wait_until_up(self.http, f"{gateway.url}/healthz")

    async def _suspend_gateway(self) -> None:
        resume = self.rng.choice(self.system.gateways).suspend()
        self.counts["gateways suspended"] += 1
        # Shorter than what the hold of a write allows between its begin and its end.
        await asyncio.sleep(self.rng.uniform(0.1, 1.5))
        resume()

    async def _lose_keys(self) -> None:
        async with Redis.from_url(self.system.redis.url) as client:
            with contextlib.suppress(RedisError):
                await client.flushall()
                self.counts["keys lost"] += 1

    async def _count_commands(self) -> None:
        """Count how often the gateways have looked at values and read the log."""
        async with Redis.from_url(self.system.redis.url) as client:
            try:
                commands = await client.info("commandstats")
            except RedisError:
                return
        for name, what in (("mget", "redis looks, two a read"), ("xrange", "redis log reads")):
            self.counts[what] += commands.get(f"cmdstat_{name}", {"calls": 0})["calls"]

    async def _kill_redis(self) -> None:
        await self._count_commands()
        await asyncio.to_thread(self.system.redis.stop)
        self.counts["redis killed"] += 1
        await asyncio.sleep(self.rng.uniform(0, 1.0))
        await asyncio.to_thread(self.system.redis.start)


async def run_live_test(
    directory: Path,
    *,
    seed: int,
    seconds: float,
    shared: bool = True,
    settle: bool = False,
    is_enough: Callable[[Counter[str]], bool] = lambda counts: False,
    redis_server: str | None = None,
) -> tuple[Counter[str], list[str]]:
    """Run the live test once.

    Args:
        directory: for configuration, logs and data.
        seed: determines calls and faults.
        seconds: how long clients run.
        shared: False gives each gateway a cache of its own, and injects no faults.
        settle: wait until no write is in doubt; this takes up to two minutes.
        is_enough: ends the clients earlier, when the events counted so far suffice.
        redis_server: the executable of Redis or Valkey; None for that of the tests.

    Returns:
        Counts of events, and the violations found.
    """
    system = LiveSystem(directory, shared=shared, redis_server=redis_server)
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http, system.running(http):
        test = LiveTest(system, http, seed, seconds, is_enough)
        histories = await test.run(without_faults=not shared, settle=settle)
    violations = []
    for name, history in sorted(histories.items()):
        try:
            checker.check(history)
            checker.check_comparisons(history)
        except Violation as violation:
            violations.append(f"{name}: {violation}")
    return test.counts, violations


def main() -> None:
    """Run the live test and print counts and violations; the logs of all processes are kept."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--own-caches",
        action="store_true",
        help="give each gateway a cache of its own: violations must be found",
    )
    parser.add_argument("--redis-server", help="the executable of Redis or Valkey")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="live-test-"))
    print(f"seed {options.seed}, logs in {directory}", flush=True)
    counts, violations = asyncio.run(
        run_live_test(
            directory,
            seed=options.seed,
            seconds=options.seconds,
            shared=not options.own_caches,
            settle=not options.own_caches,
            redis_server=options.redis_server,
        )
    )
    print(*(f"{count:8} {what}" for what, count in sorted(counts.items())), sep="\n")
    print(*violations, sep="\n")
    print(f"{len(violations)} violations")
    raise SystemExit(1 if violations else 0)


if __name__ == "__main__":
    main()
