"""A running gateway sees changes of its storage, and knows the accounts with values there alone."""

from pathlib import Path

from balance_gateway.app.ledger_import import import_ledger_entries
from balance_gateway.config.settings import Settings
from balance_gateway.domain.accounts import ProviderKind
from tests.app.gateway_harness import ADMIN, run_gateway


async def test_an_import_and_a_write_are_seen_and_reads_are_not(
    demo_settings: Settings, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("id,book,date,amount\nnew-row,bank,2026-02-02,1.00\n", encoding="utf-8")
    (local, *_) = (one.id for one in demo_settings.accounts if one.provider is ProviderKind.LOCAL)
    async with run_gateway(demo_settings) as gateway:
        changes = gateway.components.gateway.storage_changes
        first = [await changes.look()]
        await gateway.read(local)
        await gateway.read_opening_balance(local)
        first.append(await changes.look())
        await import_ledger_entries(demo_settings, local, rows)
        imported = await changes.look()
        await gateway.write(5, local)
        written = await changes.look()

    assert first[0] == first[1]
    assert len({first[0], imported, written}) == 3
    # Its connection is closed.
    assert changes.look_now() is None


async def test_only_accounts_of_the_embedded_ledger_are_in_the_storage(
    demo_settings: Settings,
) -> None:
    async with run_gateway(demo_settings) as gateway:
        components = gateway.components.gateway
        accounts = components.directory.select(ADMIN)
        found = {one.provider for one in accounts if components.reads.is_in_storage(one)}
        others = {one.provider for one in accounts if not components.reads.is_in_storage(one)}

    assert found == {ProviderKind.LOCAL}
    assert others == {ProviderKind.LIGHT, ProviderKind.ASSET, ProviderKind.LAYER}
