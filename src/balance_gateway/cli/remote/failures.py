"""Describes in one line why a gateway could not be asked, and what to do."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from balance_gateway import __version__
from balance_gateway.cli.remote.connection import Connection
from balance_gateway.cli.remote.text import escape
from balance_gateway.cli.usage import CommandError
from balance_gateway.domain.errors import ErrorCode

if TYPE_CHECKING:
    import httpx

#: The next step for errors of the gateway whose message alone does not say it.
_STEPS: Mapping[str, str] = {
    ErrorCode.FORBIDDEN: "Use a key with this scope: --key or --profile.",
    ErrorCode.ACCOUNT_NOT_FOUND: "'balance-gateway accounts list' shows the accounts of the key.",
    ErrorCode.GRAPHQL_VALIDATION_FAILED: (
        f"The gateway is of another release than this command ({__version__}): use the command of"
        " the gateway's release; 'balance-gateway whoami' shows it."
    ),
}


class RequestFailed(CommandError):
    """The gateway could not be asked, or did not answer the request.

    Attributes:
        is_executed_maybe: whether the gateway may have executed the request. False only if it
            certainly did not.
        can_repeat: whether a read may be tried again soon.
        retry_after_s: how long the gateway asks to wait; None if it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        is_executed_maybe: bool = True,
        can_repeat: bool = False,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(escape(" ".join(message.split())))
        self.is_executed_maybe = is_executed_maybe
        self.can_repeat = can_repeat
        self.retry_after_s = retry_after_s


def describe_error(code: str, message: str) -> str:
    """Return an error of the gateway in one line, with the next step."""
    step = _STEPS.get(code, "")
    return escape(" ".join(f"{code}: {message} {step}".split()))


def describe_transport_error(
    error: "httpx.TransportError", connection: Connection
) -> RequestFailed:
    """Describe why no response came."""
    import httpx

    url = connection.url
    for cause in _list_causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RequestFailed(
                f"The certificate of {url} is not trusted: {cause.verify_message}. If its"
                " authority is private, give its certificate with --ca-file.",
                is_executed_maybe=False,
            )
        if isinstance(cause, ssl.SSLError):
            return RequestFailed(
                f"{url} does not speak TLS as expected ({cause.reason}). Check the port, and"
                " whether the address starts with http://.",
                is_executed_maybe=False,
            )
    if isinstance(error, httpx.ConnectTimeout):
        return RequestFailed(
            f"{url} cannot be reached: no connection in time. Check the address and the network.",
            is_executed_maybe=False,
        )
    if isinstance(error, httpx.ProxyError):
        return RequestFailed(
            f"The proxy on the way to {url} refused: {error}. Check HTTPS_PROXY and NO_PROXY.",
            is_executed_maybe=False,
        )
    if isinstance(error, httpx.ConnectError):
        reason = _find_reason(error)
        return RequestFailed(
            f"{url} cannot be reached: {reason}. Check the address, and that the gateway runs.",
            is_executed_maybe=False,
            can_repeat=True,
        )
    if isinstance(error, httpx.TimeoutException):
        return RequestFailed(
            f"{url} did not answer within {connection.timeout_s:g} s. Try again, ask for less, or"
            " give a longer --timeout."
        )
    return RequestFailed(
        f"{url} closed the connection without a whole response. Check that the gateway runs, and"
        " try again.",
        can_repeat=True,
    )


def describe_status(
    response: "httpx.Response", document: Any, connection: Connection
) -> RequestFailed | None:
    """Describe a response that is no answer to the request; None if it is one.

    Args:
        response: status and headers.
        document: the body as JSON; None if it is none.
        connection: what was asked.
    """
    url, status = connection.url, response.status_code
    code, message = _find_first_error(document)
    if response.is_redirect:
        target = response.headers.get("location", "nowhere")[:200]
        return RequestFailed(
            f"{url} redirects to {target}, where the key was not sent. Give that address as --url"
            " if you trust it.",
            is_executed_maybe=False,
        )
    retry_after_s = _read_retry_after(response)
    if status == 401:
        own = code == ErrorCode.UNAUTHENTICATED
        return RequestFailed(
            f"{url} does not accept the key of {connection.key_reference}"
            f" ({code if own else 'status 401'}). Check that the reference has the key of this"
            " gateway, and that it is not expired.",
            is_executed_maybe=False,
        )
    if status in (429, 503):
        wait = "later" if retry_after_s is None else f"in {retry_after_s} s"
        what = (message or f"status {status}").rstrip(".")
        return RequestFailed(
            f"{url} takes no request now: {what}. Try again {wait}.",
            is_executed_maybe=status == 503 and code is None,
            # The gateway counts wrong keys only: another try with the same key cannot succeed.
            can_repeat=code != ErrorCode.TOO_MANY_REQUESTS,
            retry_after_s=retry_after_s,
        )
    if status == 404:
        return RequestFailed(
            f"{url} does not exist (status 404). Check the path of the address: 'GET /healthz' of"
            " a gateway answers 200.",
            is_executed_maybe=False,
        )
    if code is None and not _is_graphql(document):
        kind = response.headers.get("content-type", "").split(";")[0][:80] or "nothing readable"
        return RequestFailed(
            f"{url} answered with status {status} and {kind}, which is no answer of a gateway:"
            " something in front of it, or another server. Check the address, and try again.",
            can_repeat=status in (502, 504),
        )
    if status >= 400 and not _is_graphql(document):
        return RequestFailed(describe_error(code or f"status {status}", message or ""))
    return None


def _is_graphql(document: Any) -> bool:
    return isinstance(document, dict) and (
        isinstance(document.get("data"), dict) or _find_first_error(document) != (None, "")
    )


def _find_first_error(document: Any) -> tuple[str | None, str]:
    errors: Sequence[Any] = document.get("errors", ()) if isinstance(document, dict) else ()
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            extensions = error.get("extensions")
            code = extensions.get("code") if isinstance(extensions, dict) else None
            return code if isinstance(code, str) else None, error["message"]
    return None, ""


def _read_retry_after(response: "httpx.Response") -> int | None:
    text = response.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def _find_reason(error: BaseException) -> str:
    for cause in _list_causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(error) or "no connection"


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
