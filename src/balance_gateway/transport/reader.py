"""Reads the responses of a connection into ``RawResponse``, within bounds, on httptools."""

import httptools

from balance_gateway.transport.errors import InvalidResponse, ResponseTooLarge, TransportError
from balance_gateway.transport.limits import Bounds
from balance_gateway.transport.messages import Headers, RawResponse, decode_response


class ResponseReader:
    """Collects one response at a time; httptools calls the ``on_`` methods.

    Args:
        bounds: The size bounds of every response.

    Attributes:
        has_data: Whether a byte arrived since ``expect``.
        status: Status of the final response, once its head is complete; 0 before.
        headers: Headers of the response that were read so far.
        done: Whether the response is complete.
        reusable: Once done: whether the connection may carry another exchange.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._parser = httptools.HttpResponseParser(self)

    def expect(self, *, head_only: bool) -> None:
        """Prepare for the next response; ``head_only`` for one to HEAD, without a body."""
        self._head_only = head_only
        self._error: TransportError | None = None
        self._bytes_since_body = 0
        self.has_data = self.done = self.reusable = False
        self._expect_head()

    def _expect_head(self) -> None:
        self.headers: Headers = []
        self._head_bytes = 0
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._coded = False
        self._until_close = True
        self.status = 0

    def feed(self, data: bytes) -> None:
        """Parse more bytes of the response.

        Raises:
            InvalidResponse: The bytes are not an HTTP response, or exceed a bound.
        """
        self.has_data = True
        self._bytes_since_body += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            if not self.done:
                # httptools replaces the exceptions of its callbacks by its own.
                raise (self._error or InvalidResponse(f"Malformed response: {error}")) from error
        # httptools reports no callback for chunk extensions: they count here.
        if self._bytes_since_body > self._bounds.head_bytes_max and not self.done:
            raise ResponseTooLarge("The response's head or framing is too large.")

    def end(self) -> None:
        """Handle the end of the stream, which completes a response without a length."""
        self.done = self.done or (self.status > 0 and self._until_close)

    def take_response(self) -> RawResponse:
        """Return the complete response and drop its body from the reader.

        Raises:
            UndecodableBody, ResponseTooLarge: The body cannot be inflated.
        """
        response = RawResponse(self.status, self.headers, bytes(self._body))
        self._body = b""
        return decode_response(response, self._bounds.body_bytes_max) if self._coded else response

    def on_message_begin(self) -> None:
        """Rule out reuse of the connection when a second response follows."""
        if self.done:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; trailers are only counted."""
        if self.done:
            return
        self._head_bytes += len(name) + len(value) + 4
        bounds = self._bounds
        if self._head_bytes > bounds.head_bytes_max or len(self.headers) >= bounds.headers_max:
            self._fail(ResponseTooLarge("The response has too many or too large headers."))
        if self.status:
            return
        self.headers.append((name, value))
        # The lengths of content-length, content-encoding and transfer-encoding.
        if len(name) in {14, 16, 17}:
            self._apply_framing(name.lower(), value.strip().lower())

    def _apply_framing(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._until_close = False
        elif name == b"transfer-encoding":
            self._until_close = False
            if value != b"chunked":
                self._fail(InvalidResponse("Unknown transfer coding."))
        elif name == b"content-encoding" and value not in {b"", b"identity"}:
            self._coded = True

    def _fail(self, error: TransportError) -> None:
        self._error = error
        raise error

    def on_headers_complete(self) -> None:
        """Store the status; a final response to HEAD is complete here."""
        if self.done:
            return
        status = self._parser.get_status_code()
        if status < 100:
            self._fail(InvalidResponse("Illegal status code."))
        if status >= 200:
            self.status = status
            if self._head_only:
                self._complete()
                # The old parser expects a body now.
                self._parser = httptools.HttpResponseParser(self)

    def on_body(self, chunk: bytes) -> None:
        """Store a part of the body."""
        if self.done:
            self.reusable = False
            return
        self._bytes_since_body = 0
        self._body_bytes += len(chunk)
        if self._body_bytes > self._bounds.body_bytes_max:
            self._fail(ResponseTooLarge("The response's body is too large."))
        # Most bodies arrive in one part and need no copy.
        if not self._body:
            self._body = chunk
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += chunk

    def on_message_complete(self) -> None:
        """Complete the response, or expect the next head after an interim response (1xx)."""
        if self.done:
            return
        if self.status:
            self._complete()
        else:
            self._expect_head()

    def _complete(self) -> None:
        self.reusable = bool(self._parser.should_keep_alive())
        self.done = True
