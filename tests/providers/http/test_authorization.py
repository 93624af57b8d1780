"""Access tokens: three forms of expiry, one shared request, renewal, failures."""

import asyncio
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from balance_gateway.domain.accounts import ProviderKind, Side
from balance_gateway.domain.errors import (
    BudgetSpent,
    CircuitOpen,
    ProviderBadResponse,
    ProviderCredentialsRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from balance_gateway.domain.secret import Secret
from balance_gateway.ports.provider_call import ProviderCall
from balance_gateway.providers.http.authorization import TokenAuthorization, compute_renewal_time
from balance_gateway.providers.http.client import ProviderHTTP
from balance_gateway.providers.http.errors import Operation, ProviderResponse
from balance_gateway.providers.http.json_fields import MalformedResponse
from tests.providers import fake_servers
from tests.providers.conftest import FakeClock, assert_contains_no_secret, make_account, make_write
from tests.providers.fake_servers import FakeAssetServer, FakeLayerServer, ReceivedRequest, Reply

LAYER = make_account(ProviderKind.LAYER, normal_balance=Side.DEBIT)
ASSET = make_account(ProviderKind.ASSET, normal_balance=Side.DEBIT)
AT = datetime(2026, 5, 1, 16, 39, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expires_in", "life_s"),
    [
        (None, 3540),
        (3600, 3540),
        ("3600", 3540),
        (Decimal("3600.0"), 3540),
        (10, 9),
        (1777657168, 3540),
        ("1777657168", 3540),
        (10**400, 86340),
        (999_999_999, 86340),
        (0, 5),
        (-3, 5),
        (1_000_000_001, 5),
    ],
)
def test_expiry_is_read_in_three_forms(expires_in: object, life_s: float) -> None:
    """1777657168 is the example on Asset's page: an instant, not fifty-six years."""
    assert compute_renewal_time(expires_in, AT) == AT + timedelta(seconds=life_s)


@pytest.mark.parametrize("expires_in", [True, "soon", "1e3", "-5", [], {}, "٣", Decimal("1e999")])
def test_expiry_in_unknown_form_is_rejected(expires_in: object) -> None:
    with pytest.raises(MalformedResponse):
        compute_renewal_time(expires_in, AT)


@pytest.mark.parametrize("form", ["absent", "duration", "unix"])
async def test_token_is_cached_until_shortly_before_expiry(
    make: Any, fake_layer: FakeLayerServer, clock: FakeClock, form: str
) -> None:
    expires = {"duration": 3600, "unix": int(clock.now.timestamp()) + 3600}
    fake_layer.token_body = {"token_type": "bearer"}
    if form in expires:
        fake_layer.token_body["expires_in"] = expires[form]
    layer = make.layer(fake_layer.url)

    await layer.opening_balance(LAYER)
    clock.now += timedelta(seconds=3539)
    await layer.opening_balance(LAYER)
    assert fake_layer.token_calls() == 1

    clock.now += timedelta(seconds=2)
    await layer.opening_balance(LAYER)
    assert fake_layer.token_calls() == 2


async def test_fifty_calls_at_once_fetch_one_token(make: Any, fake_layer: FakeLayerServer) -> None:
    fake_layer.token_delay_s = 0.05
    layer = make.layer(fake_layer.url)

    await asyncio.gather(*(layer.opening_balance(LAYER) for _ in range(50)))

    assert fake_layer.token_calls() == 1
    assert len(fake_layer.calls()) == 50


async def test_cancelling_first_caller_keeps_renewal_for_others(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.token_delay_s = 0.1
    layer = make.layer(fake_layer.url)
    first = asyncio.create_task(layer.opening_balance(LAYER))
    await asyncio.sleep(0.03)
    others = [asyncio.create_task(layer.opening_balance(LAYER)) for _ in range(5)]
    await asyncio.sleep(0)

    first.cancel()

    assert all(await asyncio.gather(*others))
    assert fake_layer.token_calls() == 1


async def test_revoked_token_is_renewed_once_and_read_resent(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    layer = make.layer(fake_layer.url)
    await layer.opening_balance(LAYER)
    fake_layer.valid.clear()

    await asyncio.gather(*(layer.opening_balance(LAYER) for _ in range(10)))

    assert fake_layer.token_calls() == 2


async def test_revoked_token_is_renewed_once_and_write_resent(
    make: Any, fake_asset: FakeAssetServer
) -> None:
    """A 401 is a definite refusal: the first request changed nothing."""
    asset = make.asset(fake_asset.url)
    await asset.set_opening_balance(make_write(ASSET, 1, effective_at=None))
    fake_asset.valid.clear()

    await asset.set_opening_balance(make_write(ASSET, 2, effective_at=None))

    assert fake_asset.amount == Decimal("0.02")
    assert len(fake_asset.calls("PUT")) == 3


async def test_late_401_for_old_token_keeps_new_token(clock: FakeClock) -> None:
    fetched: list[str] = []

    async def fetch() -> ProviderResponse:
        fetched.append(f"t{len(fetched)}")
        return ProviderResponse(
            Operation("LAYER", "token request"), 200, {}, {"access_token": fetched[-1]}
        )

    tokens = TokenAuthorization(fetch, clock)
    assert tokens.cached_header() is None
    older = await tokens.get_header()
    assert tokens.cached_header() == older
    tokens.reject(older)
    assert tokens.cached_header() is None
    newer = await tokens.get_header()

    tokens.reject(older)

    assert await tokens.get_header() == newer != older
    assert fetched == ["t0", "t1"]


@pytest.mark.parametrize("write", [False, True])
async def test_second_401_rejects_the_credentials(
    make: Any, fake_asset: FakeAssetServer, fake_layer: FakeLayerServer, write: bool
) -> None:
    server: Any = fake_asset if write else fake_layer
    server.reply_with(*[Reply(401, {})] * 5)

    asset, layer = make.asset(fake_asset.url), make.layer(fake_layer.url)
    request = make_write(ASSET, 1, effective_at=None)

    with pytest.raises(ProviderCredentialsRejected) as caught:
        await (asset.set_opening_balance(request) if write else layer.opening_balance(LAYER))

    assert not caught.value.maybe_applied
    assert len(server.calls()) == 2
    assert server.token_calls() == 2
    assert_contains_no_secret(caught.value)


async def test_rejected_new_tokens_pause_further_renewals(
    make: Any, fake_layer: FakeLayerServer, clock: FakeClock
) -> None:
    """The token is not the cause then: fetching more would only use up the rate limit."""
    fake_layer.reply_with(*[Reply(401, {})] * 13)
    layer = make.layer(fake_layer.url)
    for _ in range(10):
        with pytest.raises(ProviderCredentialsRejected):
            await layer.opening_balance(LAYER)
    refused = len(fake_layer.calls()), fake_layer.token_calls()

    clock.now += timedelta(seconds=1)
    await layer.opening_balance(LAYER)

    assert refused == (12, 3)
    assert fake_layer.token_calls() == 4


async def test_token_rejected_for_many_calls_counts_as_one_renewal(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    fake_layer.reply_with(*[Reply(401, {})] * 40)
    layer = make.layer(fake_layer.url)

    outcomes = await asyncio.gather(
        *(layer.opening_balance(LAYER) for _ in range(20)), return_exceptions=True
    )
    fake_layer.valid.clear()
    again = await layer.opening_balance(LAYER)

    assert {type(one) for one in outcomes} == {ProviderCredentialsRejected}
    assert again


async def test_renewal_does_not_inherit_background_priority() -> None:
    """A write may join a renewal that a background refresh started.

    With inherited priority it would be refused by a rate limit reserved for foreground calls.
    """
    priority: ContextVar[str] = ContextVar("priority", default="foreground")
    priorities: list[str] = []

    async def fetch() -> ProviderResponse:
        priorities.append(priority.get())
        return ProviderResponse(Operation("LAYER", "token request"), 200, {}, {"access_token": "t"})

    priority.set("background")
    await TokenAuthorization(fetch, FakeClock()).get_header()

    assert priorities == ["foreground"]


@pytest.mark.parametrize("refusal", [BudgetSpent("x", retry_after_s=30), CircuitOpen("x")])
async def test_call_gate_refusal_is_not_a_token_endpoint_failure(
    refusal: ProviderError,
) -> None:
    refusals = [refusal] * 5

    async def fetch() -> ProviderResponse:
        if refusals:
            raise refusals.pop()
        return ProviderResponse(Operation("LAYER", "token request"), 200, {}, {"access_token": "t"})

    tokens = TokenAuthorization(fetch, FakeClock())
    for _ in range(5):
        with pytest.raises(type(refusal)):
            await tokens.get_header()

    assert await tokens.get_header() == "Bearer t"


async def test_exhausted_token_endpoint_delays_token_requests_only(clock: FakeClock) -> None:
    """Its headers once stopped the connector's other calls."""
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "300"}
    fetched = 0

    async def fetch() -> ProviderResponse:
        nonlocal fetched
        fetched += 1
        body = {"access_token": f"t{fetched}"}
        return ProviderResponse(Operation("LAYER", "token request"), 200, headers, body)

    tokens = TokenAuthorization(fetch, clock)
    first = await tokens.get_header()
    again = await tokens.get_header()
    tokens.reject(first)
    clock.now += timedelta(seconds=100)
    with pytest.raises(ProviderRateLimited) as caught:
        await tokens.get_header()
    clock.now += timedelta(seconds=200)

    assert (first, again, caught.value.retry_after_s) == ("Bearer t1", "Bearer t1", 200)
    assert await tokens.get_header() == "Bearer t2"


async def test_token_endpoint_s_retry_after_is_kept(clock: FakeClock) -> None:
    responses = [(429, {"retry-after": "120"}), (200, {})]

    async def fetch() -> ProviderResponse:
        status, headers = responses.pop(0)
        operation = Operation("LAYER", "token request")
        return ProviderResponse(operation, status, headers, {"access_token": "t"})

    tokens = TokenAuthorization(fetch, clock)
    waits = []
    for _ in range(4):
        with pytest.raises(ProviderRateLimited) as caught:
            await tokens.get_header()
        waits.append(caught.value.retry_after_s)
        clock.now += timedelta(seconds=30)

    assert waits == [120, 90, 60, 30]
    assert await tokens.get_header() == "Bearer t"


async def test_token_requests_are_reported_as_such(fake_layer: FakeLayerServer) -> None:
    calls: list[ProviderCall] = []
    http = ProviderHTTP("c", ProviderKind.LAYER, fake_layer.url, on_call=calls.append)

    await http.send_form("token request", f"{fake_layer.url}/oauth2/token", {})
    await http.send("balance read", "GET", "x")
    await http.aclose()

    assert [call.is_token_request for call in calls] == [True, False]


async def test_fixed_token_is_not_renewed(make: Any, fake_layer: FakeLayerServer) -> None:
    layer = make.layer(fake_layer.url, access_token=Secret("wrong"), token_url=None)

    with pytest.raises(ProviderCredentialsRejected):
        await layer.opening_balance(LAYER)

    assert len(fake_layer.received) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(400, {"error": "invalid_scope"}), ProviderCredentialsRejected),
        (Reply(401, {"error": "invalid_client"}), ProviderCredentialsRejected),
        (Reply(403, {}), ProviderCredentialsRejected),
        (Reply(429, {}), ProviderRateLimited),
        (Reply(500, {}), ProviderUnavailable),
        (Reply(200, b"{"), ProviderBadResponse),
        (Reply(200, {}), ProviderBadResponse),
        (Reply(200, {"access_token": ""}), ProviderBadResponse),
        (Reply(200, {"access_token": "a\r\nX: y"}), ProviderBadResponse),
        (Reply(200, {"access_token": 5}), ProviderBadResponse),
        (Reply(200, {"access_token": "issued-secret-token-x", "token_type": "MAC"}), None),
        (Reply(200, {"access_token": "issued-secret-token-x", "expires_in": "soon"}), None),
        (Reply(307, b"", {"location": "/oauth2/elsewhere/token"}), ProviderBadResponse),
    ],
)
async def test_write_without_token_was_never_sent(
    make: Any, fake_asset: FakeAssetServer, reply: Reply, kind: type[ProviderError] | None
) -> None:
    async def no_token(request: ReceivedRequest, _: Any) -> Reply | None:
        return reply if request.path.endswith("token") else fake_asset.respond(request)

    fake_asset.handler = no_token

    with pytest.raises(kind or ProviderBadResponse) as caught:
        await make.asset(fake_asset.url).set_opening_balance(
            make_write(ASSET, 1, effective_at=None)
        )

    assert not caught.value.maybe_applied
    assert fake_asset.calls() == []
    assert fake_asset.token_calls() == 1
    assert_contains_no_secret(caught.value)


