"""The field ``bankAccount(id)`` and the fields of ``BankAccount``."""

from datetime import UTC, datetime

from balance_gateway.domain.accounts import Capability, Side
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource, Tag
from balance_gateway.domain.errors import ProviderTimeout, ProviderUnavailable
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import FreshnessState
from tests.api.fakes import OTHER, GatewayHarness, account, observed, open_client

ONE = (
    "query ($id: ID!) { bankAccount(id: $id) { id name currency provider timeZone normalBalance } }"
)


async def test_account_returns_configured_fields(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(ONE, {"id": "acct_card"})

    assert data["bankAccount"] == {
        "id": "acct_card",
        "name": "Card USD",
        "currency": "USD",
        "provider": "ASSET",
        "timeZone": "UTC",
        "normalBalance": "CREDIT",
    }
    assert harness.reads.side_calls == []


async def test_unknown_normal_balance_is_read_from_the_provider(harness: GatewayHarness):
    harness.reads.sides["acct_yen"] = Side.CREDIT

    async with open_client(harness) as client:
        data = await client.data(ONE, {"id": "acct_yen"})

    assert data["bankAccount"]["normalBalance"] == "CREDIT"


async def test_failed_normal_balance_nulls_no_other_field(harness: GatewayHarness):
    harness.reads.sides["acct_yen"] = ProviderTimeout("Too slow.", account_id="acct_yen")

    async with open_client(harness) as client:
        answer = await client.ask("{ bankAccounts { nodes { id normalBalance } } }")

    nodes = answer["data"]["bankAccounts"]["nodes"]
    assert [node["id"] for node in nodes] == [
        "acct_card", "acct_dinar", "acct_operating", "acct_savings", "acct_yen",
    ]  # fmt: skip
    assert nodes[4]["normalBalance"] is None
    [error] = answer["errors"]
    assert error["path"] == ["bankAccounts", "nodes", 4, "normalBalance"]
    assert error["extensions"]["code"] == "PROVIDER_TIMEOUT"


async def test_foreign_account_looks_like_an_unknown_account(harness: GatewayHarness):
    async with open_client(harness) as client:
        foreign = await client.ask(ONE, {"id": "acct_foreign"})
        missing = await client.ask(ONE, {"id": "acct_missing"})
        mine = await client.data(ONE, {"id": "acct_foreign"}, key=OTHER)

    assert mine["bankAccount"]["id"] == "acct_foreign"
    for answer, account_id in ((foreign, "acct_foreign"), (missing, "acct_missing")):
        assert answer["data"] == {"bankAccount": None}
        [error] = answer["errors"]
        assert error["path"] == ["bankAccount"]
        assert error["extensions"] == {
            "code": "ACCOUNT_NOT_FOUND",
            "retryable": False,
            "accountId": account_id,
        }
    assert foreign["errors"][0]["message"] == missing["errors"][0]["message"]


async def test_malformed_id_is_unknown_and_long_id_is_rejected(harness: GatewayHarness):
    async with open_client(harness) as client:
        malformed = await client.ask(ONE, {"id": "../../admin"})
        long = await client.ask(ONE, {"id": "a" * 65})

    assert malformed["errors"][0]["extensions"]["code"] == "ACCOUNT_NOT_FOUND"
    assert long["errors"][0]["extensions"] == {
        "code": "BAD_USER_INPUT",
        "retryable": False,
        "field": "id",
    }


OPENING = """{ bankAccount(id: "acct_operating") { openingBalance {
  amount { minorUnits amount currency exponent } effectiveAt source createdAt updatedAt
  memo referenceNumber metadata freshness { state ageSeconds observedAt staleReason }
  tags { tagId key value dimensionId definitionId dimensionDisplayName valueDisplayName archivedAt }
} } }"""


async def test_missing_opening_balance_is_null_without_an_error(harness: GatewayHarness):
    async with open_client(harness) as client:
        data = await client.data(OPENING)

    assert data == {"bankAccount": {"openingBalance": None}}


async def test_opening_balance_returns_every_provider_field(harness: GatewayHarness):
    at = datetime(2025, 1, 31, 23, 0, tzinfo=UTC)
    harness.reads.opening_answers["acct_operating"] = observed(
        OpeningBalance(
            Money(-50, "EUR"), at, OpeningBalanceSource.PROVIDER, at, at, "Memo", "REF-1",
            (Tag("t", "k", "v", "d", "e", archived_at=at),), {"a": [1, 2**70]},
        ),
        age_s=61.9,
        state=FreshnessState.STALE,
        stale_reason="The provider is down.",
    )  # fmt: skip

    async with open_client(harness) as client:
        data = await client.data(OPENING)

    opening = data["bankAccount"]["openingBalance"]
    assert opening["amount"] == {
        "minorUnits": "-50", "amount": "-0.50", "currency": "EUR", "exponent": 2,
    }  # fmt: skip
    assert opening["effectiveAt"] == "2025-01-31T23:00:00Z"
    assert opening["source"] == "PROVIDER"
    assert opening["metadata"] == {"a": [1, 2**70]}
    assert opening["tags"][0]["dimensionDisplayName"] is None
    assert opening["tags"][0]["archivedAt"] == "2025-01-31T23:00:00Z"
    assert opening["freshness"]["state"] == "STALE"
    assert opening["freshness"]["ageSeconds"] == 61
    assert opening["freshness"]["staleReason"] == "The provider is down."


async def test_memo_with_half_a_surrogate_pair_is_encoded(harness: GatewayHarness):
    harness.reads.opening_answers["acct_operating"] = observed(
        OpeningBalance(
            Money(1, "EUR"), None, OpeningBalanceSource.PROVIDER, memo="\ud800", metadata={"n": 1}
        )
    )

    async with open_client(harness) as client:
        response = await client.post(OPENING)

    assert response.status_code == 200
    assert response.json()["data"]["bankAccount"]["openingBalance"]["memo"] == "?"
    assert response.json()["data"]["bankAccount"]["openingBalance"]["metadata"] == {"n": 1}


async def test_failed_opening_balance_keeps_the_balance(harness: GatewayHarness):
    harness.reads.opening_answers["acct_operating"] = ProviderUnavailable(
        "The provider is down.", account_id="acct_operating", provider="LIGHT", retry_after_s=1.2
    )

    async with open_client(harness) as client:
        answer = await client.ask(
            '{ bankAccount(id: "acct_operating") { openingBalance { memo } balance { asOf } } }'
        )

    assert answer["data"]["bankAccount"]["openingBalance"] is None
    assert answer["data"]["bankAccount"]["balance"] == {"asOf": "2026-11-21"}
    [error] = answer["errors"]
    assert error["path"] == ["bankAccount", "openingBalance"]
    assert error["extensions"] == {
        "code": "PROVIDER_UNAVAILABLE",
        "accountId": "acct_operating",
        "provider": "LIGHT",
        "retryable": True,
        "retryAfterSeconds": 2,
    }


async def test_opening_balances_are_read_in_one_call(harness: GatewayHarness):
    async with open_client(harness) as client:
        await client.data("{ bankAccounts { nodes { openingBalance { memo } } } }")

    assert len(harness.reads.opening_calls) == 1
    assert len(harness.reads.opening_calls[0]) == 5


async def test_age_is_never_negative(harness: GatewayHarness):
    harness.now = add_seconds(harness.now, -5)

    async with open_client(harness) as client:
        data = await client.data(
            '{ bankAccount(id: "acct_yen") { balance { freshness { ageSeconds } } } }'
        )

    assert data["bankAccount"]["balance"]["freshness"]["ageSeconds"] == 0


def add_seconds(instant: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(instant.timestamp() + seconds, UTC)


async def test_capabilities_are_the_configured_ones_without_a_call():
    capabilities = frozenset({Capability.WRITE_MEMO, Capability.READ_LEDGER_BALANCE})
    harness = GatewayHarness([account("acct_yen", capabilities=capabilities)])

    async with open_client(harness) as client:
        data = await client.data('{ bankAccount(id: "acct_yen") { capabilities } }')

    assert data["bankAccount"] == {"capabilities": ["READ_LEDGER_BALANCE", "WRITE_MEMO"]}
    assert (harness.reads.calls, harness.reads.side_calls) == ([], [])
