"""Fixtures: virtual time and a writer over fakes. Adds the root to the import path."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.pipeline.virtual_time import VirtualTime, virtual_time
from tests.service.fakes import WriterHarness


@pytest.fixture
async def time() -> AsyncIterator[VirtualTime]:
    with virtual_time() as passing:
        yield passing


@pytest.fixture
async def harness(time: VirtualTime) -> AsyncIterator[WriterHarness]:
    harness = WriterHarness(time)
    yield harness
    await harness.writer.drain()
