"""The accounts that the providers list, as the command shows them; the sandbox over HTTP."""

import csv
import io
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from balance_gateway.app.configuration import read_settings
from balance_gateway.cli import main
from balance_gateway.cli.demo_files import write_demo_files
from balance_gateway.config.errors import ConfigError
from balance_gateway.domain.accounts import ACCOUNT_ID
from balance_gateway_sandbox import build_catalogue
from tests.app.gateway_harness import SandboxClient

Discover = Callable[..., Result]
PROVIDERS = ("light", "asset", "layer")


@pytest.fixture
def config(tmp_path: Path, sandbox: SandboxClient) -> Path:
    """The demo's configuration without accounts; its lists have pages of seven entries."""
    path = write_demo_files(tmp_path, build_catalogue(1), sandbox.url).config_path
    path.write_text(path.read_text().split("[[accounts]]")[0])
    sandbox.control("PUT", "options", {"list_page_size": 7})
    return path


@pytest.fixture
def discover(config: Path) -> Discover:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            main, ["accounts", "discover", "--config", str(config), *arguments]
        )

    return run


def list_expected(provider: str) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """Return name, currency and side of the sandbox's accounts by their ids, without the adapter.

    Layer's have the id that writes need as well.
    """
    found = {}
    for one in build_catalogue(1).accounts:
        if (one.provider, one.tenant) != (provider, "acme"):
            continue
        if provider == "light":
            found[(one.bank_account_id or "",)] = (one.name, one.currency, None)
        elif provider == "asset":
            ids = (one.business_id or "", one.ledger_id or "", one.external_account_id or "")
            found[ids] = (one.name, None, one.normal_side)
        else:
            ids = (
                *(one.business_id or "", one.external_account_id or ""),
                *(one.ledger_account_id or "", one.custom_account_id or ""),
            )
            found[ids] = (one.name, None, one.normal_side)
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_s_accounts_are_listed_page_by_page(
    discover: Discover, sandbox: SandboxClient, provider: str
) -> None:
    # One page fails once: at Asset and Layer the second, after the token and the business.
    skip = 0 if provider == "light" else 3
    sandbox.inject_fault("status", provider=provider, status=503, times=1, skip=skip)

    done = discover(f"{provider}-acme", "--json")

    assert done.exit_code == 0, done.output
    found = {
        tuple(one["remote"].get(key, "") for key in keys_of(provider)): (
            *(one["name"], one["currency"], one["side"]),
        )
        for one in json.loads(done.stdout)
    }
    assert found == list_expected(provider)
    pages = [one["path"] for one in sandbox.control("GET", "requests")["requests"]]
    # Eight pages of fifty accounts, or the one page of Light; the failed page is repeated alone.
    pattern = r"/(bank-accounts|external-accounts?)$"
    assert len([path for path in pages if re.search(pattern, path)]) == (
        1 + 1 if provider == "light" else 8 + 1
    )


def keys_of(provider: str) -> tuple[str, ...]:
    return {
        "light": ("bank_account_id",),
        "asset": ("business_id", "ledger_id", "external_account_id"),
        "layer": (
            *("business_id", "external_account_id"),
            *("ledger_account_id", "custom_account_id"),
        ),
    }[provider]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_printed_entries_are_read_and_found_again(
    discover: Discover, config: Path, sandbox: SandboxClient, provider: str
) -> None:
    printed = discover(f"{provider}-acme", "--tenant", "acme", "--format", "toml").stdout
    sandbox.control("PUT", "options", {"list_page_size": 100})
    again = discover(f"{provider}-acme", "--tenant", "acme", "--format", "toml").stdout
    text = config.read_text()
    config.write_text(text + printed)
    if provider != "light":
        with pytest.raises(ConfigError, match=r"accounts\[0\]\.currency is missing"):
            read_settings(config)
    # Every comment is a line that can be used.
    whole = re.sub(r'^# currency = ""', 'currency = "USD"', printed, flags=re.MULTILINE)
    whole = re.sub(r"^# (\w+ = )", r"\1", whole, flags=re.MULTILINE)
    config.write_text(text + whole)
    accounts = read_settings(config).accounts

    listed = json.loads(discover(f"{provider}-acme", "--tenant", "acme", "--json").stdout)
    others = json.loads(discover(f"{provider}-acme", "--tenant", "globex", "--json").stdout)
    rest = discover(f"{provider}-acme", "--tenant", "acme", "--format", "toml")

    assert printed == again, "ids depend on the account alone"
    ids = [account.id for account in accounts]
    assert len(set(ids)) == len(ids) == len(list_expected(provider))
    assert all(map(ACCOUNT_ID.fullmatch, ids))
    assert [(one["id"], one["configured"]) for one in listed] == [(each, True) for each in ids]
    assert {(one["id"], one["configured"]) for one in others} == {(None, True)}
    assert rest.stdout == ""


