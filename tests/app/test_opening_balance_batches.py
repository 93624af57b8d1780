"""Opening balances of the embedded ledger are read together, and each account has its own."""

from typing import Any

from sqlalchemy import text

from balance_gateway.config.settings import Settings
from balance_gateway.domain.errors import Internal
from balance_gateway.domain.writes import WriteOutcome
from tests.app.gateway_harness import ADMIN, GatewayHarness, run_gateway
from tests.storage.statements import record_statements


async def _read(gateway: GatewayHarness) -> dict[str, Any]:
    parts = gateway.components.gateway
    accounts = [parts.directory.account(ADMIN, one) for one in gateway.list_accounts("local")]
    found = await parts.reads.opening_balances(accounts)
    return {one.id: result for one, result in zip(accounts, found, strict=True)}


async def test_a_read_of_many_accounts_is_one_statement(demo_settings: Settings) -> None:
    async with run_gateway(demo_settings) as gateway:
        ids = gateway.list_accounts("local")
        for number, account_id in enumerate(ids):
            await gateway.write(number, account_id)
        statements = record_statements(gateway.components.database)
        found = await _read(gateway)

    assert [found[one].value.amount.minor_units for one in ids] == list(range(len(ids)))
    assert len([one for one in statements if "ledger_opening_balances" in one]) == 1


async def test_a_damaged_opening_balance_hides_no_other(demo_settings: Settings) -> None:
    async with run_gateway(demo_settings) as gateway:
        damaged, *others = gateway.list_accounts("local")
        for account_id in (damaged, *others):
            await gateway.write(5, account_id)
        async with gateway.components.database.write_transaction() as connection:
            statement = "UPDATE ledger_opening_balances SET created_at = 'x' WHERE account_id = :id"
            await connection.execute(text(statement), {"id": damaged})
        found = await _read(gateway)

    assert isinstance(found.pop(damaged), Internal)
    assert {one.value.amount.minor_units for one in found.values()} == {5}
    assert len(found) == len(others) > 1


async def test_a_read_together_settles_an_uncertain_write(demo_settings: Settings) -> None:
    """As a read of one account does: the reconciler is given what was read."""
    async with run_gateway(demo_settings) as gateway:
        first = gateway.list_accounts("local")[0]
        applied = await gateway.write(5, first)
        components = gateway.components
        async with components.database.write_transaction() as connection:
            await connection.execute(
                text("UPDATE writes SET outcome = 'uncertain', applied = NULL WHERE id = :id"),
                {"id": applied.write_id},
            )
        reconciler: Any = components.gateway.reconciler
        record = await components.gateway.history.by_id(ADMIN.tenant, applied.write_id or "")
        assert record is not None
        assert record.outcome is WriteOutcome.UNCERTAIN
        reconciler.add(record)
        await _read(gateway)
        await reconciler.drain()
        settled = await components.gateway.history.by_id(ADMIN.tenant, record.intent.id)

    assert settled is not None
    assert settled.outcome is WriteOutcome.APPLIED
