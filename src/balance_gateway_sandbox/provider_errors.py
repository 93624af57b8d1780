"""Build error responses in each provider's own format."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from balance_gateway_sandbox.options import Options
from balance_gateway_sandbox.state.company import Provider
from balance_gateway_sandbox.wire_format import build_json_response

LIGHT_MEDIA_TYPE: Final = "application/json;charset=UTF-8"
_LIGHT_TYPES: Final = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    422: "UNPROCESSABLE_CONTENT",
    429: "TOO_MANY_REQUESTS",
}
_LAYER_TYPES: Final = {
    400: "BadRequest",
    401: "AuthFailure",
    403: "AuthFailure",
    404: "ResourceNotFound",
    409: "Conflict",
}


class ProviderError(Exception):
    """An error response of a provider: its status, body and headers."""

    def __init__(
        self,
        status: int,
        body: object,
        *,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.media_type = media_type
        self.headers = dict(headers or {})

    def to_response(self) -> Response:
        """Convert the error to an HTTP response."""
        return build_json_response(
            self.body, self.status, media_type=self.media_type, headers=self.headers
        )


def light_error(status: int, message: str, path: list[str] | None = None) -> ProviderError:
    """Build Light's error: `{name, type, errors: [{type, message, path}]}`."""
    kind = _LIGHT_TYPES.get(status, "INTERNAL_SERVER_ERROR" if status >= 500 else "BAD_REQUEST")
    error: dict[str, Any] = {"type": kind, "message": message}
    if path is not None:
        error["path"] = path
    name = "".join(word.capitalize() for word in kind.split("_")) + "Exception"
    body = {"name": name, "type": kind, "errors": [error]}
    return ProviderError(status, body, media_type=LIGHT_MEDIA_TYPE)


def light_missing_credentials_error() -> ProviderError:
    """Build Light's second error format, used when a request has no credentials."""
    message = "Credentials are required to access this resource"
    body = {"type": "UNAUTHORIZED", "message": message}
    return ProviderError(401, body, media_type=LIGHT_MEDIA_TYPE)


def asset_error(status: int, message: str, data: object = None) -> ProviderError:
    """Build Asset's error: `{error, data}`. Both keys are always present."""
    return ProviderError(status, {"error": message, "data": data})


def layer_error(
    options: Options,
    status: int,
    description: str,
    *,
    kind: str | None = None,
    error_enum: str | None = None,
) -> ProviderError:
    """Build Layer's `ApiError`, bare or in a list; `error_enum` is "only present for 4xx"."""
    body: dict[str, Any] = {
        "type": kind or _LAYER_TYPES.get(status, "Unknown"),
        "description": description,
    }
    if error_enum is not None and status < 500:
        body["error_enum"] = error_enum
    return ProviderError(status, body if options.layer_errors == "bare" else {"errors": [body]})


def error_for_provider(
    provider: Provider, options: Options, status: int, message: str
) -> ProviderError:
    """Build an error of any status in the provider's own format."""
    if provider == "light":
        return light_error(status, message)
    if provider == "asset":
        return asset_error(status, message)
    error_enum = "ManualRateLimit" if status == 429 else None
    return layer_error(options, status, message, error_enum=error_enum)


async def handle_provider_error(_: Request, error: Exception) -> Response:
    """Convert a `ProviderError` to a response, as a Starlette exception handler."""
    # Starlette runs handlers that are not async in a thread, which this does not need.
    assert isinstance(error, ProviderError)
    return error.to_response()