def test_some_accounts_are_chosen_by_name_with_the_zone_of_an_option(
    discover: Discover, config: Path
) -> None:
    """Ten accounts of fifty were cut out of the output by hand, and each zone was written in."""
    option = ("--time-zone", "America/New_York", "--format", "toml", "--tenant", "acme")
    printed = discover("asset-acme", "--name", "CARD", *option).stdout
    nowhere = discover("asset-acme", "--time-zone", "../zones/x")
    config.write_text(config.read_text() + printed.replace('# currency = ""', 'currency = "USD"'))

    accounts = read_settings(config).accounts
    assert [account.name for account in accounts] == ["Company card", "Fleet card"]
    assert {str(account.time_zone) for account in accounts} == {"America/New_York"}
    assert printed.count("\n\n[[accounts]]") + printed.startswith("\n[[accounts]]") == 2
    assert nowhere.exit_code == 2
    assert "--time-zone must be an IANA name such as Europe/Copenhagen" in nowhere.stderr


def test_a_malformed_entry_is_left_out_and_counted(
    discover: Discover, sandbox: SandboxClient
) -> None:
    rows = [
        {"id": "../../v1/other", "name": "Path", "currency": "EUR"},
        {"id": "A" * 8, "name": "=cmd|' /C calc'!A0\n[red]", "currency": "btc"},
        {"id": "B" * 8, "name": None, "currency": 7},
        {"id": "B" * 8, "name": "Twice", "currency": "EUR"},
        7,
    ]
    sandbox.inject_fault(
        "body", provider="light", body=json.dumps(rows), content_type="application/json"
    )

    shown = discover("light-acme", "--tenant", "acme", "--format", "csv")
    table = discover("light-acme")
    entries = discover("light-acme", "--format", "toml")

    heading, *cells = csv.reader(io.StringIO(shown.stdout))
    first, second = (dict(zip(heading, each, strict=True)) for each in cells)
    assert first["name"] == "'=cmd|' /C calc'!A0 [red]"
    assert (first["currency"], first["bank_account_id"]) == ("", "A" * 8)
    assert "BTC" in first["note"]
    assert second["name"] == second["currency"] == ""
    assert shown.stderr == "2 accounts, 0 configured\nleft out: 2 without a usable id\n"
    assert "[red]" in table.stdout
    parsed = tomllib.loads(entries.stdout)["accounts"]
    assert [set(one) & {"tenant", "name", "currency"} for one in parsed] == [{"name"}, set()]


def test_listed_names_are_safe_in_spreadsheets_and_terminals(
    discover: Discover, sandbox: SandboxClient
) -> None:
    """A formula after a semicolon, or with a wide sign, was one for some spreadsheets."""
    names = ["\uff1dcmd", "x;=1+1", "a\u202eb", "-5", "\ud800"]
    rows = [
        {"id": f"{number:08}", "name": name, "currency": "EUR"} for number, name in enumerate(names)
    ]
    sandbox.inject_fault(
        "body", provider="light", body=json.dumps(rows), content_type="application/json"
    )

    shown = [discover("light-acme", f"--format={form}") for form in ("csv", "jsonl", "table")]
    both = discover("light-acme", "--format", "csv", "--json")

    cells = [row["name"] for row in csv.DictReader(io.StringIO(shown[0].stdout))]
    assert cells[:4] == ["'\uff1dcmd", "x;'=1+1", "a b", "-5"]
    assert shown[1].stdout.isascii()
    assert "\u202e" not in shown[2].stdout
    assert [each.exit_code for each in shown] == [0, 0, 0]
    assert (both.exit_code, both.stdout) == (2, "")


def test_a_list_without_an_end_is_refused(discover: Discover, sandbox: SandboxClient) -> None:
    body = json.dumps({"data": [], "pagination": {"next_page_token": "again"}})
    sandbox.inject_fault(
        *("body",), provider="asset", path="/v0/business$", body=body,
        content_type="application/json",
    )  # fmt: skip

    done = discover("asset-acme")

    assert done.exit_code == 1
    assert "Asset's response to the account list is not usable: it repeats a page." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("light-acm",), 2, "did you mean 'light-acme'?"),
        (("local",), 1, "lists no accounts: write each [[accounts]] by hand"),
        (("light-acme", "--tenant", "globex"), 2, "'light-acme' is not for tenant 'globex'"),
        (("light-acme", "--business", "b"), 2, "Light has no businesses"),
        (("asset-acme", "--business", "../x"), 2, "The id of a business must be letters"),
    ],
)
def test_what_cannot_be_listed_is_named(
    discover: Discover, config: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    config.write_text(config.read_text().replace('"light"\n', '"light"\ntenants = ["acme"]\n', 1))

    done = discover(*arguments)

    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_list_that_is_not_offered_names_the_next_step(
    discover: Discover, sandbox: SandboxClient, provider: str
) -> None:
    business_id = next(iter(list_expected(provider)))[0]
    path = {"light": "/bank-accounts$", "asset": "/v0/business$", "layer": "/v1/businesses$"}
    sandbox.inject_fault("status", provider=provider, status=404, path=path[provider])

    refused = discover(f"{provider}-acme")
    named = discover(f"{provider}-acme", "--business", business_id, "--json")

    assert refused.exit_code == 1
    if provider == "light":
        assert "by hand, with the bank_account_id" in refused.stderr
        return
    assert "with --business" in refused.stderr
    assert len(json.loads(named.stdout)) == len(list_expected(provider))
