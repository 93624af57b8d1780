"""Settings of private networks: what is right is read, what is wrong names its key and a step."""

from collections.abc import Callable
from pathlib import Path

import pytest

from balance_gateway.config.http_urls import ProxyUrl
from balance_gateway.config.settings import Settings
from balance_gateway.providers.layer.provider import LayerSettings
from balance_gateway.providers.light.provider import LightSettings
from tests.certificates import Authority

ReadText = Callable[[str], Settings]
ReadError = Callable[[str], str]

LIGHT = (
    '[connectors.main]\nprovider = "light"\nbase_url = "https://api.light.inc"\n'
    'api_key = "env:KEY"\n'
)
LAYER = (
    '[connectors.main]\nprovider = "layer"\nbase_url = "http://layer"\naccess_token = "env:KEY"\n'
)
JWT = '[auth.jwt]\nissuer = "i"\naudience = "a"\njwks_url = "https://issuer.example/jwks.json"\n'
PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with right and wrong certificates, and files that are none."""
    made = tmp_path_factory.mktemp("files")
    ca_file = Authority(made, "ca").ca_file
    authority = Authority(made, "other")
    cert, key = authority.issue("client")
    authority.issue("stranger")
    authority.issue("locked", passphrase=b"a passphrase")
    (made / "both.pem").write_bytes(cert.read_bytes() + key.read_bytes())
    (made / "two.pem").write_bytes(ca_file.read_bytes() + authority.ca_file.read_bytes())
    (made / "cut.pem").write_bytes(ca_file.read_bytes() + authority.ca_file.read_bytes()[:-60])
    (made / "half.key").write_bytes(key.read_bytes()[:80] + b"\n-----END PRIVATE KEY-----\n")
    (made / "no.pem").write_text("not a certificate")
    (made / "empty.pem").write_text("")
    return made


@pytest.fixture(params=["connectors.main", "auth.jwt"])
def table(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The name of a table that has these settings, and its other keys."""
    return request.param, LIGHT if request.param == "connectors.main" else JWT


def test_files_and_a_proxy_are_read(read_text: ReadText, folder: Path) -> None:
    text = (
        f'ca_file = "{folder}/two.pem"\nclient_cert = "{folder}/client.crt"\n'
        f'client_key = "{folder}/client.key"\nproxy = "http://egress@proxy.example:3128/"\n'
    )

    settings = read_text(JWT + text + LIGHT + text)

    light = settings.connectors[0].settings
    assert isinstance(light, LightSettings)
    for one in (light, settings.jwt):
        assert one is not None
        assert one.ca_file == folder / "two.pem"
        assert (one.client_cert, one.client_key) == (folder / "client.crt", folder / "client.key")
        assert one.proxy == ProxyUrl("http://egress@proxy.example:3128/")
        assert not one.allow_plain_http


def test_one_file_may_hold_certificate_and_key(read_text: ReadText, folder: Path) -> None:
    read_text(LIGHT + f'client_cert = "{folder}/both.pem"\n')


