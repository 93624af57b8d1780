"""Provides a gateway harness with fakes to each test."""

import pytest

from tests.api.fakes import World


@pytest.fixture
def harness() -> World:
    return World()
