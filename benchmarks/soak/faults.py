"""Injects random faults of the providers through the sandbox's control API."""

import asyncio
import random
from typing import Any

import httpx

_PROVIDERS = ("light", "asset", "layer")

#: None of these makes a provider return a wrong figure that looks valid.
_FAULTS: tuple[dict[str, Any], ...] = (
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


async def inject_faults(sandbox_url: str, seed: int, stop: asyncio.Event) -> dict[str, int]:
    """Set faults until ``stop`` is set, and clear them; return the number of faults by kind."""
    rng = random.Random(f"{seed}/faults")
    counts: dict[str, int] = {}
    async with httpx.AsyncClient(
        base_url=f"{sandbox_url}/_control/", timeout=30, trust_env=False
    ) as control:
        while not stop.is_set():
            kind = await _inject_fault(control, rng, stop)
            counts[kind] = counts.get(kind, 0) + 1
            await _sleep(stop, 0.5 + 2.5 * rng.random())
            # An open circuit breaker sends only probes, so a fault for twelve requests would keep a
            # provider down for minutes.
            await control.delete("faults")
    return counts


async def _inject_fault(control: httpx.AsyncClient, rng: random.Random, stop: asyncio.Event) -> str:
    choice = rng.random()
    if choice < 0.05:
        await control.delete("tokens")
        return "tokens revoked"
    if choice < 0.12:
        outage = {"kind": "503", "provider": rng.choice(_PROVIDERS), "times": None}
        response = await control.post("faults", json=outage)
        response.raise_for_status()
        await _sleep(stop, 3 + 5 * rng.random())
        await control.delete(f"faults/{response.json()['id']}")
        return "outage"
    fault = dict(rng.choice(_FAULTS))
    fault |= {
        "provider": rng.choice(_PROVIDERS),
        "times": rng.randint(1, 12),
        "probability": rng.choice((1.0, 1.0, 0.3)),
        "seed": rng.getrandbits(31),
    }
    response = await control.post("faults", json=fault)
    response.raise_for_status()
    return str(fault["kind"])


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
