"""Measures how many small defects the tests notice: ``python -m tests.mutation``.

Each mutant is the code with one small change. It is noticed when a test fails, and survives when
all pass. The settings are in ``pyproject.toml``; the run takes minutes. Kill a survivor with a
test of public behaviour. If its change changes nothing that a caller can see, list it with the
reason in ``equivalent.toml``.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from tests.mutation.runner import Verdict, run_mutants
from tests.mutation.settings import (
    EQUIVALENTS_FILE,
    SettingsError,
    choose_sample,
    make_all_mutants,
    read_settings,
    remove_equivalents,
)


def main(arguments: list[str], root: Path, equivalents: Path = EQUIVALENTS_FILE) -> int:
    """Run the command.

    Returns:
        The exit code: 1 below the threshold, 2 when the settings must be corrected.
    """
    options = _parse(arguments)
    try:
        settings = read_settings(root)
        if options.seed is not None:
            settings = replace(settings, seed=options.seed)
        mutants = remove_equivalents(make_all_mutants(root, settings), equivalents)
        mutants = [mutant for mutant in mutants if options.file in mutant.file]
        sample = choose_sample(mutants, options.sample or settings.sample, settings.seed)
        print(f"{len(sample)} of {len(mutants)} mutants, seed {settings.seed}", flush=True)
        verdicts = run_mutants(root, settings, sample, jobs=options.jobs, report=_print_survivor)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return _report(verdicts, settings.threshold_percent, options.json)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--seed", type=int, help="choose another sample")
    parser.add_argument("--sample", type=int, help="number of mutants")
    parser.add_argument("--file", default="", help="only files with this text in their path")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--json", type=Path, help="write the verdicts to this file")
    return parser.parse_args(arguments)


def _print_survivor(verdict: Verdict) -> None:
    if not verdict.noticed:
        print(f"survived: {verdict.mutant.diff}\n", flush=True)


def _report(verdicts: list[Verdict], threshold_percent: float, path: Path | None) -> int:
    noticed = sum(verdict.noticed for verdict in verdicts)
    percent = 100 * noticed / len(verdicts) if verdicts else 0.0
    print(f"{noticed} of {len(verdicts)} noticed: {percent:.1f} %, at least {threshold_percent} %")
    if path is not None:
        rows = [
            {
                "file": verdict.mutant.file,
                "line": verdict.mutant.line,
                "function": verdict.mutant.function,
                "kind": verdict.mutant.kind,
                "removed": verdict.mutant.removed,
                "added": verdict.mutant.added,
                "noticed": verdict.noticed,
                "output": verdict.output,
            }
            for verdict in verdicts
        ]
        report = {"noticed": noticed, "percent": percent, "mutants": rows}
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if percent >= threshold_percent else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).parents[2]))
