"""Define the options that select between documented or plausible provider behaviours."""

from typing import Any, Literal

import msgspec


class RateLimitOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The providers' rate limits. None disables a limit.

    Attributes:
        light_per_minute: "300 requests per minute" for each API key or token.
        asset_tenant_per_minute: 300 for each tenant.
        asset_business_per_minute: 300 for each business, counted separately.
        layer_per_second: A bucket of 100 tokens, refilled every second.
    """

    light_per_minute: int | None = 300
    asset_tenant_per_minute: int | None = 300
    asset_business_per_minute: int | None = 300
    layer_per_second: int | None = 100


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The behaviour of the providers where the documentation is silent or contradicts itself.

    Attributes:
        asset_expires_in: The `expires_in` field of a token response: omitted (older pages), the
            duration in seconds, or "the token expiration time as a unix timestamp" (newest page).
        asset_token_lifetime_s: Token lifetime when the request names none; "default 3600".
        light_transaction_cursors: Whether bank-transactions responses include `nextCursor`.
        layer_envelope: Whether objects are bare, as on the opening-balance page, or wrapped in
            `{"data": {"type": …}}`, as on the JSON-data page.
        layer_errors: Whether an error is a bare `ApiError` or `{"errors": [ApiError]}`.
        layer_no_opening_balance_status: Status of `NoOpeningBalanceFound`. The pages name none.
        layer_account_ids: Ledger account ids as text or as `{"type": "AccountId", "id": …}`.
        layer_recalculate: Whether recalculation works back "from the current balance and the
            transaction history" (the page) or uses the stated balance unchanged.
        layer_token_lifetime_s: "Access tokens expire after 1 hour".
        layer_closing_date: Overrides the closing date (YYYY-MM-DD) of every business. None keeps
            the seeded dates.
        list_page_size: The largest page of Asset's and Layer's lists: "a maximum of 100 records per
            page" at Asset, "default 100" at Layer.
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
    list_page_size: int = 100
    limits: RateLimitOptions = RateLimitOptions()

    def with_changes(self, changes: dict[str, Any]) -> "Options":
        """Return these options with `changes` merged in. `limits` is merged key by key.

        Raises:
            msgspec.ValidationError: An option is unknown or its value is invalid.
        """
        current: dict[str, Any] = msgspec.to_builtins(self)
        limits = changes.get("limits", {})
        if not isinstance(limits, dict):
            message = "limits must be a JSON object"
            raise msgspec.ValidationError(message)
        merged = current | changes | {"limits": current["limits"] | limits}
        return msgspec.convert(merged, Options)
