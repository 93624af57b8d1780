"""Measures every kind of query and compares it with its target.

``python -m benchmarks.targets [--quick] [--only NAME …] [--rounds 9] [--seconds 0.4]
[--json FILE]``.
Exits with 1 when a response was wrong; a missed target is only printed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine, report
from benchmarks.targets import changes, goals, load_rounds, tables
from benchmarks.targets.rows import Row
from benchmarks.targets.stand import start_stand
from benchmarks.targets.workloads import NODES_VARIED, Workload, list_workloads

_COMPARED = ("page", "alike")


def main() -> int:
    """Run the workloads and print the tables."""
    workloads = list_workloads()
    names = [*(each.name for each in workloads), load_rounds.REFRESH, *changes.NAMES]
    arguments = _parse_arguments(names)
    chosen = arguments.only or names
    rows: list[Row] = []
    wrong: list[str] = []
    with start_stand([each for each in workloads if each.name in chosen]) as stand:
        available = [each for each in workloads if each.database in stand.gateways]
        for group in group_workloads(available, chosen):
            print(", ".join(each.name for each in group), "…", file=sys.stderr, flush=True)
            measured, problems = load_rounds.measure_group(
                stand, group, arguments.rounds, arguments.seconds
            )
            rows += measured
            wrong += problems
        if load_rounds.REFRESH in chosen:
            print(load_rounds.REFRESH, "…", file=sys.stderr, flush=True)
            row, problems = load_rounds.measure_refresh(stand, arguments.rounds, arguments.seconds)
            rows.append(row)
            wrong += problems
        for name in changes.NAMES:
            if name in chosen:
                print(name, "…", file=sys.stderr, flush=True)
                row, problems = changes.measure(stand, name, arguments.samples)
                rows.append(row)
                wrong += problems
    _print_results(rows, wrong, arguments)
    return 1 if wrong else 0


def group_workloads(workloads: Sequence[Workload], chosen: Sequence[str]) -> list[list[Workload]]:
    """Group the chosen workloads: those with a common reference share their rounds, with it."""
    groups = [
        [each] for each in workloads if each.name in chosen and each.goal in ("same", "embedded")
    ]
    varied = [
        each for each in workloads if each.name in chosen and each.goal not in ("same", "embedded")
    ]
    names = [each.name for each in varied]
    if NODES_VARIED not in names and any(each.goal in _COMPARED for each in varied):
        varied[:0] = [each for each in workloads if each.name == NODES_VARIED]
    return [*groups, *([varied] if varied else [])]


def _print_results(rows: list[Row], wrong: list[str], arguments: argparse.Namespace) -> None:
    print("CPU time per request, on the gateway and on the bare server:\n")
    print(tables.format_costs(rows))
    print("\nTargets, must · reach:\n")
    print(tables.format_targets(rows))
    print(f"\n{report.describe_conditions()}")
    print(
        f"Medians of {arguments.rounds} rounds of {arguments.seconds:g} s with"
        f" {load_rounds.CONNECTIONS} connections; of {arguments.samples} requests, one at a time,"
        " after a change."
    )
    if arguments.json is not None:
        document = {
            "machine": machine.describe(),
            "versions": report.read_versions(),
            "rows": [row.describe() | {"verdict": goals.judge(row)} for row in rows],
            "wrong": wrong,
        }
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"\n{len(wrong)} wrong responses" if wrong else "\nAll responses were correct.")
    for problem in wrong:
        print(f"* {problem}")


def _parse_arguments(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of half a second")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--samples", type=int, default=15, help="requests after a change")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds, arguments.samples = 1, 0.5, 5
    return arguments


if __name__ == "__main__":
    sys.exit(main())
