"""The targets: how much CPU time a workload must not exceed, and how much it should reach."""

from dataclasses import dataclass

from benchmarks.targets.rows import Row

#: "Equal" to the reference leaves this much for the noise between two rounds.
NOISE = 1.05


@dataclass(frozen=True, slots=True)
class Target:
    """Two bounds of the CPU time per request, in microseconds, and the rule in words."""

    must_us: float
    reach_us: float
    rule: str


def find_target(row: Row) -> Target | None:
    """Return the target of a row; None without one, or if its reference was not measured."""
    bare, reference, units = row.bare_us, row.reference_us, row.units
    match row.goal:
        case "same" if bare is not None:
            return Target(bare * 1.5 + 15, bare * 1.2 + 5, "1.5 · 1.2 × bare + 15 · 5 µs")
        case "after" if reference is not None:
            return Target(reference * 2, reference * 1.2, "2 · 1.2 × nodes varied")
        case "page" if reference is not None:
            return Target(reference * 1.5, reference * 1.1, "1.5 · 1.1 × nodes varied")
        case "alike" if reference is not None:
            return Target(reference * 1.3, reference * NOISE, "1.3 · 1 × nodes varied")
        case "totals":
            return Target(3 * units, 0.5 * units, "3 · 0.5 µs an account")
        case "series":
            return Target(3 * units, units, "3 · 1 µs a point")
        case "embedded":
            return Target(6 * units, 2 * units, "6 · 2 µs an account")
        case "refresh":
            return Target(400, 200, "400 · 200 µs")
        case "refresh-changed":
            return Target(2_000, 1_000, "2 · 1 ms")
    return None


def judge(row: Row) -> str:
    """Say whether a row is within its target: ``reached``, ``met``, ``missed``, or ``–``."""
    target = find_target(row)
    if target is None:
        return "–"
    if row.cpu_us <= target.reach_us:
        return "reached"
    return "met" if row.cpu_us <= target.must_us else "missed"
