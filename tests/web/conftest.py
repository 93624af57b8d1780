"""Fixtures for the web tests."""

import pytest

from tests.api.fakes import World


@pytest.fixture
def world() -> World:
    return World()
