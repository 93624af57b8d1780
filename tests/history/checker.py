"""Check whether a history of an account is linearizable, with the gateway's rules for staleness.

A *history* is the clients' view: writes and reads with the times of their requests and answers. An
account is a register of one value. The rules for a history:

* an **acknowledged** write took effect at one instant between its request and its answer;
* a **rejected** write never took effect;
* an **uncertain** write (or a write without an answer) took effect at one instant after its
  request, however late, or never, but not twice;
* a read that is not labelled STALE returns the value that the register had at one instant between
  its request and its answer;
* a STALE read returns a value that the register once had, and never a value older than an
  acknowledged write that was answered before the read was requested.

Two algorithms decide; ``test_checker.py`` compares them with each other and with brute force.
``linearizable_by_search`` (Wing and Gong, with Lowe's memory of states) accepts any history, but
may take exponential time. ``linearizable_by_zones`` (Gibbons and Korach) requires all written
values to be different and takes O(n log n). An operation is *before* another when it is answered
strictly before the other is requested.
"""

import enum
import itertools
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: A register's value. None: no value has been set.
Value = int | None


class Outcome(enum.Enum):
    """The result of a write, as its client saw it; UNCERTAIN also when there was no answer."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Write:
    """A write as its client saw it; ``expected`` holds the value that it had to replace, if any."""

    value: Value
    invoked: float
    returned: float | None
    outcome: Outcome
    expected: tuple[Value] | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """A read that returned a value."""

    value: Value
    invoked: float
    returned: float
    stale: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """One register's initial value, writes and reads."""

    initial: Value
    writes: Sequence[Write]
    reads: Sequence[Read]

    @property
    def certain(self) -> bool:
        """Whether every write was acknowledged or rejected."""
        return all(write.outcome is not Outcome.UNCERTAIN for write in self.writes)


class Violation(Exception):
    """A history breaks a rule; the message names the rule and the operations."""


def check(history: History) -> None:
    """Check all rules. Written values must be different.

    Raises:
        Violation: a rule is broken.
    """
    _refuse_unwritten(history)
    reads = [read for read in history.reads if not read.stale]
    problem = zone_conflict(History(history.initial, history.writes, reads))
    if problem is not None:
        raise Violation(problem)
    check_freshness(history)


def check_freshness(history: History) -> None:
    """Check only that no read is older than a write acknowledged before it: the weaker rule.

    Raises:
        Violation: the rule is broken.
    """
    _refuse_unwritten(history)
    writes = {write.value: write for write in history.writes}
    acknowledged = [w for w in history.writes if w.outcome is Outcome.ACKNOWLEDGED]
    for read in history.reads:
        if read.value == history.initial:
            replaced_at = -math.inf
        elif writes[read.value].outcome is Outcome.ACKNOWLEDGED:
            replaced_at = _effective_by(writes[read.value])
        else:
            continue
        for newer in acknowledged:
            if replaced_at < newer.invoked and _effective_by(newer) < read.invoked:
                raise Violation(f"{read} is older than {newer}, acknowledged before the read")


def check_comparisons(history: History) -> None:
    """Check that no two acknowledged writes replaced the same value. Values must be different.

    Raises:
        Violation: two did, so that one of them replaced another value than it was compared with.
    """
    replaced: dict[Value, Write] = {}
    for write in history.writes:
        if write.outcome is not Outcome.ACKNOWLEDGED or write.expected is None:
            continue
        (value,) = write.expected
        if value in replaced:
            raise Violation(f"{write} and {replaced[value]} replaced the same value")
        replaced[value] = write


def check_growth(reads: Sequence[Read]) -> None:
    """Check that a value that only grows is never followed by a lower one.

    Raises:
        Violation: a read that was requested after another one's answer returned a lower value.
    """
    answered = sorted((read for read in reads if not read.stale), key=lambda read: read.returned)
    highest: list[Read] = []
    for read in answered:
        if not highest or (read.value or 0) > (highest[-1].value or 0):
            highest.append(read)
    times = [read.returned for read in highest]
    for read in answered:
        before = bisect_left(times, read.invoked)
        if before and (highest[before - 1].value or 0) > (read.value or 0):
            raise Violation(f"{read} is lower than {highest[before - 1]}, answered before it")


def _refuse_unwritten(history: History) -> None:
    writes = {write.value: write for write in history.writes}
    for read in history.reads:
        if read.value == history.initial:
            continue
        write = writes.get(read.value)
        if write is None:
            raise Violation(f"{read}: the value was never written")
        if write.outcome is Outcome.REJECTED:
            raise Violation(f"{read}: its write was rejected, {write}")
        if read.returned < write.invoked:
            raise Violation(f"{read} returned before its write was requested, {write}")


