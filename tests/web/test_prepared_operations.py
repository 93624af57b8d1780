"""Kept operations are bounded by number, and by the bytes of their keys."""

from balance_gateway.api.execution.engine import Operation
from balance_gateway.web.prepared_operations import PreparedOperations

OPERATION = Operation(None, {})  # type: ignore[arg-type]


def test_the_oldest_is_dropped_when_there_are_too_many() -> None:
    operations = PreparedOperations(operations_max=3)
    for key in (b"a", b"b", b"c", b"a", b"d"):
        operations.put(key, OPERATION)

    assert [operations.find(key) is OPERATION for key in (b"a", b"b", b"c", b"d")] == [
        False,
        True,
        True,
        True,
    ]
    assert (len(operations), operations.key_bytes) == (3, 3)


def test_the_oldest_are_dropped_when_their_keys_are_too_long_together() -> None:
    operations = PreparedOperations(key_bytes_max=100)
    for number in range(10):
        operations.put(b"%030d" % number, OPERATION)

    assert operations.key_bytes == 90
    assert len(operations) == 3
    assert operations.find(b"%030d" % 9) is OPERATION


def test_one_with_a_very_long_key_is_not_kept() -> None:
    operations = PreparedOperations()
    operations.put(b"x" * 65_537, OPERATION)
    operations.put(b"x" * 65_536, OPERATION)

    assert len(operations) == 1
    assert operations.find(b"x" * 65_537) is None
