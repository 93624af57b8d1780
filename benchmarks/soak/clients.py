"""The clients of a soak: each asks one thing after the other, as its dice say."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.soak import asking
from benchmarks.soak.tally import Tally

#: Longer than the gateway takes for anything.
ANSWER_S = 45.0
_KINDS = {
    "dashboard": 45,
    "single": 15,
    "totals": 6,
    "history": 6,
    "write": 6,
    "fresh": 5,
    "nonsense": 10,
    "gone": 7,
}


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway that is soaked.

    Attributes:
        url: of its endpoint.
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


async def recovery_s(target: Target, limit_s: float) -> float | None:
    """How long it takes until no provider counts as down any more; None: longer than that."""
    headers = {"Authorization": f"Bearer {target.read_key}", "Content-Type": "application/json"}
    started_s = time.monotonic()
    async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False, headers=headers) as http:
        while (waited_s := time.monotonic() - started_s) < limit_s:
            response = await http.post(target.url, content=asking.everything(target.ids))
            errors = response.json().get("errors", ())
            codes = {error["extensions"]["code"] for error in errors}
            if response.status_code == 200 and "PROVIDER_UNAVAILABLE" not in codes:
                return waited_s
            await asyncio.sleep(1)
    return None


class Client:
    """One client.

    Args:
        number: its own.
        target: whom it asks.
        tally: where it counts.
        seed: of the soak.
        writable: accounts that nobody else writes to.
    """

    def __init__(
        self, number: int, target: Target, tally: Tally, seed: int, writable: Sequence[str]
    ) -> None:
        self._number = number
        self._target = target
        self._tally = tally
        self._dice = random.Random(f"{seed}/client/{number}")
        self._writable = list(writable)
        self._http = httpx.AsyncClient(timeout=ANSWER_S, trust_env=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Asks until it is told to stop."""
        kinds, weights = list(_KINDS), list(_KINDS.values())
        async with self._http:
            while not stop.is_set():
                [kind] = self._dice.choices(kinds, weights)
                await self._one(kind)
                await asyncio.sleep(self._dice.random() * 0.1)

    async def _one(self, kind: str) -> None:
        dice, ids = self._dice, self._target.ids
        self._tally.requests[kind] += 1
        if kind == "dashboard":
            body, chosen = asking.dashboard(dice, ids)
            self._check_order(chosen, await self._ask(kind, body))
        elif kind == "single":
            await self._ask(kind, asking.single(dice, ids))
        elif kind == "fresh":
            await self._ask(kind, asking.fresh(dice, ids))
        elif kind == "totals":
            await self._ask(kind, asking.totals(dice))
        elif kind == "history":
            await self._ask(kind, asking.history(dice, ids))
        elif kind == "nonsense":
            await self._ask(kind, asking.nonsense(dice))
        elif kind == "gone":
            await self._leave()
        else:
            await self._write()

    async def _ask(self, kind: str, body: bytes, *, admin: bool = False) -> Any:
        """The answer's data; None without any."""
        key = self._target.admin_key if admin else self._target.read_key
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        try:
            response = await self._http.post(self._target.url, content=body, headers=headers)
            answer = json.loads(response.content)
        except (httpx.HTTPError, ValueError) as error:
            self._tally.unanswered.append(f"{kind}: {error!r}, {body[:200]!r}")
            return None
        self._tally.answer(kind, response.status_code, answer)
        return answer.get("data") if isinstance(answer, dict) else None

    async def _leave(self) -> None:
        """Asks, and goes away before or while it is answered."""
        body, _ = asking.dashboard(self._dice, self._target.ids)
        headers = {"Authorization": f"Bearer {self._target.read_key}"}
        headers["Content-Type"] = "application/json"
        patience_s = self._dice.random() * 0.02
        try:
            async with asyncio.timeout(patience_s), httpx.AsyncClient(trust_env=False) as http:
                await http.post(self._target.url, content=body, headers=headers)
        except (TimeoutError, httpx.HTTPError):
            pass
        self._tally.gone += 1

    async def _write(self) -> None:
        """Sets an opening balance, and reads it back through another request."""
        dice = self._dice
        if not self._writable:
            return
        account = dice.choice(self._writable)
        amount, key = dice.randrange(-(10**9), 10**9), f"soak-{self._number}-{dice.getrandbits(64)}"
        body = asking.upsert(account, self._target.currencies[account], amount, key)
        data = await self._ask("write", body, admin=True)
        outcome = ((data or {}).get("upsertOpeningBalance") or {}).get("__typename")
        if outcome not in ("OpeningBalanceApplied", "OpeningBalanceRejected"):
            # It may still land, at any time: nothing can be said of this account any more.
            self._writable.remove(account)
        elif outcome == "OpeningBalanceApplied":
            self._check_written(account, amount, await self._ask("write", asking.opening(account)))

    def _check_order(self, wanted: list[str], data: Any) -> None:
        got = [node and node["id"] for node in (data or {}).get("nodes") or ()]
        if got and any(one not in (None, want) for one, want in zip(got, wanted, strict=True)):
            self._tally.wrong.append(f"dashboard: asked {wanted}, got {got}")

    def _check_written(self, account: str, amount: int, data: Any) -> None:
        found = ((data or {}).get("bankAccount") or {}).get("openingBalance")
        if found is not None and int(found["amount"]["minorUnits"]) != amount:
            self._tally.wrong.append(f"{account}: {amount} was applied, and then {found} was read")
