"""Accounts have one identity, however the file spells the provider's ids."""

import sqlite3
from pathlib import Path

from balance_gateway.app.cache_builder import build_account_keys, build_remote_renames
from balance_gateway.app.configuration import read_settings
from balance_gateway.cli.demo_files import write_demo_files
from balance_gateway.config.settings import Settings
from balance_gateway.domain.balances import OpeningBalanceSource
from balance_gateway.service.opening_balances import Applied
from balance_gateway_sandbox import build_catalogue
from tests.app.gateway_harness import LIGHT, SandboxClient, run_gateway


def read_respelled(directory: Path, sandbox: SandboxClient) -> Settings:
    """Read the demo's settings with the id of one account in capital letters."""
    path = write_demo_files(directory, build_catalogue(1), sandbox.url).config_path
    (account,) = [one for one in read_settings(path).accounts if one.id == LIGHT]
    written = account.remote["bank_account_id"]
    assert written != written.upper()
    path.write_text(path.read_text().replace(written, written.upper()))
    return read_settings(path)


async def test_a_write_under_another_spelling_is_found_after_an_upgrade(
    tmp_path: Path, sandbox: SandboxClient
) -> None:
    """Earlier releases recorded it under the id as written in the file."""
    settings = read_respelled(tmp_path, sandbox)
    ((old, new),) = build_remote_renames(settings).items()
    async with run_gateway(settings) as gateway:
        assert isinstance(await gateway.write(123_45), Applied)
    database = settings.storage.url.reveal().removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        changed = connection.execute(
            "UPDATE writes SET remote_account = ? WHERE remote_account = ?", (old, new)
        )
        assert changed.rowcount == 1

    async with run_gateway(settings) as gateway:
        (opening,) = await gateway.read_opening_balance(LIGHT)

    assert opening.value.source is OpeningBalanceSource.RECORDED_BY_GATEWAY
    assert opening.value.amount.minor_units == 123_45


async def test_the_provider_is_called_with_the_canonical_id(
    tmp_path: Path, sandbox: SandboxClient
) -> None:
    settings = read_respelled(tmp_path, sandbox)

    async with run_gateway(settings) as gateway:
        (balance,) = await gateway.read(LIGHT)

    paths = [one["path"] for one in sandbox.control("GET", "requests")["requests"]]
    (account,) = [one for one in settings.accounts if one.id == LIGHT]
    assert balance.value.ledger is not None
    assert any(f"/bank-accounts/{account.remote['bank_account_id']}/" in path for path in paths)
    assert build_account_keys(settings)[LIGHT].remote not in build_remote_renames(settings)
