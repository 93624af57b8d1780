"""A small GraphQL client over httpx: reads are retried, a write is sent once."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from balance_gateway import __version__
from balance_gateway.cli.remote.connection import Connection
from balance_gateway.cli.remote.failures import (
    RequestFailed,
    describe_error,
    describe_status,
    describe_transport_error,
)
from balance_gateway.cli.remote.output import FieldError
from balance_gateway.cli.usage import CommandError, UsageError
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.transport.tls import build_ssl_context, verified_ssl_context

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 10.0
_BODY_BYTES_MAX = 64 * 1024 * 1024
#: Attempts of one read, the pause before the second, and the longest pause that a gateway may ask.
_ATTEMPTS = 3
_PAUSE_S = 0.3
_PAUSE_MAX_S = 10
#: Codes of requests that were refused before anything was executed.
_REFUSALS = frozenset(
    {
        *(ErrorCode.FORBIDDEN, ErrorCode.BAD_USER_INPUT, ErrorCode.QUERY_TOO_EXPENSIVE),
        *(ErrorCode.GRAPHQL_PARSE_FAILED, ErrorCode.GRAPHQL_VALIDATION_FAILED),
    }
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A GraphQL response.

    Attributes:
        data: the root fields.
        errors: the errors, each with the path to its field.
    """

    data: Mapping[str, Any]
    errors: Sequence[tuple[tuple[str | int, ...], FieldError]]

    def take(self, root: str, kind: Any) -> Any:
        """Return a root field as a value of a type of ``models``.

        Raises:
            CommandError: the field has an error, or another form than in the schema.
        """
        value = self.data.get(root)
        if value is None:
            for path, error in self.errors:
                if path[:1] in ((), (root,)):
                    raise CommandError(describe_error(error.code, error.message))
        return _convert(value, kind)

    def convert(self, value: object, kind: Any) -> Any:
        """Return a part of the data as a value of a type of ``models``.

        Raises:
            CommandError: it has another form than in the schema.
        """
        return _convert(value, kind)

    def find_errors(self, *prefix: str | int) -> list[FieldError]:
        """Return the errors at and below a path; their fields are relative to it."""
        return [
            FieldError(".".join(map(str, path[len(prefix) :])), error.code, error.message)
            for path, error in self.errors
            if path[: len(prefix)] == prefix
        ]


class GatewayClient:
    """Asks one gateway.

    Args:
        connection: the gateway and the key.
        sleep: waits for some seconds.
    """

    def __init__(
        self, connection: Connection, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.connection = connection
        self._sleep = sleep

    def __enter__(self) -> "GatewayClient":
        return self

    def __exit__(self, *_: object) -> None:
        if "_http" in self.__dict__:
            self._http.close()

    def read(self, document: str, **variables: Any) -> Answer:
        """Send a query; again after a pause if the gateway is busy or gone for a moment.

        Raises:
            RequestFailed: it was not answered.
        """
        attempt = 1
        while True:
            try:
                return self._send(document, variables)
            except RequestFailed as failed:
                pause_s = failed.retry_after_s or _PAUSE_S * attempt
                if not failed.can_repeat or attempt == _ATTEMPTS or pause_s > _PAUSE_MAX_S:
                    raise
            self._sleep(pause_s)
            attempt += 1

    def write(self, document: str, **variables: Any) -> Answer:
        """Send a mutation, once.

        Raises:
            RequestFailed: it was not answered; ``is_executed_maybe`` says what may have happened.
        """
        return self._send(document, variables)

    def write_repeatable(self, document: str, **variables: Any) -> Answer:
        """Send a mutation that changes nothing more when it is repeated; again as a query is.

        Raises:
            RequestFailed: it was not answered; ``is_executed_maybe`` says what may have happened.
        """
        return self.read(document, **variables)

    @cached_property
    def _http(self) -> httpx.Client:
        connection = self.connection
        # A key for a gateway on this machine must not leave it through a proxy.
        uses_proxy = urlsplit(connection.url).hostname not in _LOOPBACK
        ca_file = connection.ca_file
        try:
            return httpx.Client(
                headers={
                    "Authorization": f"Bearer {connection.key.reveal()}",
                    "Content-Type": "application/json",
                    "User-Agent": f"balance-gateway/{__version__}",
                },
                verify=build_ssl_context(ca_file) if ca_file else verified_ssl_context(),
                timeout=httpx.Timeout(connection.timeout_s, connect=_CONNECT_TIMEOUT_S),
                follow_redirects=False,
                trust_env=uses_proxy,
            )
        except (ImportError, ValueError, httpx.InvalidURL):
            # Without the reason, which may show the password of the proxy.
            raise UsageError(
                "The proxy of HTTPS_PROXY or ALL_PROXY cannot be used: it must be a URL that"
                " starts with http:// or https://. NO_PROXY names the hosts without a proxy."
            ) from None

    def _send(self, document: str, variables: Mapping[str, Any]) -> Answer:
        body = {"query": document, "variables": variables}
        try:
            content = json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise UsageError("The arguments must be UTF-8 text; nothing was sent.") from None
        try:
            with self._http.stream("POST", self.connection.url, content=content) as response:
                received = self._read_body(response)
        except httpx.TransportError as error:
            raise describe_transport_error(error, self.connection) from None
        except UnicodeError:
            # From the resolver, for names that DNS cannot have.
            raise RequestFailed(
                f"{self.connection.url} cannot be reached: its host, or that of a proxy, is not a"
                " valid name. Check the address, HTTPS_PROXY and ALL_PROXY.",
                is_executed_maybe=False,
            ) from None
        except (httpx.InvalidURL, httpx.DecodingError, httpx.StreamError):
            raise RequestFailed(
                f"{self.connection.url} sent a response that cannot be read. Check the address."
            ) from None
        parsed = _parse(received)
        failed = describe_status(response, parsed, self.connection)
        if failed is not None:
            raise failed
        return _build_answer(parsed)

    def _read_body(self, response: httpx.Response) -> bytes:
        deadline_s = time.monotonic() + self.connection.timeout_s
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > _BODY_BYTES_MAX:
                raise RequestFailed(
                    f"{self.connection.url} sent more than {_BODY_BYTES_MAX >> 20} MiB. Check the"
                    " address, or ask for less with --limit."
                )
            if time.monotonic() > deadline_s:
                raise httpx.ReadTimeout("The whole response took too long.")
        return bytes(content)


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _build_answer(document: Mapping[str, Any]) -> Answer:
    data = document.get("data")
    errors = [_parse_error(error) for error in _convert(document.get("errors") or [], list[Any])]
    if not isinstance(data, dict):
        _, first = errors[0]
        raise RequestFailed(
            describe_error(first.code, first.message),
            is_executed_maybe=first.code not in _REFUSALS,
        )
    return Answer(data, errors)


class _Extensions(msgspec.Struct):
    code: str = ErrorCode.INTERNAL


class _Error(msgspec.Struct):
    message: str
    path: list[str | int] = []
    extensions: _Extensions = msgspec.field(default_factory=_Extensions)


def _parse_error(sent: Any) -> tuple[tuple[str | int, ...], FieldError]:
    error = _convert(sent, _Error)
    return tuple(error.path), FieldError("", error.extensions.code, error.message)


def _convert(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise CommandError(
            f"The response is not as the schema says: {error}. Check that --url is that of a"
            f" gateway, and that it is of the release of this command ({__version__})."
        ) from None
