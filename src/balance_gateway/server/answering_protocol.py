"""Answer requests before they become tasks, where the application can.

An application with ``answer_at_once`` is first asked for a response that needs no task; only
without one does a request become a task. The head of a request that was answered so is remembered
(``server/known_heads.py``): the parser does not see the next request with the same head.
"""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from balance_gateway.server.direct_response import (
    LATER,
    AnswerAtOnce,
    DirectAnswer,
    OnReady,
    can_write,
    write,
    write_answer,
)
from balance_gateway.server.http_protocol import DeadlineProtocol
from balance_gateway.server.known_heads import KnownHeads, RequestHead


def _do_nothing() -> None:
    """Replace the callback of a finished cycle, which refers to the protocol."""


class AnsweringProtocol(DeadlineProtocol):
    """An HTTP protocol that asks its application for answers at once.

    Args:
        args: the arguments of ``DeadlineProtocol``.
        known_heads: the heads that were parsed before; None: those of this connection.
        kwargs: the arguments of ``DeadlineProtocol``.
    """

    def __init__(self, *args: Any, known_heads: KnownHeads | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known_heads = known_heads or KnownHeads()
        self._answer_at_once: Callable[[RequestHead, bytes, OnReady], AnswerAtOnce] | None = (
            getattr(self.app, "answer_at_once", None)
        )
        # A request that has just arrived, while its bytes are parsed.
        self._held: RequestResponseCycle | None = None
        self._is_feeding = False
        # A request for which the application has asked another server, and its bytes while the
        # parser has not seen them.
        self._delayed: RequestResponseCycle | None = None
        self._delayed_data = b""
        self._answered_s = 0.0

    def data_received(self, data: bytes) -> None:
        """Answer a request with a known head at once; feed any other bytes to the parser."""
        self._parse_delayed()
        was_between = self._is_between
        known = self._known_heads.find(data) if was_between and self._is_idle() else None
        answer: AnswerAtOnce = None
        if known is not None:
            answer = self._ask(known.head, data[known.size_bytes :])
            if answer is LATER:
                self._delayed_data = data
                self._answered_s = self.loop.time()
                return
            if answer is not None:
                self._write_known(answer)
                return
        self._parse(data)
        held, self._held = self._held, None
        if held is None:
            return
        if known is None and not held.more_body and can_write(held):
            head, body = _get_head(held), bytes(held.body)
            answer = self._ask(head, body)
            if answer is not None and was_between:
                self._known_heads.remember(data, head, body)
        if answer is LATER:
            self._delayed = held
        else:
            self._write_or_start(held, answer)

    def _parse(self, data: bytes) -> None:
        self._is_feeding = True
        try:
            super().data_received(data)
        finally:
            self._is_feeding = False

    def _is_idle(self) -> bool:
        """Whether the last response is complete, and the next request may be answered at once."""
        cycle = self.cycle
        return (
            cycle is not None
            and cycle.response_complete
            and not self.flow.write_paused
            and not self._drain.has_begun
        )

    def _ask(self, head: RequestHead, body: bytes) -> AnswerAtOnce:
        """Ask the application for a response that needs no task."""
        assert self._answer_at_once is not None
        try:
            return self._answer_at_once(head, body, self._finish_delayed)
        except Exception:
            return None  # The task meets the same defect, and reports it.

    def _write_known(self, answer: DirectAnswer) -> None:
        """Write the response to a request that the parser has not seen.

        The state stays that after the response before it.
        """
        self.server_state.total_requests += 1
        self._answered_s = self.loop.time()
        write_answer(self.transport, answer)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; the timer is that of the last request that was parsed."""
        idle_s = self.loop.time() - self._answered_s
        if idle_s < self.timeout_keep_alive:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive - idle_s, self.timeout_keep_alive_handler
            )
            return
        super().timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Hold a request back until its body, which may be in the same bytes, was parsed."""
        if self._is_feeding and self._answer_at_once is not None and app is self.app:
            self._held = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def _parse_delayed(self) -> None:
        """Parse a delayed request after all, before something else happens to the connection."""
        data, self._delayed_data = self._delayed_data, b""
        if data:
            self._parse(data)
            self._delayed, self._held = self._held, None

    def _finish_delayed(self, find_answer: Callable[[], DirectAnswer | None] | None) -> None:
        """Continue with a request that another server has delayed."""
        answer: DirectAnswer | None = None
        if self._delayed_data:
            answer = _find_delayed(find_answer) if self._is_idle() else None
            if answer is not None:
                self._delayed_data = b""
                self._write_known(answer)
                return
            self._parse_delayed()
        cycle, self._delayed = self._delayed, None
        assert cycle is not None
        # Its client may have left, or the server may drain.
        if can_write(cycle):
            answer = _find_delayed(find_answer)
        self._write_or_start(cycle, answer)

    def _write_or_start(self, cycle: RequestResponseCycle, answer: DirectAnswer | None) -> None:
        if answer is None:
            super()._start_asgi_task(cycle, self.app)
            return
        write(cycle, answer)
        cycle.on_response = _do_nothing  # As uvicorn does after its task.

    def connection_lost(self, exc: Exception | None) -> None:
        """Let a delayed request notice that its client has left."""
        self._parse_delayed()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection after a delayed request."""
        self._parse_delayed()
        super().shutdown()


def _get_head(cycle: RequestResponseCycle) -> RequestHead:
    scope = cycle.scope
    return RequestHead(
        scope["method"], scope["path"], scope["query_string"], list(scope["headers"])
    )


def _find_delayed(find_answer: Callable[[], DirectAnswer | None] | None) -> DirectAnswer | None:
    try:
        return None if find_answer is None else find_answer()
    except Exception:
        return None  # The task meets the same defect, and reports it.
