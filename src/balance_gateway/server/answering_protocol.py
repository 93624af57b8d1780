"""Answer requests before they become tasks, where the application can.

An application with ``answer_at_once`` is first asked for a response that needs no task; only
without one does a request become a task. The head of a request that was answered so is remembered
(``server/known_heads.py``): the parser does not see the next request with the same head.

Many clients send head and body apart. If the application may answer at once, the request becomes no
task before its body is there; a request that it will refuse does.
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
        # One without heads is false.
        self._known_heads = KnownHeads() if known_heads is None else known_heads
        self._answer_at_once: Callable[[RequestHead, bytes, OnReady], AnswerAtOnce] | None = (
            getattr(self.app, "answer_at_once", None)
        )
        self._expects_body: Callable[[RequestHead], bool] | None = getattr(
            self.app, "expects_body", None
        )
        # A request that has just arrived, while its bytes are parsed, or until its body is there;
        # and its bytes so far.
        self._held: RequestResponseCycle | None = None
        self._held_data = b""
        self._is_feeding = False
        # A request for which the application has asked another server, and its bytes while the
        # parser has not seen them.
        self._delayed: RequestResponseCycle | None = None
        self._delayed_data = b""
        # A known head without its body, which the parser has not seen.
        self._head_data = b""
        self._used_s = 0.0

    def data_received(self, data: bytes) -> None:
        """Answer a request with a known head at once; feed any other bytes to the parser."""
        if self._delayed_data:
            self._parse_unseen()
        data, self._head_data = self._head_data + data, b""
        is_first = self._is_between
        known = None
        if is_first and self._is_idle():
            known = self._known_heads.find(data)
            if known is None and self._known_heads.is_head(data):
                self._await_body(data)
                return
        answer: AnswerAtOnce = None
        if known is not None:
            # As after a parsed request; an empty line before it has begun an incomplete one.
            self._is_receiving = False
            self._cancel_deadline()
            self._used_s = self.loop.time()
            answer = self._ask(known.head, data[known.size_bytes :])
            if answer is LATER:
                self._delayed_data = data
                return
            if answer is not None:
                self._write_known(answer)
                return
        self._parse(data)
        if self._held is not None:
            self._continue_held(self._held, data, is_first=is_first, was_asked=known is not None)

    def _await_body(self, head: bytes) -> None:
        self._head_data = head
        self._used_s = self.loop.time()
        if self._deadline is None:
            self._start_deadline()

    def _continue_held(
        self, held: RequestResponseCycle, data: bytes, *, is_first: bool, was_asked: bool
    ) -> None:
        """Answer a request that was parsed, hold it until its body is there, or start its task.

        Args:
            held: the request.
            data: the bytes that were parsed last.
            is_first: whether they begin with the request.
            was_asked: whether the application was asked for an answer already.
        """
        if held.more_body and is_first and self._may_hold(held):
            self._held_data = data
            return
        is_whole = is_first or bool(self._held_data)
        data, self._held_data, self._held = self._held_data + data, b"", None
        answer: AnswerAtOnce = None
        if not was_asked and not held.more_body and can_write(held):
            head, body = _get_head(held), bytes(held.body)
            answer = self._ask(head, body)
            if answer is not None and is_whole:
                self._known_heads.remember(data, head, body)
        if answer is LATER:
            self._delayed = held
        else:
            self._write_or_start(held, answer)

    def _may_hold(self, held: RequestResponseCycle) -> bool:
        """Whether a request may be answered at once when its body is there."""
        if self._expects_body is None or held.waiting_for_100_continue or not can_write(held):
            return False
        if held.body:
            return False  # A large one has stopped reading, until a task takes it.
        try:
            return self._expects_body(_get_head(held))
        except Exception:
            return False  # The task meets the same defect, and reports it.

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
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        write_answer(self.transport, answer)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; the timer is that of the last request that was parsed."""
        idle_s = self.loop.time() - self._used_s
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

    def _parse_unseen(self) -> None:
        """Parse what the parser has not seen, before something else happens to the connection."""
        delayed, self._delayed_data = self._delayed_data, b""
        head, self._head_data = self._head_data, b""
        if not (delayed or head):
            return
        self._parse(delayed or head)
        held, self._held = self._held, None
        if delayed:
            self._delayed = held
        elif held is not None:
            self._write_or_start(held, None)

    def _finish_delayed(self, find_answer: Callable[[], DirectAnswer | None] | None) -> None:
        """Continue with a request that another server has delayed."""
        answer: DirectAnswer | None = None
        if self._delayed_data:
            answer = _find_delayed(find_answer) if self._is_idle() else None
            if answer is not None:
                self._delayed_data = b""
                self._write_known(answer)
                return
            self._parse_unseen()
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
        self._parse_unseen()
        if self._held is not None:
            self._write_or_start(self._held, None)
            self._held = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection after a delayed request."""
        self._parse_unseen()
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
