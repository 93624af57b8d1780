"""Fixtures for the server's tests."""

import pytest

from tests.api.fakes import GatewayHarness


@pytest.fixture
def world() -> GatewayHarness:
    return GatewayHarness()