async def test_slow_token_fails_within_time_limit(make: Any, fake_asset: FakeAssetServer) -> None:
    fake_asset.token_delay_s = 2
    asset = make.asset(fake_asset.url, timeout_s=0.2)

    async with asyncio.timeout(1):
        with pytest.raises(ProviderTimeout) as caught:
            await asset.set_opening_balance(make_write(ASSET, 1, effective_at=None))

    assert not caught.value.maybe_applied


async def test_failed_renewal_is_retried_after_a_pause(
    make: Any, fake_layer: FakeLayerServer, clock: FakeClock
) -> None:
    async def down(_: ReceivedRequest, __: Any) -> Reply | None:
        return Reply(503, {})

    fake_layer.handler = down
    layer = make.layer(fake_layer.url)
    for _ in range(20):
        with pytest.raises(ProviderUnavailable):
            await layer.opening_balance(LAYER)
    assert fake_layer.token_calls() == 2

    fake_layer.handler = None
    clock.now += timedelta(seconds=1)
    assert await layer.opening_balance(LAYER)


async def test_failed_renewal_does_not_fail_the_next_call(
    make: Any, fake_layer: FakeLayerServer
) -> None:
    failures = [Reply(500, {})]

    async def once(request: ReceivedRequest, _: Any) -> Reply | None:
        return failures.pop() if failures else fake_layer.respond(request)

    fake_layer.handler = once
    layer = make.layer(fake_layer.url)

    with pytest.raises(ProviderUnavailable):
        await layer.opening_balance(LAYER)

    assert await layer.opening_balance(LAYER)


