"""Kept operations are bounded by number, and by the memory of what they keep."""

from typing import Any

from graphql import parse

from balance_gateway.api.execution.documents import PreparedOperation
from balance_gateway.api.execution.engine import Operation
from balance_gateway.web.prepared_operations import PreparedOperations

ANY: Any = None


def build_operation(characters: int = 10) -> Operation:
    document = parse("{ %s }" % ("a" * (characters - 4)))
    return Operation(PreparedOperation(document, ANY, None, ANY), {})


OPERATION = build_operation()


def put(operations: PreparedOperations, key: bytes, operation: Operation) -> None:
    """Put an operation that was seen before."""
    operations._seen.note(key)
    operations.put(key, operation)


def test_one_is_kept_from_the_second_time_on() -> None:
    operations = PreparedOperations()
    operations.put(b"a", OPERATION)
    once = operations.find(b"a")
    operations.put(b"a", OPERATION)
    twice = operations.find(b"a")
    for number in range(10_000):
        operations.put(b"%d" % number, OPERATION)

    assert (once, twice) == (None, OPERATION)
    assert len(operations) == 1


def test_one_that_is_handed_over_is_taken_once() -> None:
    operations = PreparedOperations()
    for number in range(150):
        operations.hand_over(b"%d" % number, OPERATION)
    operations.hand_over(b"x" * 65_537, OPERATION)
    found = [operations.take(b"149"), operations.take(b"149"), operations.take(b"0")]

    assert found == [OPERATION, None, None]
    assert operations.find(b"148") is None
    assert operations.take(b"x" * 65_537) is None
    assert len(operations._handed) == 99


def test_the_oldest_is_dropped_when_there_are_too_many() -> None:
    operations = PreparedOperations(operations_max=3)
    for key in (b"a", b"b", b"c", b"a", b"d"):
        put(operations, key, OPERATION)

    assert operations.find(b"a") is None
    assert all(operations.find(key) is OPERATION for key in (b"b", b"c", b"d"))
    assert len(operations) == 3


def test_operations_are_dropped_when_their_keys_are_too_long_together() -> None:
    operations = PreparedOperations(bytes_max=1_000_000)
    for number in range(1_000):
        put(operations, b"%05000d" % number, OPERATION)

    assert 20 < len(operations) < 60
    assert operations.size_bytes <= 1_000_000
    assert operations.find(b"%05000d" % 999) is OPERATION


def test_a_document_counts_once_for_all_its_operations() -> None:
    """A document of 9,000 characters takes 2 MB when it is parsed and compiled."""
    operations = PreparedOperations(operations_max=100)
    large = build_operation(5_000)
    for number in range(100):
        put(operations, b"%d" % number, large)
    shared = operations.size_bytes
    alone = PreparedOperations()
    for number in range(100):
        put(alone, b"%d" % number, build_operation(5_000))
    for number in range(100):
        put(operations, b"small %d" % number, OPERATION)

    assert shared < 2_000_000
    assert len(alone) < 16
    assert alone.size_bytes <= 20_000_000
    # With its last operation a document counts no more.
    assert operations.size_bytes < 200_000
    assert len(operations._uses) == 1


def test_one_that_is_too_large_is_not_kept() -> None:
    operations = PreparedOperations()
    put(operations, b"x" * 1_000_000, OPERATION)
    put(operations, b"document", build_operation(20_000))
    put(operations, b"x", OPERATION)

    assert len(operations) == 1
    assert operations.find(b"x") is OPERATION
