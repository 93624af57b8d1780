"""The checker's two algorithms, compared with each other and with brute force."""

import itertools
import math
import random
import time

import pytest

from tests.history.checker import (
    History,
    Outcome,
    Read,
    Value,
    Violation,
    Write,
    check,
    check_comparisons,
    check_freshness,
    linearizable_by_search,
    linearizable_by_zones,
)

ACK, NO, MAYBE = Outcome.ACKNOWLEDGED, Outcome.REJECTED, Outcome.UNCERTAIN


def _random_history(
    rng: random.Random, *, distinct: bool, most: int = 6, spread: int = 8
) -> History:
    writes, reads = [], []
    values: list[Value] = [0]
    for number in range(1, rng.randint(2, most)):
        invoked = rng.randint(0, spread)
        returned = invoked + rng.randint(0, spread // 2)
        if rng.random() < 0.5:
            value = number if distinct else rng.randint(0, 2)
            expected = (rng.randint(0, 2),) if not distinct and rng.random() < 0.3 else None
            outcome = rng.choice([ACK, ACK, MAYBE, NO])
            writes.append(Write(value, invoked, returned, outcome, expected))
            values.append(value)
        else:
            reads.append((invoked, returned))
    read = [Read(rng.choice(values), invoked, returned) for invoked, returned in reads]
    return History(0, writes, read)


def _is_linearizable_by_brute_force(history: History) -> bool:
    """Try every choice of uncertain writes that took effect, and every order."""
    certain = [write for write in history.writes if write.outcome is ACK]
    uncertain = [write for write in history.writes if write.outcome is MAYBE]
    for count in range(len(uncertain) + 1):
        for happened in itertools.combinations(uncertain, count):
            for order in itertools.permutations([*certain, *happened, *history.reads]):
                if _is_possible(order, history.initial):
                    return True
    return False


def _is_possible(order: tuple[Write | Read, ...], value: Value) -> bool:
    latest = -math.inf
    for operation in order:
        maybe = isinstance(operation, Write) and operation.outcome is MAYBE
        returned = math.inf if maybe else operation.returned
        assert returned is not None
        if returned < latest:
            return False
        latest = max(latest, operation.invoked)
        if isinstance(operation, Read):
            if operation.value != value:
                return False
            continue
        if not maybe and operation.expected is not None and operation.expected[0] != value:
            return False
        value = operation.value
    return True


def test_both_algorithms_agree_with_brute_force() -> None:
    rng = random.Random(1)
    verdicts = {True: 0, False: 0}
    for _ in range(1500):
        history = _random_history(rng, distinct=True)
        truth = _is_linearizable_by_brute_force(history)
        assert linearizable_by_search(history) is truth, history
        assert linearizable_by_zones(history) is truth, history
        verdicts[truth] += 1
    assert min(verdicts.values()) > 200


def test_search_agrees_with_brute_force_on_repeated_values() -> None:
    rng = random.Random(2)
    verdicts = {True: 0, False: 0}
    for _ in range(1500):
        history = _random_history(rng, distinct=False)
        truth = _is_linearizable_by_brute_force(history)
        assert linearizable_by_search(history) is truth, history
        verdicts[truth] += 1
    assert min(verdicts.values()) > 200


def test_both_algorithms_agree_on_longer_histories() -> None:
    rng = random.Random(3)
    verdicts = {True: 0, False: 0}
    for _ in range(2000):
        history = _random_history(rng, distinct=True, most=14, spread=40)
        truth = linearizable_by_zones(history)
        assert linearizable_by_search(history) is truth, history
        verdicts[truth] += 1
    assert min(verdicts.values()) > 200


def test_zones_check_long_histories_quickly() -> None:
    writes = [Write(n, 10 * n, 10 * n + 12, ACK) for n in range(1, 20_000)]
    reads = [Read(n, 10 * n + 5, 10 * n + 8) for n in range(1, 20_000)]
    started = time.perf_counter()
    assert linearizable_by_zones(History(0, writes, reads))
    assert not linearizable_by_zones(History(0, writes, [*reads, Read(9, 500, 501)]))
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("name", "history"),
    [
        ("an old value after an acknowledged write", ([Write(1, 1, 2, ACK)], [Read(0, 3, 4)])),
        ("a rejected write", ([Write(1, 1, 2, NO)], [Read(1, 3, 4)])),
        ("a value that was never written", ([], [Read(7, 3, 4)])),
        ("a value from before its write", ([Write(1, 5, 6, ACK)], [Read(1, 3, 4)])),
        (
            "an uncertain write that took effect twice",
            (
                [Write(1, 1, 2, MAYBE), Write(2, 5, 6, ACK)],
                [Read(1, 3, 4), Read(2, 7, 8), Read(1, 9, 10)],
            ),
        ),
        (
            "values that alternate during a write",
            ([Write(1, 1, 9, ACK)], [Read(1, 2, 3), Read(0, 4, 5)]),
        ),
        ("an old value labelled stale", ([Write(1, 1, 2, ACK)], [Read(0, 3, 4, stale=True)])),
    ],
)
def test_impossible_histories_are_violations(
    name: str, history: tuple[list[Write], list[Read]]
) -> None:
    with pytest.raises(Violation):
        check(History(0, *history))


@pytest.mark.parametrize(
    ("name", "history"),
    [
        (
            "an uncertain write that takes effect late",
            ([Write(1, 1, 2, MAYBE), Write(2, 3, 4, ACK)], [Read(2, 5, 6), Read(1, 7, 8)]),
        ),
        ("an uncertain write that never takes effect", ([Write(1, 1, 2, MAYBE)], [Read(0, 7, 8)])),
        (
            "a stale value from before an uncertain write that took effect",
            ([Write(1, 1, 2, MAYBE)], [Read(1, 3, 4), Read(0, 5, 6, stale=True)]),
        ),
        ("reads that overlap a write", ([Write(1, 1, 9, ACK)], [Read(0, 2, 5), Read(1, 3, 4)])),
    ],
)
def test_possible_histories_pass(name: str, history: tuple[list[Write], list[Read]]) -> None:
    check(History(0, *history))


def test_freshness_alone_does_not_require_linearizability() -> None:
    alternating = History(0, [Write(1, 1, 9, ACK)], [Read(1, 2, 3), Read(0, 4, 5)])
    check_freshness(alternating)
    with pytest.raises(Violation):
        check_freshness(History(0, [Write(1, 1, 9, ACK)], [Read(0, 10, 11)]))


def test_two_acknowledged_writes_cannot_replace_one_value() -> None:
    first, second = Write(1, 1, 2, ACK, (0,)), Write(2, 3, 4, ACK, (1,))
    check_comparisons(History(0, [first, second, Write(3, 5, 6, MAYBE, (1,))], []))
    with pytest.raises(Violation):
        check_comparisons(History(0, [first, second, Write(4, 5, 6, ACK, (1,))], []))
