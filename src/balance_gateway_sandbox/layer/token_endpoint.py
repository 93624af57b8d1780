"""Serve Layer's token endpoint, which has a separate host (here: a separate path).

Source: docs.layerfi.com, Authentication. HTTP Basic `client_id:client_secret`, form
`grant_type=client_credentials` and `scope`; the response's `expires_in` is 3600. Undocumented: its
errors; here those of RFC 6749, section 5.2.
"""

import binascii
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from balance_gateway_sandbox.provider_errors import ProviderError
from balance_gateway_sandbox.state.catalogue import Credential
from balance_gateway_sandbox.state.sandbox_state import SandboxState
from balance_gateway_sandbox.state.tokens import Caller
from balance_gateway_sandbox.wire_format import build_json_response, parse_media_type


class LayerTokenEndpoint:
    """The token endpoint, to be mounted at `/layer-auth`."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def build_routes(self) -> list[Route]:
        """Build the token route."""
        return [Route("/oauth2/token", self.post_token, methods=["POST"])]

    async def post_token(self, request: Request) -> Response:
        """Issue a bearer token to a client that authenticates with HTTP Basic."""
        try:
            return build_json_response(self._issue_token(request, await request.body()))
        except ProviderError as error:
            return error.to_response()

    def _issue_token(self, request: Request, body: bytes) -> dict[str, Any]:
        if parse_media_type(request.headers.get("content-type", "")) != _FORM:
            raise _build_oauth_error(400, "invalid_request")
        credential = self._authenticate_client(request.headers.get("authorization", ""))
        try:
            form = {name: values[-1] for name, values in parse_qs(body.decode()).items()}
        except ValueError:
            raise _build_oauth_error(400, "invalid_request") from None
        if form.get("grant_type") != "client_credentials":
            raise _build_oauth_error(400, "unsupported_grant_type")
        if form.get("client_id", credential.client_id) != credential.client_id:
            raise _build_oauth_error(401, "invalid_client")
        if form.get("scope") not in credential.scopes:
            raise _build_oauth_error(400, "invalid_scope")
        lifetime_s = self._state.options.layer_token_lifetime_s
        token = self._state.tokens.issue(Caller(credential), lifetime_s)
        return {"access_token": token.text, "expires_in": lifetime_s, "token_type": "Bearer"}

    def _authenticate_client(self, authorization: str) -> Credential:
        scheme, _, encoded = authorization.partition(" ")
        try:
            pair = b64decode(encoded, validate=True).decode() if scheme == "Basic" else ""
        except (binascii.Error, ValueError):
            pair = ""
        client_id, _, secret = pair.partition(":")
        for credential in self._state.catalogue.credentials:
            if credential.provider == "layer" and (
                credential.client_id,
                credential.client_secret,
            ) == (
                client_id,
                secret,
            ):
                return credential
        raise _build_oauth_error(401, "invalid_client")


_FORM = "application/x-www-form-urlencoded"


def _build_oauth_error(status: int, error: str) -> ProviderError:
    headers = {"WWW-Authenticate": "Basic"} if status == 401 else None
    return ProviderError(status, {"error": error}, headers=headers)
