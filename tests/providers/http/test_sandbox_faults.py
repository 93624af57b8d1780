"""Every sandbox fault at every provider: the designed error, in time and without a secret."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from balance_gateway.domain.errors import (
    GatewayError,
    ProviderBadResponse,
    ProviderCredentialsRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from tests.providers.conftest import (
    SandboxServer,
    assert_contains_no_secret,
    make_query,
)
from tests.providers.contract import find_cases
from tests.providers.sandbox_case import SandboxCase

Connect = Callable[..., Any]
CASES = [case for case in find_cases() if isinstance(case, SandboxCase)]
TOKEN_CASES = [case for case in CASES if case.has_token_endpoint]

#: Time limit for faults that end in a timeout; the others get enough time for a busy machine.
TIMEOUT_S = 0.4
GENEROUS_TIMEOUT_S = 5.0
UNLIMITED: dict[str, Any] = {"times": None}

Unavailable, Timeout, Bad = ProviderUnavailable, ProviderTimeout, ProviderBadResponse

#: Kind, its arguments, error of a read, error of a write, maybe_applied of the write.
#: An error of None means that the fault has no effect.
FAULTS: list[tuple[str, dict[str, Any], type | None, type | None, bool]] = [
    ("delay", {"delay_s": 1.5}, Timeout, Timeout, True),
    ("delay", {"delay_after_s": 1.5}, Timeout, Timeout, True),
    ("delay", {"delay_s": 0.05}, None, None, False),
    ("400", {}, ProviderRejected, ProviderRejected, False),
    ("403", {}, ProviderCredentialsRejected, ProviderCredentialsRejected, False),
    ("404", {}, ProviderRejected, ProviderRejected, False),
    ("408", {}, Timeout, Timeout, True),
    ("409", {}, ProviderRejected, ProviderRejected, False),
    ("422", {}, ProviderRejected, ProviderRejected, False),
    ("429", {"retry_after_s": 3}, ProviderRateLimited, ProviderRateLimited, False),
    ("429", {}, ProviderRateLimited, ProviderRateLimited, False),
    ("500", {}, Unavailable, Unavailable, True),
    ("503", {}, Unavailable, Unavailable, True),
    ("503", {"body": "<html>down"}, Unavailable, Unavailable, True),
    ("redirect", {"location": "http://evil.example/x"}, Bad, Bad, False),
    ("redirect", {"location": "http://evil.example/x", "status": 303}, Bad, Bad, True),
    ("body", {"body": "<html>hello"}, Bad, Bad, True),
    ("body", {"body": "[]"}, Bad, Bad, True),
    ("error_body_200", {}, GatewayError, GatewayError, True),
    ("drop_before", {}, Unavailable, Unavailable, True),
    ("drop_after", {}, Unavailable, Unavailable, True),
    ("late_landing", {"delay_s": 0.1}, Unavailable, Unavailable, True),
    ("late_landing", {"delay_s": 0.1, "status": 504}, Unavailable, Unavailable, True),
    ("endless_body", {}, GatewayError, GatewayError, True),
    ("endless_headers", {}, GatewayError, GatewayError, True),
    ("slow_body", {"interval_s": 0.02}, Timeout, Timeout, True),
    ("truncated_body", {}, Unavailable, Unavailable, True),
    ("malformed_json", {}, Bad, Bad, True),
    ("huge_json", {"bytes": 9 * 2**20}, GatewayError, GatewayError, True),
    ("wrong_types", {}, Bad, Bad, True),
    ("nan", {}, Bad, Bad, True),
    ("overflow", {}, Bad, Bad, True),
    ("duplicate_keys", {}, Bad, Bad, True),
    ("unknown_enum", {"fields": ["ledger_type", "account_type", "external_account_source"]},
     None, None, False),
    ("extra_fields", {}, None, None, False),
]  # fmt: skip


def choose_timeout_s(expected: type | None) -> float:
    return TIMEOUT_S if expected is Timeout else GENEROUS_TIMEOUT_S


def format_fault_id(fault: Any) -> str:
    return "-".join([fault[0], *(f"{value}"[:12] for value in fault[1].values())])


@pytest.fixture(params=CASES, ids=[case.name for case in CASES])
def case(request: pytest.FixtureRequest) -> SandboxCase:
    found: SandboxCase = request.param
    return found


@pytest.mark.parametrize("fault", FAULTS, ids=format_fault_id)
async def test_fault_on_a_balance_read(
    connect: Connect, case: SandboxCase, sandbox: SandboxServer, fault: Any
) -> None:
    kind, options, expected, _, _ = fault
    account = case.operating_with_side
    provider = connect(case.name, timeout_s=choose_timeout_s(expected))
    query = make_query(account, "2026-05-07")
    sandbox.fault(kind, provider=case.name, path="balance", **UNLIMITED, **options)

    started = time.monotonic()
    try:
        [result] = await provider.balances([query])
    except GatewayError as error:
        result = error

    assert time.monotonic() - started < choose_timeout_s(expected) + 1
    assert isinstance(result, expected or object)
    assert isinstance(result, GatewayError) is (expected is not None)
    if isinstance(result, ProviderError):
        assert not result.maybe_applied
        assert result.provider == case.kind.name
        assert "Scripted" not in str(result)
        assert_contains_no_secret(result)
    if kind == "429":
        assert isinstance(result, ProviderRateLimited)
        assert result.retry_after_s == options.get("retry_after_s")


@pytest.mark.parametrize("fault", FAULTS, ids=format_fault_id)
async def test_fault_on_a_write(
    connect: Connect, case: SandboxCase, sandbox: SandboxServer, fault: Any
) -> None:
    kind, options, _, expected, maybe_applied = fault
    account = case.operating_with_side
    provider = connect(case.name, timeout_s=choose_timeout_s(expected))
    sandbox.fault(kind, provider=case.name, path=case.last_write_path, **UNLIMITED, **options)
    write = case.write(account, 4242)

    started = time.monotonic()
    result: Any = None
    try:
        result = await provider.set_opening_balance(write)
    except GatewayError as error:
        result = error

    assert time.monotonic() - started < choose_timeout_s(expected) + 1
    assert isinstance(result, expected or object)
    assert isinstance(result, GatewayError) is (expected is not None)
    if isinstance(result, ProviderError):
        # The fault hits the last call: an earlier one may have applied the write.
        assert result.maybe_applied is (maybe_applied or case.calls_per_write > 1)
        assert "Scripted" not in str(result)
        assert_contains_no_secret(result)
    sent = [one for one in sandbox.requests() if "token" not in one["path"]]
    assert len(sent) == case.calls_per_write


@pytest.mark.parametrize("kind", ["wrong_account", "wrong_currency"])
async def test_response_for_another_account_or_currency(
    connect: Connect, case: SandboxCase, sandbox: SandboxServer, kind: str
) -> None:
    """A currency that the response does not name cannot be wrong."""
    account = case.operating_with_side
    provider = connect(case.name)
    sandbox.fault(kind, provider=case.name, path="balance", **UNLIMITED)
    harmless = kind == "wrong_currency" and not case.names_currency

    try:
        [result] = await provider.balances([make_query(account, "2026-05-07")])
    except GatewayError as error:
        result = error

    assert isinstance(result, ProviderBadResponse) is not harmless


@pytest.mark.parametrize("case", TOKEN_CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("401", {}, ProviderCredentialsRejected),
        ("429", {}, ProviderRateLimited),
        ("503", {}, Unavailable),
        ("drop_before", {}, Unavailable),
        ("delay", {"delay_s": 1.5}, Timeout),
        ("malformed_json", {}, Bad),
        ("slow_body", {}, Timeout),
        ("redirect", {"location": "http://evil.example/x"}, Bad),
    ],
)
async def test_fault_of_the_token_endpoint(
    connect: Connect,
    sandbox: SandboxServer,
    case: SandboxCase,
    kind: str,
    options: Any,
    expected: type,
) -> None:
    account = case.operating_with_side
    provider = connect(case.name, timeout_s=choose_timeout_s(expected))
    sandbox.fault(kind, provider=case.name, path="/token$", **UNLIMITED, **options)

    started = time.monotonic()
    with pytest.raises(expected) as caught:
        await provider.set_opening_balance(case.write(account, 1))

    assert time.monotonic() - started < choose_timeout_s(expected) + 1
    assert not caught.value.maybe_applied  # type: ignore[attr-defined]
    assert_contains_no_secret(caught.value)
    assert [one for one in sandbox.requests() if not one["path"].endswith("/token")] == []


@pytest.mark.parametrize("case", TOKEN_CASES, ids=lambda case: case.name)
async def test_revoked_tokens_are_renewed(
    connect: Connect, sandbox: SandboxServer, case: SandboxCase
) -> None:
    account = case.operating_with_side
    provider = connect(case.name)
    await provider.balances([make_query(account, "2026-05-07")])
    sandbox.control("DELETE", "tokens")

    write = case.write(account, 99)
    stored = await provider.set_opening_balance(write)

    assert stored.amount.minor_units == 99
