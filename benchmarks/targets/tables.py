"""The tables of all rows, in Markdown: costs and ratios; targets."""

from collections.abc import Sequence

from benchmarks.targets.fallbacks import format_fallbacks
from benchmarks.targets.goals import find_target, judge
from benchmarks.targets.rows import Row


def format_costs(rows: Sequence[Row]) -> str:
    """Format the table of costs and ratios."""
    lines = [
        "| workload | body kB | gateway µs | bare µs | ÷ bare | − bare µs | ÷ nodes varied"
        " | requests | fallbacks |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        bare = row.bare_us
        cells = [
            f"{row.name}: {row.title}",
            format_number(None if row.answer_bytes is None else row.answer_bytes / 1000),
            format_number(row.cpu_us),
            format_number(bare),
            format_number(row.cpu_us / bare if bare else None),
            format_number(row.cpu_us - bare if bare else None),
            format_number(row.cpu_us / row.reference_us if row.reference_us else None),
            f"{row.requests:,}",
            format_fallbacks(row.fallbacks),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def format_targets(rows: Sequence[Row]) -> str:
    """Format the table of targets, with the measured figures."""
    lines = ["| workload | target | must µs | reach µs | µs | |", "|---|---|--:|--:|--:|---|"]
    for row in rows:
        target = find_target(row)
        if target is not None:
            bounds = f"{format_number(target.must_us)} | {format_number(target.reach_us)}"
            cells = f"{row.name} | {target.rule} | {bounds} | {format_number(row.cpu_us)}"
            lines.append(f"| {cells} | {judge(row)} |")
    return "\n".join(lines)


def format_number(value: float | None) -> str:
    """Format a number with three digits, or with all digits before the point."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
