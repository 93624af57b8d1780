"""Send the responses of /graphql with the headers that all of them have."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from starlette.types import Send

from balance_gateway.api.execution.engine import PARTIAL_SUCCESS
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.server.direct_response import (
    DirectAnswer,
    encode_head,
    encode_headers,
    write_directly,
)
from balance_gateway.web.cors import CorsPolicy, build_headers
from balance_gateway.web.media_types import CODINGS, GRAPHQL_RESPONSE, JSON

Headers = Sequence[tuple[bytes, bytes]]

#: The statuses of the responses that are written in one piece: nearly all.
DIRECT_STATUSES = (200, PARTIAL_SUCCESS, 304)


@dataclass(frozen=True, slots=True)
class Reply:
    """A response as it is sent.

    Attributes:
        status: the HTTP status.
        body: the body, in the coding.
        coding: the content coding of the body; empty for none.
        extra_headers: headers besides those that all responses have.
    """

    status: int
    body: bytes
    coding: str = ""
    extra_headers: Headers = ()


class ResponseSender:
    """Sends responses, in one piece where possible.

    Args:
        cors: the origins with pages that may read the responses; None: no other origin may.
    """

    def __init__(self, cors: CorsPolicy | None = None) -> None:
        origins: list[bytes | None] = [None]
        vary = b"Accept, Accept-Encoding, Authorization"
        if cors is not None:
            origins += cors.allowed_values
            if not cors.allows_all:
                vary += b", Origin"
        self._headers = {
            (media_type, coding, origin): _build_headers(media_type, coding, origin, vary)
            for media_type in (JSON, GRAPHQL_RESPONSE)
            for coding in ("", *CODINGS)
            for origin in origins
        }
        self._heads = {
            (status, *key): encode_head(status, headers)
            for status in DIRECT_STATUSES
            for key, headers in self._headers.items()
        }

    def build_direct(
        self, reply: Reply, media_type: str, request_id: str, origin: bytes | None
    ) -> DirectAnswer:
        """Build a response with one of ``DIRECT_STATUSES``; the arguments are ``send``'s."""
        head = self._heads[reply.status, media_type, reply.coding, origin]
        if reply.extra_headers:
            head += encode_headers(reply.extra_headers)
        return DirectAnswer(head, request_id.encode(), reply.body)

    async def send(
        self, send: Send, reply: Reply, media_type: str, request_id: str, origin: bytes | None
    ) -> None:
        """Send a response.

        Args:
            send: ASGI's send function.
            reply: the response.
            media_type: the media type of its body.
            request_id: the value of X-Request-Id.
            origin: the value of Access-Control-Allow-Origin; None without it.
        """
        key = (media_type, reply.coding, origin)
        if reply.status in DIRECT_STATUSES and write_directly(
            send, self.build_direct(reply, media_type, request_id, origin)
        ):
            return
        # A length of 304 would be that of the body that is left out.
        length = [] if reply.status == 304 else [(b"content-length", b"%d" % len(reply.body))]
        headers = [
            *self._headers[key],
            *reply.extra_headers,
            *length,
            (b"x-request-id", request_id.encode()),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})


def encode_error(message: str, code: ErrorCode) -> bytes:
    """Encode a response with one error."""
    extensions = {"code": code, "retryable": code.is_retryable}
    return orjson.dumps({"errors": [{"message": message, "extensions": extensions}]})


def _build_headers(
    media_type: str, coding: str, origin: bytes | None, vary: bytes
) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", f"{media_type}; charset=utf-8".encode()),
        *([(b"content-encoding", coding.encode())] if coding else []),
        (b"cache-control", b"no-store"),
        (b"vary", vary),
        (b"x-content-type-options", b"nosniff"),
        *(build_headers(origin) if origin is not None else []),
    ]
