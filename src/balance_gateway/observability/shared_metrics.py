"""Share the metrics of several workers through files that each maps into its memory.

Each worker writes its own files, named after its number and not its process: the worker that
replaces a killed one goes on with its totals. A scrape of any worker reads the files of all.
Counters and histograms are added up; of a gauge, ``metrics`` says which worker's value counts.
"""

import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prometheus_client.values
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from balance_gateway.observability.request_metrics import SLOTS

_SLOT_BYTES = 8


@dataclass(frozen=True, slots=True)
class SharedMetrics:
    """The files of one worker, in the folder of all.

    Attributes:
        folder: the folder, which the supervisor creates and removes.
        worker: the number of the worker, from 0.
    """

    folder: Path
    worker: int

    def share(self) -> None:
        """Let the library keep the values of all metrics of this process in files.

        Must be called before any metric is created.
        """
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder)
        build_class: Any = prometheus_client.values.MultiProcessValue
        prometheus_client.values.ValueClass = build_class(lambda: self.worker)

    def forget_gauges(self) -> None:
        """Remove the gauges of a worker that has ended; its totals stay."""
        mark_process_dead(self.worker, str(self.folder))  # type: ignore[no-untyped-call]

    def open_slots(self) -> "memoryview[int]":
        """Return the worker's slots of ``RequestMetrics``, with the counts of its predecessor."""
        path = self.folder / f"requests_{self.worker}.slots"
        with path.open("a+b") as file:
            file.truncate(SLOTS * _SLOT_BYTES)
            return memoryview(mmap.mmap(file.fileno(), SLOTS * _SLOT_BYTES)).cast("q")

    def read_all_slots(self) -> list["memoryview[int]"]:
        """Return the slots of all workers."""
        contents = [path.read_bytes() for path in self.folder.glob("requests_*.slots")]
        # A file that a worker has just created is empty.
        return [memoryview(each).cast("q") for each in contents if each]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of the library of all workers together."""
        collector: Any = MultiProcessCollector(None, str(self.folder))  # type: ignore[no-untyped-call]
        metrics: Iterable[Metric] = collector.collect()
        return metrics
