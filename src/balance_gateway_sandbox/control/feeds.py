"""Change accounts' links to their banks for the control API: sync times, states, balances."""

from typing import Any, Final

from starlette.exceptions import HTTPException

from balance_gateway_sandbox.state.records import AssetExternalAccount, LayerAccount
from balance_gateway_sandbox.state.sandbox_state import SandboxState

FEED_FIELDS: Final = {
    "asset": frozenset(
        {
            "status",
            "last_synced_at",
            "last_balanced_at",
            "last_statement_end_date",
            "disconnected_at",
            "external_balance",
            "ledger_id",
        }
    ),
    "layer": frozenset(
        {
            "latest_balance_timestamp",
            "is_syncing",
            "connection_needs_repair_as_of",
            "reconnect_with_new_credentials",
            "requires_user_confirmation_as_of",
            "archived_at",
            "notifications",
        }
    ),
}
"""The fields of an external account that can be replaced, by provider."""


def change_feed(
    state: SandboxState, provider: str, account: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Replace fields of an external account's JSON by any values, and return all replaced fields.

    Args:
        state: The sandbox's state.
        provider: asset or layer.
        account: Asset's ledger id or Layer's external account id.
        changes: The values by field; {} restores all fields.

    Raises:
        HTTPException: 404 if the account does not exist or the provider has no feeds; 400 for an
            unknown field.
    """
    record = _find_record(state, provider, account)
    unknown = sorted(changes.keys() - FEED_FIELDS[provider])
    if unknown:
        known = ", ".join(sorted(FEED_FIELDS[provider]))
        raise HTTPException(400, f"unknown field {unknown[0]!r}; known: {known}")
    record.feed_changes = {**record.feed_changes, **changes} if changes else {}
    return record.feed_changes


def _find_record(
    state: SandboxState, provider: str, account: str
) -> AssetExternalAccount | LayerAccount:
    if provider not in FEED_FIELDS:
        raise HTTPException(404, "provider must be asset or layer: Light reports no feeds")
    for asset in state.records.asset.values() if provider == "asset" else ():
        for external in asset.external_accounts.values():
            if external.ledger_id == account:
                return external
    for layer in state.records.layer.values() if provider == "layer" else ():
        if account in layer.accounts:
            return layer.accounts[account]
    raise HTTPException(404, f"account {account!r} does not exist at {provider}")
