"""Choose the status of a response, and the coding of its body."""

from collections.abc import Mapping

from balance_gateway.api.execution.engine import GraphQLResponse
from balance_gateway.web.compression import Compressor
from balance_gateway.web.graphql_responses import Reply
from balance_gateway.web.load_shedding import LoadShedder
from balance_gateway.web.media_types import GRAPHQL_RESPONSE, choose_coding
from balance_gateway.web.request_headers import decode_header


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
        self, response: GraphQLResponse, headers: Mapping[bytes, bytes], media_type: str | None
    ) -> Reply | None:
        """Return the reply if its body needs no work, or that was done for an earlier one.

        Args:
            response: the response.
            headers: of the request.
            media_type: the media type of the body; None if the caller accepts none that there is.

        Returns:
            None if the body must be compressed first.
        """
        body, status = response.body, _choose_status(response, media_type)
        if (accepted := headers.get(b"accept-encoding")) is None:
            return Reply(status, body)
        coding = choose_coding(decode_header(accepted))
        compressed = self._compressor.find(body, coding)
        if compressed is not None:
            return Reply(status, compressed, coding.name)
        busy = self._load_shedder.is_busy
        return None if self._compressor.is_wanted(body, coding, busy=busy) else Reply(status, body)

    async def encode(
        self, response: GraphQLResponse, headers: Mapping[bytes, bytes], media_type: str | None
    ) -> Reply:
        """Return the reply; the arguments are those of ``find``."""
        found = self.find(response, headers, media_type)
        if found is not None:
            return found
        body, status = response.body, _choose_status(response, media_type)
        coding = choose_coding(decode_header(headers.get(b"accept-encoding")))
        busy = self._load_shedder.is_busy
        compressed = await self._compressor.compress(body, coding, busy=busy)
        return Reply(status, body) if compressed is None else Reply(status, compressed, coding.name)


def _choose_status(response: GraphQLResponse, media_type: str | None) -> int:
    return response.status if media_type == GRAPHQL_RESPONSE else response.json_status
