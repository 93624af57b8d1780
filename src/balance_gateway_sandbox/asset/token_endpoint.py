"""Issue Asset's access tokens for form-encoded client credentials.

Source: docs.getasset.com, Get an access token. `client_id` required, `grant_type` only
`client_credentials` (the default), `expires_in` default 3600 seconds, `scope` space separated,
`business_id` limits the token to one business. Undocumented: without `scope` the token gets all of
the client's scopes; a scope that the client does not have is refused (403).
"""

from typing import Any, Final
from urllib.parse import parse_qs

from balance_gateway_sandbox import provider_errors
from balance_gateway_sandbox.state.catalogue import Credential
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.state.tokens import Caller
from balance_gateway_sandbox.wire_format import NUMBER_DIGITS_MAX, parse_media_type

LIFETIME_MAX_S: Final = 30 * 86_400


def issue_token(state: SandboxState, content_type: str, body: bytes) -> dict[str, Any]:
    """Issue a token and build the body of the response.

    Raises:
        ProviderError: 422 for an invalid form, 401 for a wrong client, 403 for a missing scope.
    """
    if parse_media_type(content_type) != "application/x-www-form-urlencoded":
        raise provider_errors.asset_error(422, "Expected application/x-www-form-urlencoded")
    form = {name: values[-1] for name, values in _parse_form(body).items()}
    if "client_id" not in form:
        raise provider_errors.asset_error(422, "Validation error", [{"loc": ["body", "client_id"]}])
    if form.get("grant_type", "client_credentials") != "client_credentials":
        raise provider_errors.asset_error(
            422, "Validation error", [{"loc": ["body", "grant_type"]}]
        )
    credential = _authenticate_client(state, form)
    scopes = frozenset(form["scope"].split()) if "scope" in form else frozenset(credential.scopes)
    if not scopes <= frozenset(credential.scopes):
        raise provider_errors.asset_error(403, "The client does not have this scope")
    lifetime_s = _parse_lifetime_s(form.get("expires_in"), state.options.asset_token_lifetime_s)
    token = state.tokens.issue(Caller(credential, scopes, form.get("business_id")), lifetime_s)
    response: dict[str, Any] = {"access_token": token.text, "token_type": "Bearer"}
    if state.options.asset_expires_in == "duration":
        response["expires_in"] = lifetime_s
    elif state.options.asset_expires_in == "unix":
        response["expires_in"] = int(token.expires_at.timestamp())
    return response


def _parse_form(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise provider_errors.asset_error(422, "The form cannot be read") from None


def _authenticate_client(state: SandboxState, form: dict[str, str]) -> Credential:
    for credential in state.catalogue.credentials:
        if credential.provider == "asset" and credential.client_id == form["client_id"]:
            if credential.client_secret == form.get("client_secret"):
                return credential
            break
    raise provider_errors.asset_error(401, "Invalid client credentials")


def _parse_lifetime_s(text: str | None, default: int) -> int:
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX
    if not is_number or not 0 < int(text) <= LIFETIME_MAX_S:
        raise provider_errors.asset_error(
            422, "Validation error", [{"loc": ["body", "expires_in"]}]
        )
    return int(text)
