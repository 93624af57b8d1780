"""Serve /healthz (liveness), /readyz (readiness) and /metrics (Prometheus) to operators."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from balance_gateway.domain.errors import Unauthenticated
from balance_gateway.web.auth import parse_bearer_token
from balance_gateway.web.failed_credentials import FailedCredentials
from balance_gateway.web.request_headers import headers_by_name

log = structlog.get_logger("balance_gateway.web")

#: A health check; it fails by raising or by returning False. An error's ``reason`` is shown.
Check = Callable[[], Awaitable[object]]

_NO_STORE = {"cache-control": "no-store"}


class HealthEndpoints:
    """Health, readiness and metrics of this process.

    Args:
        checks: the checks that must pass for the process to be ready, by name.
        optional_checks: the checks, by name, that only make the process degraded when they
            fail; it stays ready.
        registry: the metrics.
        check_timeout_s: the time in seconds after which a check counts as failed.
        metrics_key_sha256: SHA-256 of the key that /metrics requires; None: it requires none.
        failures: counts wrong keys.
        get_configuration: returns the version of the configuration that is in use, which /readyz
            shows; empty: it shows none.
    """

    def __init__(
        self,
        *,
        checks: Mapping[str, Check],
        optional_checks: Mapping[str, Check] = MappingProxyType({}),
        registry: CollectorRegistry,
        check_timeout_s: float = 2.0,
        metrics_key_sha256: bytes | None = None,
        failures: FailedCredentials | None = None,
        get_configuration: Callable[[], str] = lambda: "",
    ) -> None:
        self._get_configuration = get_configuration
        self._failures = failures or FailedCredentials()
        self._checks = {**checks, **optional_checks}
        self._optional = frozenset(optional_checks)
        self._registry = registry
        self._check_timeout_s = check_timeout_s
        self._metrics_key_sha256 = metrics_key_sha256
        self._draining = False

    def start_draining(self) -> None:
        """Report the process as not ready from now on, so that it gets no new requests."""
        self._draining = True

    async def healthz(self, _request: Request) -> Response:
        """Return 200 while the process can respond at all."""
        return JSONResponse({"status": "ok"}, headers=_NO_STORE)

    async def readyz(self, _request: Request) -> Response:
        """Return 200 when the process can serve; 503 names the failed checks or says draining."""
        if self._draining:
            return JSONResponse({"status": "draining"}, status_code=503, headers=_NO_STORE)
        names = list(self._checks)
        failures = await asyncio.gather(*map(self._find_failure, names))
        # The reason of a failure, empty where it is not known.
        failed = {
            name: reason for name, reason in zip(names, failures, strict=True) if reason is not None
        }
        checks = {name: "failed" if name in failed else "ok" for name in names}
        # All replicas share the cache: if its outage made them not ready, it would take every
        # replica out of service at once.
        ready = failed.keys() <= self._optional
        status = ("degraded" if failed else "ready") if ready else "not ready"
        reasons = {name: reason for name, reason in failed.items() if reason}
        body: dict[str, object] = {"status": status, "checks": checks}
        if reasons:
            body["reasons"] = reasons
        if version := self._get_configuration():
            body["configuration"] = version
        return JSONResponse(
            body,
            status_code=200 if ready else 503,
            headers=_NO_STORE,
        )

    async def metrics(self, request: Request) -> Response:
        """Return the metrics in Prometheus' text format; 401 without the key, if there is one."""
        refusal = self._refuse_metrics(request)
        if refusal is not None:
            return refusal
        return Response(
            generate_latest(self._registry),
            headers={"content-type": CONTENT_TYPE_LATEST, **_NO_STORE},
        )

    def _refuse_metrics(self, request: Request) -> Response | None:
        """Return the refusal of a request without the key; None if it has the key or needs none."""
        if self._metrics_key_sha256 is None:
            return None
        headers = headers_by_name(request.scope["headers"])
        retry_after_s = None
        try:
            key = parse_bearer_token(headers.get(b"authorization"))
        except Unauthenticated:
            pass
        else:
            digest = hashlib.sha256(key.encode()).digest()
            if hmac.compare_digest(digest, self._metrics_key_sha256):
                return None
            retry_after_s = self._failures.count(request.scope, headers)
        if retry_after_s is not None:
            return JSONResponse(
                {"error": "Too many wrong credentials; retry later."},
                status_code=429,
                headers={"retry-after": str(retry_after_s), **_NO_STORE},
            )
        return JSONResponse(
            {"error": "Send 'Authorization: Bearer <key>' with the key of server.metrics_key."},
            status_code=401,
            headers={"www-authenticate": "Bearer", **_NO_STORE},
        )

    async def _find_failure(self, name: str) -> str | None:
        """Run a check; return None if it passed, else the reason, empty if it is not known."""
        try:
            async with asyncio.timeout(self._check_timeout_s):
                return None if await self._checks[name]() is not False else ""
        except Exception as error:
            log.warning("readiness.check_failed", check=name, kind=type(error).__qualname__)
            return str(getattr(error, "reason", ""))
