"""Provides a gateway harness with fakes to each test."""

import pytest

from tests.api.fakes import GatewayHarness


@pytest.fixture
def harness() -> GatewayHarness:
    return GatewayHarness()
