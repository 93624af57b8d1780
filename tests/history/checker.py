"""Decides whether what clients saw of an account could have been one register, one step at a time.

A *history* is what clients saw: writes and reads with the times at which they were asked and
answered. An account is a register of one value. Every history is judged by these rules:

* an **acknowledged** write took effect at one instant between its request and its answer;
* a **rejected** write never took effect;
* an **uncertain** one (or one without an answer) took effect at one instant after its request,
  however late, or never: in no case twice;
* a read that is not labelled STALE gives the value that stood at one instant between its request
  and its answer;
* a STALE read gives a value that stood once, and no older one than an acknowledged write that had
  been answered before the read was asked.

Two ways to decide, held against each other and against brute force in ``test_checker.py``:
``linearizable_by_search`` (Wing and Gong, with Lowe's memory of states) takes any history, but may
take exponential time; ``linearizable_by_zones`` (Gibbons and Korach) needs every written value to
be different and takes O(n log n). One comes *before* another when it is answered strictly before
the other is asked.
"""

import enum
import itertools
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: A register's value. None: nothing has been set.
Value = int | None


class Outcome(enum.Enum):
    """What its client was told of a write; UNCERTAIN also when it was told nothing."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Write:
    """A write as its client saw it; ``expected`` holds the one value it was to replace, if any."""

    value: Value
    invoked: float
    returned: float | None
    outcome: Outcome
    expected: tuple[Value] | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """A read that was answered with a value."""

    value: Value
    invoked: float
    returned: float
    stale: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """One register's writes and reads, and the value it had before all of them."""

    initial: Value
    writes: Sequence[Write]
    reads: Sequence[Read]

    @property
    def certain(self) -> bool:
        """Whether every write was acknowledged or rejected."""
        return all(write.outcome is not Outcome.UNCERTAIN for write in self.writes)


class Violation(Exception):
    """A history that no register can have; says which rule is broken, and by what."""


def check(history: History) -> None:
    """Raises Violation when a rule is broken. Written values have to be different."""
    _refuse_unwritten(history)
    reads = [read for read in history.reads if not read.stale]
    problem = zone_conflict(History(history.initial, history.writes, reads))
    if problem is not None:
        raise Violation(problem)
    check_freshness(history)


def check_freshness(history: History) -> None:
    """The weaker rule alone: nothing older than an acknowledged write once that was answered."""
    _refuse_unwritten(history)
    writes = {write.value: write for write in history.writes}
    acknowledged = [w for w in history.writes if w.outcome is Outcome.ACKNOWLEDGED]
    for read in history.reads:
        if read.value == history.initial:
            replaced_at = -math.inf
        elif writes[read.value].outcome is Outcome.ACKNOWLEDGED:
            replaced_at = _end(writes[read.value])
        else:
            continue
        for newer in acknowledged:
            if replaced_at < newer.invoked and _end(newer) < read.invoked:
                raise Violation(f"{read} is older than {newer}, answered before it was asked")


def _refuse_unwritten(history: History) -> None:
    writes = {write.value: write for write in history.writes}
    for read in history.reads:
        if read.value == history.initial:
            continue
        write = writes.get(read.value)
        if write is None:
            raise Violation(f"{read}: nobody wrote that value")
        if write.outcome is Outcome.REJECTED:
            raise Violation(f"{read}: its write was rejected, {write}")
        if read.returned < write.invoked:
            raise Violation(f"{read} came before its write, {write}")


def _end(write: Write) -> float:
    """When it had certainly taken effect: never, for one whose outcome is unknown."""
    if write.outcome is Outcome.ACKNOWLEDGED and write.returned is not None:
        return write.returned
    return math.inf


@dataclass(slots=True)
class _Zone:
    """All operations of one value: from the first answer to the last request."""

    first_answer: float
    last_request: float
    operations: list[Write | Read] = field(default_factory=list)

    def add(self, operation: Write | Read, invoked: float, returned: float) -> None:
        self.first_answer = min(self.first_answer, returned)
        self.last_request = max(self.last_request, invoked)
        self.operations.append(operation)


def linearizable_by_zones(history: History) -> bool:
    """Whether the writes and reads have one order; every written value has to be different."""
    return zone_conflict(history) is None


