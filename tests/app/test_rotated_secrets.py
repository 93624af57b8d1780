"""A secret whose file was replaced is used when the provider rejects the former one."""

from pathlib import Path

from balance_gateway.app.configuration import read_settings
from balance_gateway.config.settings import Settings
from balance_gateway.domain.errors import ErrorCode, GatewayError
from balance_gateway.ports.reads import Observed
from balance_gateway.service.opening_balances import Applied
from tests.app.gateway_harness import LIGHT, SandboxClient, run_gateway

SECRETS = ("light-acme-api_key", "asset-acme-client_secret", "layer-acme-client_secret")
ACCOUNTS = (LIGHT, "asset-company-card", "layer-operating-checking")


def replace_secrets(directory: Path, text: str) -> dict[str, str]:
    """Replace the content of the secrets' files; return the former contents."""
    paths = {name: directory / "secrets" / name for name in SECRETS}
    former = {name: path.read_text() for name, path in paths.items()}
    for path in paths.values():
        path.write_text(text)
    return former


def restore_secrets(directory: Path, contents: dict[str, str]) -> None:
    for name, content in contents.items():
        (directory / "secrets" / name).write_text(content)


async def test_a_rotated_secret_is_used_without_a_reload(
    demo_settings: Settings, tmp_path: Path, sandbox: SandboxClient
) -> None:
    assert demo_settings
    right = replace_secrets(tmp_path, "expired-secret")
    settings = read_settings(tmp_path / "gateway.toml")
    restore_secrets(tmp_path, right)
    async with run_gateway(settings) as gateway:
        written = await gateway.write(4_200)
        reads = await gateway.read(*ACCOUNTS)

    assert isinstance(written, Applied)
    assert [type(read) for read in reads] == [Observed] * 3
    # The read before the write was rejected, and repeated with the secret that the file has now.
    assert sandbox.count_calls("light", "PUT") == 1


async def test_a_file_without_another_secret_is_read_once_in_a_while(
    demo_settings: Settings, tmp_path: Path, sandbox: SandboxClient
) -> None:
    assert demo_settings
    right = replace_secrets(tmp_path, "expired-secret")
    settings = read_settings(tmp_path / "gateway.toml")
    replace_secrets(tmp_path, "")
    async with run_gateway(settings) as gateway:
        [empty] = await gateway.read()
        restore_secrets(tmp_path, right)
        [too_soon] = await gateway.read()

    for failure in (empty, too_soon):
        assert isinstance(failure, GatewayError)
        assert failure.code is ErrorCode.PROVIDER_CREDENTIALS_REJECTED
    assert sandbox.count_calls("light", "GET") == 2
