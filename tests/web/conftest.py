"""Fixtures for the web tests."""

import pytest

from tests.api.fakes import GatewayHarness


@pytest.fixture
def harness() -> GatewayHarness:
    return GatewayHarness()
