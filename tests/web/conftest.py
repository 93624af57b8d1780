"""A fresh world of fakes per test."""

import pytest

from tests.api.fakes import World


@pytest.fixture
def world() -> World:
    return World()
