"""Keep the operations of requests that may be sent again, so that they are parsed once.

A dashboard sends the same bytes after each change. An operation depends on nothing but them: the
document, the variables, and the limits of the process.
"""

from balance_gateway.api.execution.engine import Operation

#: Limits of the kept operations: their number, the bytes of their keys, and those of each key. An
#: operation takes about four times its key.
OPERATIONS_MAX = 1_000
KEY_BYTES_MAX = 2_000_000
_ONE_KEY_BYTES_MAX = 65_536


class PreparedOperations:
    """Valid operations by the key of their request; the oldest are dropped first.

    Args:
        operations_max: limit of operations.
        key_bytes_max: limit of the bytes of all keys.
    """

    def __init__(
        self, operations_max: int = OPERATIONS_MAX, key_bytes_max: int = KEY_BYTES_MAX
    ) -> None:
        self._operations_max = operations_max
        self._key_bytes_max = key_bytes_max
        self._operations: dict[bytes, Operation] = {}
        self.key_bytes = 0

    def find(self, key: bytes) -> Operation | None:
        """Return the operation of a request; None if it is not kept.

        Args:
            key: the key under which the response is kept.
        """
        return self._operations.get(key)

    def put(self, key: bytes, operation: Operation) -> None:
        """Keep an operation, unless its key is too long."""
        if len(key) > _ONE_KEY_BYTES_MAX or key in self._operations:
            return
        self._operations[key] = operation
        self.key_bytes += len(key)
        while len(self._operations) > self._operations_max or self.key_bytes > self._key_bytes_max:
            oldest = next(iter(self._operations))
            del self._operations[oldest]
            self.key_bytes -= len(oldest)

    def __len__(self) -> int:
        return len(self._operations)