@pytest.mark.parametrize(
    ("lines", "key", "problem"),
    [
        ('ca_file = "{}/absent.pem"', "ca_file", "cannot be read: {}/absent.pem: No such file"),
        ('ca_file = "{}"', "ca_file", "cannot be read: {}: Is a directory; set it to a PEM file"),
        ('ca_file = "a\\u0000b"', "ca_file", "cannot be read"),
        ('ca_file = ""', "ca_file", "must be a string that is not empty"),
        ("ca_file = true", "ca_file", "must be a string"),
        ('ca_file = "{}/no.pem"', "ca_file", "must be a PEM file with certificates"),
        ('ca_file = "{}/empty.pem"', "ca_file", "must be a PEM file with certificates"),
        ('ca_file = "{}/cut.pem"', "ca_file", "must be a PEM file with certificates"),
        ('ca_file = "{}/client.key"', "ca_file", "must be a PEM file with certificates"),
        ('client_cert = "{}/absent.pem"', "client_cert", "cannot be read: {}/absent.pem"),
        ('client_cert = "{}/no.pem"', "client_cert", "must be a PEM file with certificates"),
        ('client_cert = "{}/client.crt"', "client_key", "is missing: set it, or append the"),
        ('client_key = "{}/client.key"', "client_key", "is set alone: set client_cert"),
        *[
            (f'client_cert = "{{}}/client.crt"\nclient_key = "{{}}/{name}"', "client_key", problem)
            for name, problem in (
                ("absent.key", "cannot be read: {}/absent.key"),
                ("no.pem", "must be a PEM file with a private key"),
                ("stranger.key", "must contain the private key of the first certificate in"),
                ("locked.key", "must contain a private key without a passphrase"),
                ("half.key", "cannot be used: OpenSSL reports"),
            )
        ],
        *[
            (f'proxy = "{url}"', "proxy", problem)
            for url, problem in (
                ("proxy.example:3128", "must start with http:// or https://"),
                ("socks5://proxy.example", "must start with http:// or https://"),
                ("http://", "must name a host"),
                ("http://-x", "must name a host"),
                ("http://proxy:0", "must name a host"),
                ("http://[::g]", "is not a valid URL"),
                ("http://proxy:port", "is not a valid URL"),
                ("http://proxy:70000", "is not a valid URL"),
                ("http://proxy/path", "without path, query and fragment"),
                ("http://proxy?x", "without path, query and fragment"),
                ("http://a b", "without spaces"),
                ("http://a%3Ab@proxy", "must have a user without a colon"),
                (f"http://u:{PASSWORD}@proxy", "contains a password; use a reference such as"),
                ("env:NOT_SET", ": the environment variable NOT_SET is not set"),
                ("file:absent", ": absent cannot be read: No such file"),
            )
        ],
        ("proxy = 1", "proxy", "must be a string"),
        ('allow_plain_http = "yes"', "allow_plain_http", "must be true or false"),
    ],
)
def test_a_wrong_value_names_its_key_and_a_step(
    read_error: ReadError,
    folder: Path,
    table: tuple[str, str],
    lines: str,
    key: str,
    problem: str,
) -> None:
    name, others = table

    message = read_error(others + lines.replace("{}", str(folder)) + "\n")

    wanted = problem.replace("{}", str(folder))
    assert message.startswith(f"{name}.{key}")
    assert wanted in message
    assert PASSWORD not in message


def test_the_password_of_a_proxy_is_read_by_reference_and_never_shown(
    read_text: ReadText, read_error: ReadError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY", f"http://egress:{PASSWORD}%40@proxy.example:3128\n")

    settings = read_text(LIGHT + 'proxy = "env:PROXY"\n')

    light = settings.connectors[0].settings
    assert isinstance(light, LightSettings)
    assert light.proxy == ProxyUrl(f"http://egress:{PASSWORD}%40@proxy.example:3128")
    assert PASSWORD not in repr(settings)
    for wrong in (f"http://u:{PASSWORD}/x@p", f"http://:{PASSWORD}@p", f"ftp://u:{PASSWORD}@p"):
        monkeypatch.setenv("PROXY", wrong)
        assert PASSWORD not in read_error(LIGHT + 'proxy = "env:PROXY"\n')


def test_http_beyond_loopback_needs_allow_plain_http(
    read_text: ReadText, read_error: ReadError
) -> None:
    """Refused at the start, so that no credential crosses a network in the clear by mistake."""
    jwt = JWT.replace("https://", "http://")
    hint = "must start with https://; http:// is only for loopback, or with allow_plain_http = true"

    assert read_error(LAYER) == f"connectors.main.base_url {hint}"
    with_token_url = LAYER.replace("http://layer", "https://layer") + 'token_url = "http://token"\n'
    assert read_error(with_token_url) == f"connectors.main.token_url {hint}"
    assert read_error(jwt) == f"auth.jwt.jwks_url {hint}"
    assert read_error(LAYER + "allow_plain_http = false\n").endswith(hint)

    allowed = "allow_plain_http = true\n"
    settings = read_text(jwt + allowed + LAYER + 'token_url = "http://token"\n' + allowed)
    layer = settings.connectors[0].settings
    assert isinstance(layer, LayerSettings)
    assert (layer.base_url, layer.token_url) == ("http://layer", "http://token")
    read_text(LAYER.replace("http://layer", "http://127.0.0.1:8001/layer"))
