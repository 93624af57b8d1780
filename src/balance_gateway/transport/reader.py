"""Reads the bytes of one answer after another into ``RawResponse``, within bounds, on httptools."""

import httptools
import httpx

from balance_gateway.transport.errors import ResponseTooLarge
from balance_gateway.transport.limits import Bounds
from balance_gateway.transport.messages import Headers, RawResponse, decode_content


class ResponseReader:
    """Collects one answer at a time; the ``on_`` methods are called by httptools.

    Attributes:
        heard: a byte came since ``expect``.
        status: of the final answer, once its head is complete; 0 before.
        done: the answer is complete.
        reusable: once done: the connection may carry another exchange.
    """

    def __init__(self, bounds: Bounds) -> None:
        """Take the bounds that hold for every answer."""
        self._bounds = bounds
        self._parser = httptools.HttpResponseParser(self)

    def expect(self, *, head_only: bool) -> None:
        """Make ready for the next answer; ``head_only`` for one to HEAD, that has no body."""
        self._head_only = head_only
        self._refusal: httpx.TransportError | None = None
        self._quiet_bytes = 0
        self.heard = self.done = self.reusable = False
        self._expect_head()

    def _expect_head(self) -> None:
        self._headers: Headers = []
        self._head_bytes = 0
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._coding = b""
        self._until_close = True
        self.status = 0

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            httpx.RemoteProtocolError: the bytes are no HTTP answer, or break a bound.
        """
        self.heard = True
        self._quiet_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            if not self.done:
                raise (
                    self._refusal or httpx.RemoteProtocolError(f"Malformed answer: {error}")
                ) from error
        if self._quiet_bytes > self._bounds.head_bytes_max and not self.done:
            raise ResponseTooLarge("The answer's head or framing is too large.")

    def end(self) -> None:
        """The server sends no more: an answer that ends with the connection is done by this."""
        self.done = self.done or (self.status > 0 and self._until_close)

    def answer(self) -> RawResponse:
        """The answer, once done; lets go of it.

        Raises:
            httpx.DecodingError, ResponseTooLarge: the body cannot be inflated.
        """
        headers, body = self._headers, bytes(self._body)
        self._headers, self._body = [], b""
        if self._coding and body:
            body = decode_content(body, self._coding, self._bounds.body_bytes_max)
            plain = {b"content-encoding", b"content-length"}
            headers = [field for field in headers if field[0].lower() not in plain]
        return RawResponse(self.status, headers, body)

    def on_message_begin(self) -> None:
        """Refuse to use the connection again when a second answer follows."""
        if self.done:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; count trailers, but leave them out."""
        if self.done:
            return
        self._head_bytes += len(name) + len(value) + 4
        bounds = self._bounds
        if self._head_bytes > bounds.head_bytes_max or len(self._headers) >= bounds.headers_max:
            self._refuse(ResponseTooLarge("The answer's headers are too many or too large."))
        if self.status:
            return
        self._headers.append((name, value))
        if len(name) in {14, 16, 17}:
            self._note(name.lower(), value.strip().lower())

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._until_close = False
        elif name == b"transfer-encoding":
            self._until_close = False
            if value != b"chunked":
                self._refuse(httpx.RemoteProtocolError("Unknown transfer coding."))
        elif name == b"content-encoding" and value not in {b"", b"identity"}:
            self._coding = self._coding + b"," + value if self._coding else value

    def _refuse(self, error: httpx.TransportError) -> None:
        self._refusal = error
        raise error

    def on_headers_complete(self) -> None:
        """Take the status; a final answer to HEAD ends here."""
        if self.done:
            return
        status = self._parser.get_status_code()
        if status < 100:
            self._refuse(httpx.RemoteProtocolError("Illegal status code."))
        if status >= 200:
            self.status = status
            if self._head_only:
                self._complete()
                self._parser = httptools.HttpResponseParser(self)  # This one awaits a body.

    def on_body(self, chunk: bytes) -> None:
        """Keep a piece of the body."""
        if self.done:
            self.reusable = False
            return
        self._quiet_bytes = 0
        self._body_bytes += len(chunk)
        if self._body_bytes > self._bounds.body_bytes_max:
            self._refuse(ResponseTooLarge("The answer's body is too large."))
        if not self._body:
            self._body = chunk
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += chunk

    def on_message_complete(self) -> None:
        """End the answer, or go on after an interim one (1xx)."""
        if self.done:
            return
        if self.status:
            self._complete()
        else:
            self._expect_head()

    def _complete(self) -> None:
        self.reusable = bool(self._parser.should_keep_alive())
        self.done = True
