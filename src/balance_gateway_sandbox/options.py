"""The switches of the sandbox: where a page is silent or two pages differ, a test may choose."""

from typing import Any, Literal

import msgspec


class RateLimitOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The providers' rate limits; None switches one off.

    Attributes:
        light_per_minute: "300 requests per minute" for each API key or token.
        asset_tenant_per_minute: 300 for each tenant.
        asset_business_per_minute: 300 for each business, counted on its own.
        layer_per_second: a bucket of 100 tokens that is refilled every second.
    """

    light_per_minute: int | None = 300
    asset_tenant_per_minute: int | None = 300
    asset_business_per_minute: int | None = 300
    layer_per_second: int | None = 100


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the providers answer where more than one form is known.

    Attributes:
        asset_expires_in: The token answer's `expires_in`: left out (older pages), the duration in
            seconds, or "the token expiration time as a unix timestamp" (newest page).
        asset_token_lifetime_s: Lifetime when the request names none; "default 3600".
        light_transaction_cursors: Whether bank-transactions answers also carry `nextCursor`.
        layer_envelope: Objects bare, as the opening-balance page shows them, or as
            `{"data": {"type": …}}`, as the JSON-data page says.
        layer_errors: A bare `ApiError` or `{"errors": [ApiError]}`.
        layer_no_opening_balance_status: Status of `NoOpeningBalanceFound`; the pages name none.
        layer_account_ids: Ledger account ids as text or as `{"type": "AccountId", "id": …}`.
        layer_recalculate: Whether recalculating works back "from the current balance and the
            transaction history" (the page) or takes the stated balance as it is.
        layer_token_lifetime_s: "Access tokens expire after 1 hour".
        layer_closing_date: Overrides every business's closing date (YYYY-MM-DD); None keeps them.
        limits: The rate limits.
    """

    asset_expires_in: Literal["absent", "duration", "unix"] = "unix"
    asset_token_lifetime_s: int = 3600
    light_transaction_cursors: bool = False
    layer_envelope: Literal["bare", "data"] = "bare"
    layer_errors: Literal["bare", "list"] = "bare"
    layer_no_opening_balance_status: Literal[400, 404] = 400
    layer_account_ids: Literal["text", "object"] = "text"
    layer_recalculate: Literal["from_history", "as_stated"] = "from_history"
    layer_token_lifetime_s: int = 3600
    layer_closing_date: str | None = None
    limits: RateLimitOptions = RateLimitOptions()

    def with_changes(self, changes: dict[str, Any]) -> "Options":
        """These options with `changes` merged in; `limits` is merged key by key.

        Raises:
            msgspec.ValidationError: an unknown option or a value it cannot take.
        """
        current: dict[str, Any] = msgspec.to_builtins(self)
        limits = changes.get("limits", {})
        if not isinstance(limits, dict):
            message = "limits: expected an object"
            raise msgspec.ValidationError(message)
        merged = current | changes | {"limits": current["limits"] | limits}
        return msgspec.convert(merged, Options)
