"""The setting server.compiled selects the engine."""

from pathlib import Path

import pytest

from balance_gateway.api.compiled.engine import CompiledEngine
from balance_gateway.api.execution.engine import Engine
from balance_gateway.app.asgi import build_app
from balance_gateway.app.configuration import parse_settings
from balance_gateway.web.routes import WebApp


@pytest.mark.parametrize(
    ("server", "engine"), [({}, CompiledEngine), ({"compiled": False}, Engine)], ids=["on", "off"]
)
async def test_the_compiled_executor_is_used_unless_it_is_disabled(
    server: dict[str, bool], engine: type, tmp_path: Path
) -> None:
    app = build_app(parse_settings({"server": server, "storage": {"url": "sqlite://"}}, tmp_path))

    async with app.running():
        assert isinstance(app._served.app, WebApp)
        assert type(app._served.app._graphql._engine) is engine