async def test_asset_token_uses_form_and_layer_token_uses_basic(
    make: Any, fake_asset: FakeAssetServer, fake_layer: FakeLayerServer
) -> None:
    await make.asset(fake_asset.url).set_opening_balance(make_write(ASSET, 1, effective_at=None))
    await make.layer(fake_layer.url, scope="https://x/y").opening_balance(LAYER)

    asset_form = fake_asset.received[0]
    layer_form = fake_layer.received[0]
    assert asset_form.headers["content-type"] == "application/x-www-form-urlencoded"
    assert b"grant_type=client_credentials" in asset_form.body
    assert b"scope=https%3A%2F%2Fx%2Fy" in layer_form.body
    assert b"grant_type=client_credentials" in layer_form.body
    assert fake_servers.CLIENT_SECRET.encode() not in layer_form.body


async def test_a_wrong_token_url_is_named_and_not_the_account() -> None:
    """A 404 of the token endpoint advised to check the account's ids."""

    async def fetch() -> ProviderResponse:
        return ProviderResponse(Operation("LAYER", "token request"), 404, {}, {})

    with pytest.raises(ProviderError) as caught:
        await TokenAuthorization(fetch, FakeClock()).get_header()

    assert "Check the connector's token_url" in caught.value.message
    assert "account" not in caught.value.message
