"""For those who run it: /healthz (the process), /readyz (can it serve), /metrics (Prometheus)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

log = structlog.get_logger("balance_gateway.web")

#: Raises, or returns False, when what it looks at is not there.
Check = Callable[[], Awaitable[object]]

_NO_STORE = {"cache-control": "no-store"}


class HealthEndpoints:
    """Health, readiness and metrics of this process.

    Args:
        checks: what has to be there to serve, by name.
        helpers: what serving is better with, by name: without it the process is ready all the
            same, and says that it is degraded. Were it not ready, an outage of the cache that all
            replicas share would take every one of them out of service.
        registry: the metrics.
        check_timeout_s: after which a check has failed.
    """

    def __init__(
        self,
        *,
        checks: Mapping[str, Check],
        helpers: Mapping[str, Check] = MappingProxyType({}),
        registry: CollectorRegistry,
        check_timeout_s: float = 2.0,
    ) -> None:
        self._checks = {**checks, **helpers}
        self._helpers = frozenset(helpers)
        self._registry = registry
        self._check_timeout_s = check_timeout_s
        self._draining = False

    def start_draining(self) -> None:
        """From now on the process is not ready, so that no new requests are sent to it."""
        self._draining = True

    async def healthz(self, _request: Request) -> Response:
        """200 as long as the process can answer at all."""
        return JSONResponse({"status": "ok"}, headers=_NO_STORE)

    async def readyz(self, _request: Request) -> Response:
        """200 when it can serve; 503 names the checks that failed, or says draining."""
        if self._draining:
            return JSONResponse({"status": "draining"}, status_code=503, headers=_NO_STORE)
        names = list(self._checks)
        passed = await asyncio.gather(*map(self._passes, names))
        checks = {
            name: "ok" if good else "failed" for name, good in zip(names, passed, strict=True)
        }
        missing = {name for name, good in zip(names, passed, strict=True) if not good}
        ready = missing <= self._helpers
        status = ("degraded" if missing else "ready") if ready else "not ready"
        return JSONResponse(
            {"status": status, "checks": checks},
            status_code=200 if ready else 503,
            headers=_NO_STORE,
        )

    async def metrics(self, _request: Request) -> Response:
        """The metrics in Prometheus' text format."""
        return Response(
            generate_latest(self._registry),
            headers={"content-type": CONTENT_TYPE_LATEST, **_NO_STORE},
        )

    async def _passes(self, name: str) -> bool:
        try:
            async with asyncio.timeout(self._check_timeout_s):
                return await self._checks[name]() is not False
        except Exception as error:
            log.warning("readiness.check_failed", check=name, kind=type(error).__qualname__)
            return False
