"""The setting server.compiled selects the engine."""

from pathlib import Path

import pytest

from balance_gateway.api.compiled.engine import CompiledEngine
from balance_gateway.api.execution.engine import Engine
from balance_gateway.app import build_app
from balance_gateway.app.configuration import parse_settings


@pytest.mark.parametrize(
    ("server", "engine"), [({}, CompiledEngine), ({"compiled": False}, Engine)], ids=["on", "off"]
)
async def test_the_fast_path_is_used_unless_it_is_disabled(
    server: dict[str, bool], engine: type, tmp_path: Path
) -> None:
    app = build_app(parse_settings({"server": server, "storage": {"url": "sqlite://"}}, tmp_path))

    async with app.running():
        assert app._endpoint is not None
        assert type(app._endpoint._engine) is engine
