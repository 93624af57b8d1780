"""Compares the gateway with the baseline and the bare server, in interleaved rounds.

``python -m benchmarks.compare [--quick] [--only NAME …] [--rounds 3] [--seconds 3] [--json FILE]``.
Exits with 1 when a response was wrong.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import machine, report, rounds
from benchmarks.workloads import BY_NAME


def main() -> int:
    """Run the workloads and print the tables."""
    arguments = _parse_arguments()
    names = arguments.only or list(BY_NAME)
    results: list[rounds.Result] = []
    wrong: list[str] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        outcome = rounds.run_workload(BY_NAME[name], arguments.rounds, arguments.seconds)
        results += outcome.results
        wrong += outcome.wrong
        for problem in outcome.wrong:
            print(f"WRONG {problem}", file=sys.stderr, flush=True)
    print(report.format_tables(results))
    print(f"\n{report.describe_conditions()}")
    print(f"Medians of {arguments.rounds} rounds of {arguments.seconds:g} s.")
    if arguments.json is not None:
        _write_json(arguments.json, results, wrong)
    print(f"\n{len(wrong)} wrong responses" if wrong else "\nAll responses were correct.")
    for problem in wrong:
        print(f"* {problem}")
    return 1 if wrong else 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    parser.add_argument("--only", action="append", choices=list(BY_NAME), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 1
    return arguments


def _write_json(path: Path, results: list[rounds.Result], wrong: list[str]) -> None:
    document = {
        "machine": machine.describe(),
        "versions": report.read_versions(),
        "results": [asdict(result) for result in results],
        "wrong": wrong,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
