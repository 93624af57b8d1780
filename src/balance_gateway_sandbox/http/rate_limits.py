"""Enforce the providers' rate limits and build their rate-limit headers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from balance_gateway_sandbox.options import RateLimitOptions
from balance_gateway_sandbox.state.company import Provider


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """The result of counting one request.

    Attributes:
        refused: Whether the limit was already reached (429).
        headers: The provider's rate-limit headers, sent with every response.
    """

    refused: bool
    headers: dict[str, str]


@dataclass(slots=True)
class _Window:
    ends_at: int
    used: int = 0


class RateLimiter:
    """Counts requests per key, tenant and business in fixed windows of the sandbox's clock.

    Undocumented: how windows are aligned. Light and Asset give the reset as a unix time, so a
    window is one clock minute. Layer's bucket "is refilled every second", so a window is a second.
    """

    def __init__(self, now: Callable[[], datetime], limits: Callable[[], RateLimitOptions]) -> None:
        self._now = now
        self._limits = limits
        self._windows: dict[tuple[str, str], _Window] = {}

    def charge(self, provider: Provider, credential: str, business_id: str | None) -> ChargeResult:
        """Count one request of an authenticated caller."""
        limits = self._limits()
        if provider == "light":
            return self._charge_light(credential, limits.light_per_minute)
        if provider == "asset":
            return self._charge_asset(credential, business_id, limits)
        return self._charge_layer(credential, limits.layer_per_second)

    def reset(self) -> None:
        """Discard all counts."""
        self._windows.clear()

    def _charge_light(self, credential: str, limit: int | None) -> ChargeResult:
        """Send X-RateLimit-* with every response and, on 429, `Retry-After` in seconds."""
        if limit is None:
            return ChargeResult(refused=False, headers={})
        window = self._find_window("light", credential, 60)
        refused, headers = _consume(window, limit, "X-RateLimit-{}")
        if refused:
            headers["Retry-After"] = self._format_seconds_left(window)
        return ChargeResult(refused, headers)

    def _charge_asset(
        self, tenant: str, business_id: str | None, limits: RateLimitOptions
    ) -> ChargeResult:
        """Send lower-case x-ratelimit-* with every response. No `Retry-After` is documented.

        "300 requests per minute" per tenant and per business, independently. Undocumented: which of
        the two limits the headers describe. Here it is the one with fewer requests remaining.
        """
        # The read-only client belongs to the same tenant and shares its budget.
        budgets = [
            ("asset-tenant", tenant.removesuffix("-read-only"), limits.asset_tenant_per_minute)
        ]
        if business_id is not None:
            budgets.append(("asset-business", business_id, limits.asset_business_per_minute))
        charges = [
            _consume(self._find_window(kind, key, 60), limit, "x-ratelimit-{}")
            for kind, key, limit in budgets
            if limit is not None
        ]
        if not charges:
            return ChargeResult(refused=False, headers={})
        tightest = min(charges, key=lambda charge: int(charge[1]["x-ratelimit-remaining"]))
        return ChargeResult(any(refused for refused, _ in charges), tightest[1])

    def _charge_layer(self, credential: str, limit: int | None) -> ChargeResult:
        """Send X-RateLimit-* with every response and, on 429, `Retry-After` in seconds."""
        if limit is None:
            return ChargeResult(refused=False, headers={})
        window = self._find_window("layer", credential, 1)
        refused, headers = _consume(window, limit, "X-RateLimit-{}")
        if refused:
            headers["Retry-After"] = self._format_seconds_left(window)
        return ChargeResult(refused, headers)

    def _find_window(self, kind: str, key: str, length_s: int) -> _Window:
        now = int(self._now().timestamp())
        window = self._windows.get((kind, key))
        # A test may move the clock backwards, which also starts a new window.
        if window is None or not window.ends_at - length_s <= now < window.ends_at:
            window = _Window(ends_at=now - now % length_s + length_s)
            self._windows[kind, key] = window
        return window

    def _format_seconds_left(self, window: _Window) -> str:
        return str(max(1, window.ends_at - int(self._now().timestamp())))


def _consume(window: _Window, limit: int, name: str) -> tuple[bool, dict[str, str]]:
    refused = window.used >= limit
    if not refused:
        window.used += 1
    words = ("Limit", "Remaining", "Reset")
    values = (limit, max(0, limit - window.used), window.ends_at)
    return refused, {
        name.format(word.lower() if name.islower() else word): str(value)
        for word, value in zip(words, values, strict=True)
    }
