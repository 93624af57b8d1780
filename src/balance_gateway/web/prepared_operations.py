"""Keep the operations of requests that may be sent again, so that they are parsed once.

A dashboard sends the same bytes after each change. An operation depends on nothing but them: the
document, the variables, and the limits of the process. It is kept from the second time on
(``api/compiled/seen_keys.py``).
"""

from collections import Counter

from balance_gateway.api.compiled.seen_keys import SeenKeys
from balance_gateway.api.execution.documents import PreparedOperation
from balance_gateway.api.execution.engine import Operation

#: Limits of the kept operations: their number, and an estimate of their memory.
OPERATIONS_MAX = 1_000
BYTES_MAX = 20_000_000

#: An operation without its document takes about four times its key. A document with its plan takes
#: up to 240 bytes a character, and the operations of one document share it.
_BYTES_PER_KEY_BYTE = 5
_BYTES_PER_CHARACTER = 250
_OPERATION_BYTES = 1_000

#: Limits of the operations whose task has not started yet: their number, and the size of each key.
_HANDED_MAX = 100
_HANDED_KEY_BYTES_MAX = 65_536


class PreparedOperations:
    """Valid operations by the key of their request; the oldest are dropped first.

    Args:
        operations_max: limit of operations.
        bytes_max: limit of their memory; one may have an eighth of it.

    Attributes:
        size_bytes: an estimate of their memory, with the documents that they keep.
    """

    def __init__(self, operations_max: int = OPERATIONS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._operations_max = operations_max
        self._bytes_max = bytes_max
        self._operations: dict[bytes, Operation] = {}
        self._seen = SeenKeys()
        # A task starts in the next turn of the event loop.
        self._handed: dict[bytes, Operation] = {}
        #: How many operations keep each document.
        self._uses: Counter[int] = Counter()
        self.size_bytes = 0

    def find(self, key: bytes) -> Operation | None:
        """Return the operation of a request; None if it is not kept.

        Args:
            key: the key under which the response is kept.
        """
        return self._operations.get(key)

    def take(self, key: bytes) -> Operation | None:
        """Return the operation of a request that has become a task; None if it is not there."""
        return self._operations.get(key) or self._handed.pop(key, None)

    def hand_over(self, key: bytes, operation: Operation) -> None:
        """Leave an operation for the task that its request becomes."""
        if len(key) > _HANDED_KEY_BYTES_MAX or key in self._operations:
            return
        self._handed[key] = operation
        if len(self._handed) > _HANDED_MAX:
            del self._handed[next(iter(self._handed))]

    def put(self, key: bytes, operation: Operation) -> None:
        """Keep an operation from the second time on, unless it is too large."""
        if not self._seen.note(key):
            return
        document_bytes = _estimate_document_bytes(operation.prepared)
        if key in self._operations or (
            _estimate_bytes(key) + document_bytes > self._bytes_max // 8
        ):
            return
        document = id(operation.prepared)
        if not self._uses[document]:
            self.size_bytes += document_bytes
        self._uses[document] += 1
        self._operations[key] = operation
        self.size_bytes += _estimate_bytes(key)
        while len(self._operations) > self._operations_max or self.size_bytes > self._bytes_max:
            self._drop(next(iter(self._operations)))

    def _drop(self, key: bytes) -> None:
        prepared = self._operations.pop(key).prepared
        self.size_bytes -= _estimate_bytes(key)
        document = id(prepared)
        self._uses[document] -= 1
        if not self._uses[document]:
            del self._uses[document]
            self.size_bytes -= _estimate_document_bytes(prepared)

    def __len__(self) -> int:
        return len(self._operations)


def _estimate_bytes(key: bytes) -> int:
    return _OPERATION_BYTES + _BYTES_PER_KEY_BYTE * len(key)


def _estimate_document_bytes(prepared: PreparedOperation) -> int:
    assert prepared.document.loc is not None
    return _BYTES_PER_CHARACTER * len(prepared.document.loc.source.body)
