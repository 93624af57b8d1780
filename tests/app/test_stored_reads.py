"""Balances of the embedded ledger are read without waiting, as they are with it."""

from prometheus_client import CollectorRegistry

from balance_gateway.config.settings import Settings
from balance_gateway.domain.balances import OpeningBalanceWrite
from balance_gateway.domain.errors import GatewayError
from balance_gateway.domain.health import HealthState
from balance_gateway.domain.money import Money
from balance_gateway.ports.reads import BalanceRequest
from balance_gateway.ports.stored_balances_reader import STORED_BALANCES_MAX
from balance_gateway.storage.database import open_database
from balance_gateway.storage.ledger import SqlLedgerStore
from tests.app.gateway_harness import ADMIN, DAY, LIGHT, GatewayHarness, run_gateway


def build_requests(gateway: GatewayHarness, *ids: str) -> list[BalanceRequest]:
    directory = gateway.components.gateway.directory
    return [BalanceRequest(directory.account(ADMIN, one), DAY, False) for one in ids]


def count_live(registry: CollectorRegistry) -> float:
    labels = {"kind": "balance", "state": "live"}
    return registry.get_sample_value("balance_gateway_reads_total", labels) or 0.0


async def test_it_is_what_a_read_that_waits_returns(demo_settings: Settings) -> None:
    async with run_gateway(demo_settings) as gateway:
        reads = gateway.components.gateway.reads
        ids = gateway.list_accounts("local")
        await gateway.write(77_00, ids[0])
        now = reads.read_stored_now(build_requests(gateway, *ids, ids[0]))
        waited = await reads.balances(build_requests(gateway, *ids, ids[0]))

    assert now is not None
    assert len(now) == len(ids) + 1
    for one, other in zip(now, waited, strict=True):
        assert not isinstance(one, GatewayError)
        assert not isinstance(other, GatewayError)
        assert (one.value, one.state) == (other.value, other.state)


async def test_it_is_counted_and_shows_that_the_ledger_is_up(demo_settings: Settings) -> None:
    async with run_gateway(demo_settings) as gateway:
        components = gateway.components
        registry = components.metrics.registry
        before = count_live(registry), components.gateway.watch.status("local").state
        found = components.gateway.reads.read_stored_now(
            build_requests(gateway, *gateway.list_accounts("local")[:2])
        )
        after = count_live(registry), components.gateway.watch.status("local").state

    assert found is not None
    assert after[0] - before[0] == 2
    assert (before[1], after[1]) == (HealthState.UNKNOWN, HealthState.UP)


async def test_too_many_and_those_elsewhere_are_left_to_reads_that_wait(
    demo_settings: Settings,
) -> None:
    async with run_gateway(demo_settings) as gateway:
        reads = gateway.components.gateway.reads
        first, *_ = gateway.list_accounts("local")
        [request] = build_requests(gateway, first)
        few = reads.read_stored_now([request] * STORED_BALANCES_MAX)
        many = reads.read_stored_now([request] * (STORED_BALANCES_MAX + 1))
        elsewhere = reads.read_stored_now([request, *build_requests(gateway, LIGHT)])

    assert few is not None
    assert len(few) == STORED_BALANCES_MAX
    assert (many, elsewhere) == (None, None)


async def test_an_account_in_another_currency_is_an_error_of_its_own(
    demo_settings: Settings,
) -> None:
    async with run_gateway(demo_settings) as gateway:
        reads = gateway.components.gateway.reads
        wrong, right = gateway.list_accounts("local")[:2]
        await gateway.write(5, wrong)
        database = gateway.components.database
        async with database.write_transaction() as connection:
            await connection.exec_driver_sql(
                "UPDATE ledger_opening_balances SET currency = 'JPY' WHERE account_id = ?", (wrong,)
            )
            await connection.exec_driver_sql(
                "UPDATE ledger_currencies SET currency = 'JPY' WHERE account_id = ?", (wrong,)
            )
        requests = build_requests(gateway, wrong, right)
        found, waited = reads.read_stored_now(requests), await reads.balances(requests)

    assert found is not None
    assert isinstance(found[0], GatewayError)
    assert isinstance(waited[0], GatewayError)
    assert (found[0].message, found[0].account_id) == (waited[0].message, wrong)
    assert found[0].provider == waited[0].provider
    assert not isinstance(found[1], GatewayError)


async def test_a_defect_is_left_to_the_read_that_waits(demo_settings: Settings) -> None:
    """It is logged there, once, and is the error of the values."""
    async with run_gateway(demo_settings) as gateway:
        reads = gateway.components.gateway.reads
        first = gateway.list_accounts("local")[0]
        await gateway.write(5, first)
        async with gateway.components.database.write_transaction() as connection:
            await connection.exec_driver_sql(
                "UPDATE ledger_opening_balances SET effective_at = 'x' WHERE account_id = ?",
                (first,),
            )
        requests = build_requests(gateway, first)
        found, [waited] = reads.read_stored_now(requests), await reads.balances(requests)

    assert found is None
    assert isinstance(waited, GatewayError)


async def test_each_request_that_is_a_task_looks_at_the_storage(demo_settings: Settings) -> None:
    """Its bytes are new, and its accounts are kept: another process has changed one of them."""
    async with run_gateway(demo_settings) as gateway:
        first = gateway.list_accounts("local")[0]
        await gateway.write(1_00, first)
        account = gateway.components.gateway.directory.account(ADMIN, first)
        other = await open_database(demo_settings.storage.url.reveal())
        amounts = []
        for number in range(4):
            fields = "openingBalance { amount { minorUnits } }"
            query = f'{{ bankAccount(id: "{first}") {{ {fields} }} }}'
            sent = await gateway.client.post(
                "/graphql",
                json={"query": query + " " * number},
                headers={"Authorization": f"Bearer {gateway.key}"},
            )
            opening = sent.json()["data"]["bankAccount"]["openingBalance"]
            amounts.append(opening["amount"]["minorUnits"])
            if number % 2:
                amount = Money(2_00 + number, account.currency)
                await SqlLedgerStore(other).set_opening_balance(
                    OpeningBalanceWrite(account, amount, None)
                )
        await other.aclose()

    assert amounts == ["100", "100", "201", "201"]
