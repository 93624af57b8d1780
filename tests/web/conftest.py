"""Fixtures for the web tests."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.api.fakes import GatewayHarness
from tests.system.processes import GatewayClient, run_demo
from tests.web.browser import CHROMIUM, start_browser


@pytest.fixture
def harness() -> GatewayHarness:
    return GatewayHarness()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; each opens pages in a profile of its own."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH: install chromium, or set BALANCE_GATEWAY_CHROMIUM")
    async with start_browser() as started:
        yield started


@dataclass(frozen=True)
class Demo:
    """A running demo.

    Attributes:
        url: of the gateway.
        admin: a client with every scope, and of the sandbox's control API.
        read_key: a key that may only read.
    """

    url: str
    admin: GatewayClient
    read_key: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with run_demo(tmp_path_factory.mktemp("demo")) as (_, printed):
        yield build_demo(printed)


def build_demo(printed: dict[str, Any]) -> Demo:
    url = printed["graphql_url"].removesuffix("/graphql")
    admin = GatewayClient(url, printed["sandbox_url"], printed["admin_key"])
    return Demo(url, admin, printed["read_key"])
