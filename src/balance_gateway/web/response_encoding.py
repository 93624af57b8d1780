"""Choose the status of a response, and the coding and the entity tag of its body."""

from collections.abc import Mapping
from dataclasses import dataclass

from balance_gateway.api.execution.engine import GraphQLResponse
from balance_gateway.web.compression import Body, Compressor
from balance_gateway.web.graphql_responses import Headers, Reply
from balance_gateway.web.load_shedding import LoadShedder
from balance_gateway.web.media_types import GRAPHQL_RESPONSE, Coding, choose_coding
from balance_gateway.web.request_headers import decode_header
from balance_gateway.web.static_files import is_known


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a request accepts as its response.

    Attributes:
        media_type: the media type of the body; None if it accepts none that there is.
        coding: the preferred coding of the body.
        is_post: whether its method is POST: the response to another has an entity tag, and is 304
            if the caller has it already.
        known_tags: the value of If-None-Match; None without it.
    """

    media_type: str | None
    coding: Coding
    is_post: bool
    known_tags: str | None


def parse_accepted(
    headers: Mapping[bytes, bytes], media_type: str | None, *, is_post: bool
) -> Accepted:
    """Read what a request accepts from its headers; the arguments are the attributes."""
    return Accepted(
        media_type,
        choose_coding(decode_header(headers.get(b"accept-encoding"))),
        is_post,
        decode_header(headers.get(b"if-none-match")),
    )


class ResponseEncoder:
    """Encodes responses as their callers accept them.

    Args:
        compressor: compresses bodies, and keeps the results.
        load_shedder: says whether the process is too busy to compress.
    """

    def __init__(self, compressor: Compressor, load_shedder: LoadShedder) -> None:
        self._compressor = compressor
        self._load_shedder = load_shedder

    def find(self, response: GraphQLResponse, accepted: Accepted) -> Reply | None:
        """Return the reply if that needs no thread.

        Args:
            response: the response.
            accepted: what the request accepts.

        Returns:
            None if the body must be compressed in a thread.
        """
        status = _choose_status(response, accepted.media_type)
        is_tagged = not accepted.is_post and status == 200
        if is_tagged and accepted.known_tags:
            # Before it is compressed: what the caller has need not be.
            unchanged = _find_unchanged(response, accepted.coding, accepted.known_tags)
            if unchanged is not None:
                return unchanged
        busy = self._load_shedder.is_busy
        body = self._compressor.find(response, accepted.coding, busy=busy)
        return None if body is None else _build_reply(response, status, body, is_tagged=is_tagged)

    async def encode(self, response: GraphQLResponse, accepted: Accepted) -> Reply:
        """Return the reply; the arguments are those of ``find``."""
        found = self.find(response, accepted)
        if found is not None:
            return found
        status = _choose_status(response, accepted.media_type)
        body = await self._compressor.compress(response, accepted.coding)
        is_tagged = not accepted.is_post and status == 200
        return _build_reply(response, status, body, is_tagged=is_tagged)


def _build_reply(response: GraphQLResponse, status: int, body: Body, *, is_tagged: bool) -> Reply:
    content, coding_name = body
    tag = _build_tag(response, coding_name) if is_tagged else ()
    return Reply(status, content, coding_name, tag)


def _find_unchanged(response: GraphQLResponse, coding: Coding, known: str) -> Reply | None:
    # A busy process may have sent a body as it is, and compress it now.
    names = (coding.name, "") if coding.name and coding.allows_identity else (coding.name,)
    for name in names:
        tag = _format_tag(response, name)
        # Nearly always it is the only one.
        if known == tag or is_known(tag, known):
            return Reply(304, b"", name, _build_tag(response, name))
    return None


def _build_tag(response: GraphQLResponse, coding_name: str) -> Headers:
    return ((b"etag", _format_tag(response, coding_name).encode()),)


def _format_tag(response: GraphQLResponse, coding_name: str) -> str:
    ending = f"-{coding_name}" if coding_name else ""
    return f'"{response.digest}{ending}"'


def _choose_status(response: GraphQLResponse, media_type: str | None) -> int:
    return response.status if media_type == GRAPHQL_RESPONSE else response.json_status