def _effective_by(write: Write) -> float:
    """Return when the write has certainly taken effect; infinity for an unknown outcome."""
    if write.outcome is Outcome.ACKNOWLEDGED and write.returned is not None:
        return write.returned
    return math.inf


@dataclass(slots=True)
class _Zone:
    """All operations of one value, from the first answer to the last request."""

    first_answer: float
    last_request: float
    operations: list[Write | Read] = field(default_factory=list)

    def add(self, operation: Write | Read, invoked: float, returned: float) -> None:
        self.first_answer = min(self.first_answer, returned)
        self.last_request = max(self.last_request, invoked)
        self.operations.append(operation)


def linearizable_by_zones(history: History) -> bool:
    """Return whether the history is linearizable; all written values must be different."""
    return zone_conflict(history) is None


def zone_conflict(history: History) -> str | None:
    """Return why the history is not linearizable; None when it is.

    The register has each value without a gap from its write to its last read. When each of two
    values has an operation that ended before an operation of the other began, the two would have
    to alternate, and there is no order.
    """
    zones = _build_zones(history)
    if zones is None:
        return "a read gives a value that was never written, was rejected, or came later"
    forward = sorted(
        (zone for zone in zones if zone.first_answer < zone.last_request),
        key=lambda zone: zone.first_answer,
    )
    for one, other in itertools.pairwise(forward):
        if other.first_answer < one.last_request:
            return _describe_conflict(one, other)
    starts = [zone.first_answer for zone in forward]
    for zone in zones:
        if zone.first_answer < zone.last_request:
            continue
        index = bisect_left(starts, zone.last_request) - 1
        if index >= 0 and zone.first_answer < forward[index].last_request:
            return _describe_conflict(forward[index], zone)
    return None


def _build_zones(history: History) -> list[_Zone] | None:
    zones: dict[Value, _Zone] = {history.initial: _Zone(-math.inf, -math.inf)}
    asked: dict[Value, float] = {history.initial: -math.inf}
    for write in history.writes:
        if write.outcome is Outcome.REJECTED:
            continue
        assert write.value not in zones, "all written values must be different"
        zone = zones[write.value] = _Zone(math.inf, -math.inf)
        zone.add(write, write.invoked, _effective_by(write))
        asked[write.value] = write.invoked
    for read in history.reads:
        if read.value not in zones or read.returned < asked[read.value]:
            return None
        zones[read.value].add(read, read.invoked, read.returned)
    # An uncertain write without reads needs no check: its zone ends at infinity, so no other
    # zone contains it.
    return list(zones.values())


def _describe_conflict(one: _Zone, other: _Zone) -> str:
    def lines(zone: _Zone) -> str:
        writes = [operation for operation in zone.operations if isinstance(operation, Write)]
        reads = [operation for operation in zone.operations if isinstance(operation, Read)]
        shown: list[Write | Read] = [*writes]
        if reads:
            first = min(reads, key=lambda read: read.returned)
            last = max(reads, key=lambda read: read.invoked)
            shown += [first] if first is last else [first, last]
        return "\n".join(f"    {operation}" for operation in shown)

    return f"two values alternate:\n{lines(one)}\n  and\n{lines(other)}"


@dataclass(frozen=True, slots=True)
class _Step:
    """One operation of the search: the value that it needs, and the value that it leaves."""

    invoked: float
    returned: float
    needs: tuple[Value] | None
    leaves: tuple[Value] | None


def linearizable_by_search(history: History) -> bool:
    """Return whether the history is linearizable; any values, and compare-and-set.

    An acknowledged write with ``expected`` must replace that value. An uncertain write need not:
    the value compared before it was sent may have changed by the time it takes effect.
    """
    steps = sorted(_build_steps(history), key=lambda step: step.invoked)
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
        for index in _find_enabled(steps, done):
            step = steps[index]
            if step.needs is None or step.needs[0] == value:
                left = value if step.leaves is None else step.leaves[0]
                stack.append((done | 1 << index, left))
    return False


def _build_steps(history: History) -> Iterable[_Step]:
    for write in history.writes:
        if write.outcome is not Outcome.REJECTED:
            certain = write.outcome is Outcome.ACKNOWLEDGED
            needs = write.expected if certain else None
            yield _Step(write.invoked, _effective_by(write), needs, (write.value,))
    for read in history.reads:
        yield _Step(read.invoked, read.returned, (read.value,), None)


def _find_enabled(steps: Sequence[_Step], done: int) -> Iterable[int]:
    """Return the operations that can be next: no remaining operation ended before they began."""
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
