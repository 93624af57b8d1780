"""For those who run it: /healthz (the process), /readyz (can it serve), /metrics (Prometheus)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

log = structlog.get_logger("balance_gateway.web")

#: Raises, or returns False, when what it looks at is not there.
Check = Callable[[], Awaitable[object]]

_NO_STORE = {"cache-control": "no-store"}


class Operations:
    """Health, readiness and metrics of this process.

    Args:
        checks: what has to be there to serve, by name.
        registry: the metrics.
        check_timeout_s: after which a check has failed.
    """

    def __init__(
        self,
        *,
        checks: Mapping[str, Check],
        registry: CollectorRegistry,
        check_timeout_s: float = 2.0,
    ) -> None:
        self._checks = dict(checks)
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
        """200 when every check passes; 503 names the ones that do not, or says draining."""
        if self._draining:
            return JSONResponse({"status": "draining"}, status_code=503, headers=_NO_STORE)
        names = list(self._checks)
        passed = await asyncio.gather(*map(self._passes, names))
        checks = {
            name: "ok" if good else "failed" for name, good in zip(names, passed, strict=True)
        }
        ready = all(passed)
        status = "ready" if ready else "not ready"
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
