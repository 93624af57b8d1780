"""Write the demo's files: a configuration, its secrets, and ledger entries.

As in production, the configuration refers to secrets. Here they are files beside it that only
their owner can read.
"""

import csv
import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from balance_gateway.config.toml_text import format_api_key, format_table

if TYPE_CHECKING:
    from balance_gateway.config.settings import Settings
    from balance_gateway_sandbox import Account, Catalogue, Credential

#: Accounts of the embedded ledger: id, name, currency, amount of each entry in major units.
_LOCAL_ACCOUNTS = (
    ("local-petty-cash", "Petty cash", "EUR", "-12.50"),
    ("local-gift-cards", "Gift cards sold", "USD", "-25.00"),
    ("local-till-tokyo", "Till Tokyo", "JPY", "18400"),
    ("local-deposit-kuwait", "Rent deposit Kuwait", "KWD", "3.125"),
)

#: The first day of the sandbox's books; no account has entries on that day.
_BOOKS_OPEN = date(2026, 1, 1)
_BEFORE_ALL_ENTRIES = date(2025, 1, 1)


class FileChanged(Exception):
    """The configuration is not as a demo wrote it; the message is one line with what to do."""


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """The files of a demo.

    Attributes:
        config_path: the path of the configuration.
        read_key: an API key of the tenant acme with the scope balances:read.
        admin_key: an API key of the tenant acme with every scope.
    """

    config_path: Path
    read_key: str
    admin_key: str

    async def fill_embedded_ledger(self, settings: "Settings") -> None:
        """Import a year of entries into each local account; repeating it adds nothing."""
        from balance_gateway.app.ledger_import import import_ledger_entries

        for account_id, _, _, amount in _LOCAL_ACCOUNTS:
            path = self.config_path.parent / f"{account_id}.csv"
            # A file that exists may have been edited.
            if not path.exists():
                written = path.with_suffix(".new")
                with written.open("w", newline="", encoding="utf-8") as file:
                    csv.writer(file).writerows(_generate_entries(amount))
                written.replace(path)
            await import_ledger_entries(settings, account_id, path)


def write_demo_files(data_dir: Path, catalogue: "Catalogue", sandbox_url: str) -> DemoFiles:
    """Write the configuration and the secrets; existing secrets are kept.

    A configuration is replaced, since it contains the sandbox's address, unless it was edited.

    Args:
        data_dir: the directory, which is created if it does not exist.
        catalogue: the accounts and credentials of the sandbox.
        sandbox_url: the base URL of the sandbox.

    Raises:
        FileChanged: the directory has a configuration that no demo wrote, or that was edited since.
    """
    config_path = data_dir / "gateway.toml"
    _refuse_changed(config_path)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    read_key = _ensure_secret(data_dir, "read_key", f"read-{secrets.token_urlsafe(24)}")
    admin_key = _ensure_secret(data_dir, "admin_key", f"admin-{secrets.token_urlsafe(24)}")
    _ensure_secret(data_dir, "approver_key", f"approver-{secrets.token_urlsafe(24)}")
    _ensure_secret(data_dir, "globex_key", f"globex-{secrets.token_urlsafe(24)}")
    database = data_dir / "balance-gateway.db"
    lines = [
        # Quoted: a "?" would begin parameters, and "%20" would be a space.
        format_table("[storage]", {"url": f"sqlite:///{quote(str(database.absolute()))}"}),
        format_api_key("demo-reader", "file:secrets/read_key", "acme", ["balances:read"]),
        format_api_key(
            "demo-admin",
            "file:secrets/admin_key",
            "acme",
            ["balances:read", "balances:write", "accounts:admin", "audit:read"],
        ),
        # Another principal, to approve what the first one plans.
        format_api_key(
            "demo-approver",
            "file:secrets/approver_key",
            "acme",
            ["balances:read", "balances:write"],
        ),
        format_api_key("globex-reader", "file:secrets/globex_key", "globex", ["balances:read"]),
        *(
            _format_connector(data_dir, credential, sandbox_url)
            for credential in catalogue.credentials
            # Leaves out "asset-acme-read-only", which may not write.
            if credential.name.count("-") == 1
        ),
        '[connectors.local]\nprovider = "local"\n',
        *_format_accounts(catalogue.accounts),
        *(_format_local_account(*account) for account in _LOCAL_ACCOUNTS),
    ]
    content = "\n".join(lines).encode()
    # Before the file: if only this was written, the former file counts as edited and is kept.
    _get_digest_path(config_path).write_text(_compute_digest(content), encoding="utf-8")
    config_path.write_bytes(content)
    return DemoFiles(config_path, read_key, admin_key)