def zone_conflict(history: History) -> str | None:
    """Why there is no order; None when there is one.

    A value stands from its write to its last read without a gap. Two values cannot take turns:
    when each has an operation that ended before one of the other's began, there is no order.
    """
    zones = _zones(history)
    if zones is None:
        return "a read gives a value that was never written, was rejected, or came later"
    forward = sorted(
        (zone for zone in zones if zone.first_answer < zone.last_request),
        key=lambda zone: zone.first_answer,
    )
    for one, other in itertools.pairwise(forward):
        if other.first_answer < one.last_request:
            return _told(one, other)
    starts = [zone.first_answer for zone in forward]
    for zone in zones:
        if zone.first_answer < zone.last_request:
            continue
        index = bisect_left(starts, zone.last_request) - 1
        if index >= 0 and zone.first_answer < forward[index].last_request:
            return _told(forward[index], zone)
    return None


def _zones(history: History) -> list[_Zone] | None:
    zones: dict[Value, _Zone] = {history.initial: _Zone(-math.inf, -math.inf)}
    asked: dict[Value, float] = {history.initial: -math.inf}
    for write in history.writes:
        if write.outcome is Outcome.REJECTED:
            continue
        assert write.value not in zones, "every written value has to be different"
        zone = zones[write.value] = _Zone(math.inf, -math.inf)
        zone.add(write, write.invoked, _end(write))
        asked[write.value] = write.invoked
    for read in history.reads:
        if read.value not in zones or read.returned < asked[read.value]:
            return None
        zones[read.value].add(read, read.invoked, read.returned)
    # A write that nobody can tell to have happened may be left out; its zone ends at infinity
    # and is contained in no other.
    return list(zones.values())


def _told(one: _Zone, other: _Zone) -> str:
    def lines(zone: _Zone) -> str:
        writes = [operation for operation in zone.operations if isinstance(operation, Write)]
        reads = [operation for operation in zone.operations if isinstance(operation, Read)]
        marks: list[Write | Read] = [*writes]
        if reads:
            first = min(reads, key=lambda read: read.returned)
            last = max(reads, key=lambda read: read.invoked)
            marks += [first] if first is last else [first, last]
        return "\n".join(f"    {mark}" for mark in marks)

    return f"two values take turns:\n{lines(one)}\n  and\n{lines(other)}"


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation for the search: what it asks of the register and what it leaves there."""

    invoked: float
    returned: float
    needs: tuple[Value] | None
    leaves: tuple[Value] | None


def linearizable_by_search(history: History) -> bool:
    """Whether the writes and reads have one order; any values, and compare-and-set.

    An acknowledged write with ``expected`` has to find that value. Of an uncertain one nothing is
    asked: what was compared before it was sent need not stand when it lands.
    """
    steps = sorted(_steps(history), key=lambda step: step.invoked)
    required = sum(1 << index for index, step in enumerate(steps) if step.returned < math.inf)
    seen: set[tuple[int, Value]] = set()
    stack: list[tuple[int, Value]] = [(0, history.initial)]
    while stack:
        done, value = stack.pop()
        if done & required == required:
            return True
        if (done, value) in seen:
            continue
        seen.add((done, value))
        for index in _enabled(steps, done):
            step = steps[index]
            if step.needs is None or step.needs[0] == value:
                left = value if step.leaves is None else step.leaves[0]
                stack.append((done | 1 << index, left))
    return False


def _steps(history: History) -> Iterable[_Step]:
    for write in history.writes:
        if write.outcome is not Outcome.REJECTED:
            certain = write.outcome is Outcome.ACKNOWLEDGED
            needs = write.expected if certain else None
            yield _Step(write.invoked, _end(write), needs, (write.value,))
    for read in history.reads:
        yield _Step(read.invoked, read.returned, (read.value,), None)


def _enabled(steps: Sequence[_Step], done: int) -> Iterable[int]:
    """The operations that can come next: none that is left ended before they began."""
    earliest = math.inf
    found = []
    for index, step in enumerate(steps):
        if done >> index & 1:
            continue
        if step.invoked > earliest:
            break
        earliest = min(earliest, step.returned)
        found.append(index)
    return [index for index in found if steps[index].invoked <= earliest]
