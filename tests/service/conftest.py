"""Virtual time and a world of fakes. Puts the root on the path, so that they can be imported."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.pipeline.virtual_time import VirtualTime, virtual_time
from tests.service.fakes import Desk


@pytest.fixture
async def time() -> AsyncIterator[VirtualTime]:
    with virtual_time() as passing:
        yield passing


@pytest.fixture
async def desk(time: VirtualTime) -> AsyncIterator[Desk]:
    desk = Desk(time)
    yield desk
    await desk.writer.drain()
