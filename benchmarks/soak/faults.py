"""Random faults of the providers, through the sandbox's control API."""

import asyncio
import random
from typing import Any

import httpx

_PROVIDERS = ("light", "asset", "layer")

#: None of these makes a provider tell a wrong figure that looks right.
_KINDS: tuple[dict[str, Any], ...] = (
    {"kind": "delay", "delay_s": 0.2},
    {"kind": "delay", "delay_s": 2},
    {"kind": "500"},
    {"kind": "503", "retry_after_s": 1},
    {"kind": "429", "retry_after_s": 2},
    {"kind": "401"},
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "late_landing", "method": "PUT", "delay_s": 2},
    {"kind": "endless_body", "bytes": 4_000_000},
    {"kind": "endless_headers", "bytes": 1_000_000},
    {"kind": "slow_body", "interval_s": 0.01},
    {"kind": "truncated_body"},
    {"kind": "malformed_json"},
    {"kind": "huge_json", "bytes": 1_000_000},
    {"kind": "error_body_200"},
    {"kind": "wrong_types"},
    {"kind": "nan"},
    {"kind": "duplicate_keys"},
    {"kind": "unknown_enum"},
    {"kind": "extra_fields"},
    {"kind": "wrong_account"},
    {"kind": "wrong_currency"},
    {"kind": "redirect", "location": "http://127.0.0.1:9/", "status": 307},
)


async def run(sandbox_url: str, seed: int, stop: asyncio.Event) -> dict[str, int]:
    """Sets faults until it is told to stop, and clears them; answers how many of each kind."""
    dice = random.Random(f"{seed}/faults")
    counts: dict[str, int] = {}
    async with httpx.AsyncClient(
        base_url=f"{sandbox_url}/_control/", timeout=30, trust_env=False
    ) as control:
        while not stop.is_set():
            kind = await _strike(control, dice, stop)
            counts[kind] = counts.get(kind, 0) + 1
            await _pause(stop, 0.5 + 2.5 * dice.random())
            # An open breaker sends nothing but probes: a fault that waits for twelve requests
            # would keep a provider down for minutes.
            await control.delete("faults")
    return counts


async def _strike(control: httpx.AsyncClient, dice: random.Random, stop: asyncio.Event) -> str:
    roll = dice.random()
    if roll < 0.05:
        await control.delete("tokens")
        return "tokens revoked"
    if roll < 0.12:
        outage = {"kind": "503", "provider": dice.choice(_PROVIDERS), "times": None}
        response = await control.post("faults", json=outage)
        response.raise_for_status()
        await _pause(stop, 3 + 5 * dice.random())
        await control.delete(f"faults/{response.json()['id']}")
        return "outage"
    fault = dict(dice.choice(_KINDS))
    fault |= {
        "provider": dice.choice(_PROVIDERS),
        "times": dice.randint(1, 12),
        "probability": dice.choice((1.0, 1.0, 0.3)),
        "seed": dice.getrandbits(31),
    }
    response = await control.post("faults", json=fault)
    response.raise_for_status()
    return str(fault["kind"])


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