def _refuse_changed(config_path: Path) -> None:
    if not config_path.exists():
        return
    digest_path = _get_digest_path(config_path)
    written = digest_path.read_text(encoding="utf-8") if digest_path.exists() else ""
    if written != _compute_digest(config_path.read_bytes()):
        raise FileChanged(
            f"{config_path} is not as the demo wrote it, and would be replaced: move it away,"
            " choose another --data-dir, or use it with 'balance-gateway serve --config'."
        )


def _get_digest_path(config_path: Path) -> Path:
    return config_path.with_name(f"{config_path.name}.sha256")


def _compute_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _ensure_secret(data_dir: Path, name: str, text: str) -> str:
    """Return the content of a secret file, which is created with the text if it is missing."""
    path = data_dir / "secrets" / name
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if not path.exists():
        # Created with its mode before anything is written: it is never readable by others.
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def _format_connector(data_dir: Path, credential: "Credential", sandbox_url: str) -> str:
    values: dict[str, object] = {
        "provider": credential.provider,
        "base_url": f"{sandbox_url}/{credential.provider}",
    }
    parts = ("api_key",) if credential.provider == "light" else ("client_id", "client_secret")
    for part in parts:
        name = f"{credential.name}-{part}"
        _ensure_secret(data_dir, name, getattr(credential, part))
        values[part] = f"file:secrets/{name}"
    if credential.provider == "layer":
        values["token_url"] = f"{sandbox_url}/layer-auth/oauth2/token"
        values["scope"] = credential.scopes[0]
    return format_table(f"[connectors.{_slug(credential.name)}]", values)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _format_accounts(accounts: Iterable["Account"]) -> Iterator[str]:
    for account in accounts:
        prefix = account.provider if account.tenant == "acme" else f"globex-{account.provider}"
        yield format_table(
            "[[accounts]]", _list_account_keys(account, f"{prefix}-{_slug(account.name)}")
        )


def _list_account_keys(account: "Account", account_id: str) -> dict[str, object]:
    ids = {
        "light": ("bank_account_id",),
        "asset": ("business_id", "ledger_id"),
        "layer": ("business_id", "external_account_id", "ledger_account_id", "custom_account_id"),
    }[account.provider]
    values: dict[str, object] = {
        "id": account_id,
        "tenant": account.tenant,
        "connector": _slug(account.credential),
        "name": account.name,
        "currency": account.currency,
        "time_zone": account.time_zone,
    }
    values |= {key: value for key in ids if (value := getattr(account, key)) is not None}
    if account.provider == "light":
        # Light names no side.
        values["normal_balance"] = account.normal_side
        values["derive_opening_balance_as_of"] = str(_BEFORE_ALL_ENTRIES)
    elif account.provider == "asset":
        values["derive_opening_balance_as_of"] = str(_BOOKS_OPEN)
    return values


def _format_local_account(account_id: str, name: str, currency: str, _amount: str) -> str:
    values = {
        "id": account_id,
        "tenant": "acme",
        "connector": "local",
        "name": name,
        "currency": currency,
        "time_zone": "Europe/Copenhagen",
        "normal_balance": "debit",
    }
    return format_table("[[accounts]]", values)


def _generate_entries(amount: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV file: a bank and a ledger entry per week of a year.

    The ledger has no entry in the first week, so that the two balances differ.
    """
    yield ["id", "book", "date", "amount", "description"]
    for week in range(52):
        day = _BOOKS_OPEN + timedelta(weeks=week)
        yield [f"bank-{week}", "bank", str(day), amount, "Week's takings and expenses"]
        if week:
            yield [f"ledger-{week}", "ledger", str(day), amount, "Booked"]
