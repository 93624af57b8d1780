"""Choose the status of a response, and the coding and the entity tag of its body."""

from collections.abc import Mapping

from balance_gateway.api.execution.engine import GraphQLResponse
from balance_gateway.web.compression import Compressor
from balance_gateway.web.graphql_responses import Headers, Reply
from balance_gateway.web.load_shedding import LoadShedder
from balance_gateway.web.media_types import GRAPHQL_RESPONSE, Coding, choose_coding
from balance_gateway.web.request_headers import decode_header
from balance_gateway.web.static_files import is_known


class ResponseEncoder:
    """Encodes responses as their callers accept them.

    Args:
        compressor: compresses bodies, and keeps the results.
        load_shedder: says whether the process is too busy to compress.
    """

    def __init__(self, compressor: Compressor, load_shedder: LoadShedder) -> None:
        self._compressor = compressor
        self._load_shedder = load_shedder

    def find(
        self,
        response: GraphQLResponse,
        headers: Mapping[bytes, bytes],
        media_type: str | None,
        *,
        is_post: bool,
    ) -> Reply | None:
        """Return the reply if its body needs no work, or that was done for an earlier one.

        Args:
            response: the response.
            headers: of the request.
            media_type: the media type of the body; None if the caller accepts none that there is.
            is_post: whether the method is POST: the response to another has an entity tag, and is
                304 if the caller has it already.

        Returns:
            None if the body must be compressed first.
        """
        body, status = response.body, _choose_status(response, media_type)
        is_tagged = not is_post and status == 200
        accepted = headers.get(b"accept-encoding")
        if accepted is None and not is_tagged:
            return Reply(status, body)
        coding = choose_coding(decode_header(accepted))
        if is_tagged and (known := decode_header(headers.get(b"if-none-match"))):
            # Before it is compressed: what the caller has need not be.
            unchanged = _find_unchanged(response, coding, known)
            if unchanged is not None:
                return unchanged
        compressed = self._compressor.find(response, coding)
        busy = self._load_shedder.is_busy
        if compressed is None and self._compressor.is_wanted(response, coding, busy=busy):
            return None
        return _build_reply(response, status, compressed, coding, is_tagged=is_tagged)

    async def encode(
        self,
        response: GraphQLResponse,
        headers: Mapping[bytes, bytes],
        media_type: str | None,
        *,
        is_post: bool,
    ) -> Reply:
        """Return the reply; the arguments are those of ``find``."""
        found = self.find(response, headers, media_type, is_post=is_post)
        if found is not None:
            return found
        status = _choose_status(response, media_type)
        coding = choose_coding(decode_header(headers.get(b"accept-encoding")))
        busy = self._load_shedder.is_busy
        compressed = await self._compressor.compress(response, coding, busy=busy)
        is_tagged = not is_post and status == 200
        return _build_reply(response, status, compressed, coding, is_tagged=is_tagged)


def _build_reply(
    response: GraphQLResponse,
    status: int,
    compressed: bytes | None,
    coding: Coding,
    *,
    is_tagged: bool,
) -> Reply:
    body, name = (response.body, "") if compressed is None else (compressed, coding.name)
    return Reply(status, body, name, _build_tag(response, name) if is_tagged else ())


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
