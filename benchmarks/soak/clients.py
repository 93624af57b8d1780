"""The clients of the soak test: each sends random requests one after another and checks them."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.soak import request_bodies
from benchmarks.soak.counters import Counters

#: Longer than the gateway needs for any request.
RESPONSE_TIMEOUT_S = 45.0
#: The weight of each kind of request.
_KINDS = {
    "dashboard": 45,
    "single": 15,
    "totals": 6,
    "history": 6,
    "write": 6,
    "fresh": 5,
    "invalid": 10,
    "disconnect": 7,
}


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway under test.

    Attributes:
        url: of its GraphQL endpoint.
        read_key: a bearer key for reading.
        admin_key: a bearer key with every scope.
        ids: of all accounts.
        currencies: of the accounts, by id.
    """

    url: str
    read_key: str
    admin_key: str
    ids: Sequence[str]
    currencies: dict[str, str]


async def measure_recovery_s(target: Target, limit_s: float) -> float | None:
    """Measure the seconds until no provider is unavailable; None: longer than ``limit_s``."""
    headers = {"Authorization": f"Bearer {target.read_key}", "Content-Type": "application/json"}
    started_s = time.monotonic()
    async with httpx.AsyncClient(
        timeout=RESPONSE_TIMEOUT_S, trust_env=False, headers=headers
    ) as http:
        while (waited_s := time.monotonic() - started_s) < limit_s:
            response = await http.post(
                target.url, content=request_bodies.build_everything(target.ids)
            )
            errors = response.json().get("errors", ())
            codes = {error["extensions"]["code"] for error in errors}
            if response.status_code == 200 and "PROVIDER_UNAVAILABLE" not in codes:
                return waited_s
            await asyncio.sleep(1)
    return None


class Client:
    """One client.

    Args:
        number: of the client.
        target: the gateway under test.
        counters: count its requests and responses.
        seed: of the soak test.
        writable: ids of the accounts that only this client writes to.
    """

    def __init__(
        self, number: int, target: Target, counters: Counters, seed: int, writable: Sequence[str]
    ) -> None:
        self._number = number
        self._target = target
        self._counters = counters
        self._dice = random.Random(f"{seed}/client/{number}")
        self._writable = list(writable)
        self._http = httpx.AsyncClient(timeout=RESPONSE_TIMEOUT_S, trust_env=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Send requests until ``stop`` is set."""
        kinds, weights = list(_KINDS), list(_KINDS.values())
        async with self._http:
            while not stop.is_set():
                [kind] = self._dice.choices(kinds, weights)
                await self._send_one(kind)
                await asyncio.sleep(self._dice.random() * 0.1)

    async def _send_one(self, kind: str) -> None:
        rng, ids = self._dice, self._target.ids
        self._counters.requests[kind] += 1
        if kind == "dashboard":
            body, chosen = request_bodies.build_dashboard(rng, ids)
            self._check_order(chosen, await self._post(kind, body))
        elif kind == "single":
            await self._post(kind, request_bodies.build_single(rng, ids))
        elif kind == "fresh":
            await self._post(kind, request_bodies.build_fresh(rng, ids))
        elif kind == "totals":
            await self._post(kind, request_bodies.build_totals(rng))
        elif kind == "history":
            await self._post(kind, request_bodies.build_history(rng, ids))
        elif kind == "invalid":
            await self._post(kind, request_bodies.build_invalid(rng))
        elif kind == "disconnect":
            await self._disconnect()
        else:
            await self._write()

    async def _post(self, kind: str, body: bytes, *, admin: bool = False) -> Any:
        """Send a request and return the response's data; None without data."""
        key = self._target.admin_key if admin else self._target.read_key
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        try:
            response = await self._http.post(self._target.url, content=body, headers=headers)
            document = json.loads(response.content)
        except (httpx.HTTPError, ValueError) as error:
            self._counters.failed.append(f"{kind}: {error!r}, {body[:200]!r}")
            return None
        self._counters.count_response(kind, response.status_code, document)
        return document.get("data") if isinstance(document, dict) else None

    async def _disconnect(self) -> None:
        """Send a request and close the connection before the response is complete."""
        body, _ = request_bodies.build_dashboard(self._dice, self._target.ids)
        headers = {"Authorization": f"Bearer {self._target.read_key}"}
        headers["Content-Type"] = "application/json"
        timeout_s = self._dice.random() * 0.02
        try:
            async with asyncio.timeout(timeout_s), httpx.AsyncClient(trust_env=False) as http:
                await http.post(self._target.url, content=body, headers=headers)
        except (TimeoutError, httpx.HTTPError):
            pass
        self._counters.disconnected += 1

    async def _write(self) -> None:
        """Set an opening balance, and read it back in another request."""
        rng = self._dice
        if not self._writable:
            return
        account = rng.choice(self._writable)
        amount, key = rng.randrange(-(10**9), 10**9), f"soak-{self._number}-{rng.getrandbits(64)}"
        body = request_bodies.build_upsert(account, self._target.currencies[account], amount, key)
        data = await self._post("write", body, admin=True)
        outcome = ((data or {}).get("upsertOpeningBalance") or {}).get("__typename")
        if outcome not in ("OpeningBalanceApplied", "OpeningBalanceRejected"):
            # The write may still take effect later, so this account cannot be checked any more.
            self._writable.remove(account)
        elif outcome == "OpeningBalanceApplied":
            self._check_written(
                account, amount, await self._post("write", request_bodies.build_opening(account))
            )

    def _check_order(self, ids: list[str], data: Any) -> None:
        actual = [node and node["id"] for node in (data or {}).get("nodes") or ()]
        if actual and any(got not in (None, want) for got, want in zip(actual, ids, strict=True)):
            self._counters.wrong.append(f"dashboard: requested {ids}, got {actual}")

    def _check_written(self, account: str, amount: int, data: Any) -> None:
        found = ((data or {}).get("bankAccount") or {}).get("openingBalance")
        if found is not None and int(found["amount"]["minorUnits"]) != amount:
            self._counters.wrong.append(f"{account}: applied {amount}, then read {found}")
