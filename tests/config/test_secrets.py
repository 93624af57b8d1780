"""Tests what is accepted as a secret, and that a wrong one is refused by its key."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balance_gateway.config.settings import Settings
from balance_gateway.web.auth import parse_bearer_token

ReadError = Callable[[str], str]
ReadText = Callable[[str], Settings]
SECRET = "hunter2-hunter2-hunter2"
BOM = "\ufeff"
MARGINS = ["\n", "\r\n", " ", "\t", "\x0b", "\u00a0", BOM, f"{BOM} \r\n", "\n\n"]
KEY = '[[auth.api_keys]]\nname = "n"\ntenant = "t"\nscopes = ["balances:read"]\n'
LIGHT = '[connectors.main]\nprovider = "light"\nbase_url = "https://x"\n'
ASSET = '[connectors.main]\nprovider = "asset"\nbase_url = "https://x"\n'
LAYER = '[connectors.main]\nprovider = "layer"\nbase_url = "https://x"\ntoken_url = "https://x/t"\n'
#: A table without one secret, and the secret's key.
PLACES = [
    (KEY, "auth.api_keys[0].key"),
    (LIGHT, "connectors.main.api_key"),
    *[(table, "connectors.main.access_token") for table in (LIGHT, ASSET, LAYER)],
    *[(t + 'client_secret = "env:KEY"\n', "connectors.main.client_id") for t in (ASSET, LAYER)],
    *[(t + 'client_id = "env:KEY"\n', "connectors.main.client_secret") for t in (ASSET, LAYER)],
]


@pytest.fixture(params=["env", "file"])
def refer(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Return a function that stores a secret and returns the reference to it."""

    def store(text: str) -> str:
        if request.param == "env":
            monkeypatch.setenv("STORED", text)
            return "env:STORED"
        (tmp_path / "stored").write_bytes(text.encode())
        return "file:stored"

    return store


def reveal(found: Settings, key: str) -> str:
    table = found.api_keys[0] if "api_keys" in key else found.connectors[0].settings
    secret: str = getattr(table, key.rpartition(".")[2]).reveal()
    return secret


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize(("table", "key"), PLACES)
def test_white_space_and_bom_around_a_secret_are_dropped(
    read_text: ReadText, refer: Callable[[str], str], table: str, key: str, margin: str
) -> None:
    """A provider key from an environment variable kept its newline and ended the start."""
    reference = refer(f"{margin}{SECRET}{margin}")

    found = read_text(f'{table}{key.rpartition(".")[2]} = "{reference}"')

    assert reveal(found, key) == SECRET


@pytest.mark.parametrize(
    "inner", ["\n", "\r\n", " ", "\t", BOM, "\u200b", "é", "€", "\x7f", "\x01", "\u2028"]
)
@pytest.mark.parametrize(("table", "key"), PLACES)
def test_a_secret_that_no_header_can_carry_is_refused_by_its_key(
    read_error: ReadError, refer: Callable[[str], str], table: str, key: str, inner: str
) -> None:
    reference = refer(f"{SECRET}{inner}{SECRET}")

    message = read_error(f'{table}{key.rpartition(".")[2]} = "{reference}"')

    assert message.startswith(f"{key} must be ")
    assert "hunter2" not in message


@pytest.mark.parametrize("blank", [*MARGINS, "  \n"])
def test_a_blank_secret_is_refused(
    read_error: ReadError, refer: Callable[[str], str], blank: str
) -> None:
    message = read_error(f'{LIGHT}api_key = "{refer(blank)}"')

    assert re.fullmatch(r"connectors\.main\.api_key: .*\b(STORED|stored) is empty", message)


@pytest.mark.parametrize("key", ["k", "k" * 21, f" {'k' * 21}\n"])
def test_a_short_api_key_is_refused_with_the_way_to_make_one(
    read_error: ReadError, refer: Callable[[str], str], key: str
) -> None:
    message = read_error(f'{KEY}key = "{refer(key)}"')

    assert message.startswith("auth.api_keys[0].key must have at least 22 characters; make one ")
    assert "balance-gateway keys new NAME --tenant TENANT --scope balances:read" in message
    assert "kk" not in message


def test_an_api_key_of_22_characters_is_accepted(
    read_text: ReadText, refer: Callable[[str], str]
) -> None:
    assert reveal(read_text(f'{KEY}key = "{refer("k" * 22)}"'), "auth.api_keys[0].key") == "k" * 22


@pytest.mark.parametrize("wrong", ['"', "!", "$", "(", ",", ";", "{", "|", "\\", "k" * 8000])
def test_an_api_key_that_is_no_bearer_token_is_refused(
    read_error: ReadError, refer: Callable[[str], str], wrong: str
) -> None:
    """Such a key was configured without a word, and each request with it was answered 401."""
    message = read_error(f'{KEY}key = "{refer(SECRET + wrong)}"')

    assert message.startswith("auth.api_keys[0].key must be letters, digits and ")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.from_regex(r"[A-Za-z0-9._~+/=:@-]{22,8000}", fullmatch=True))
def test_every_accepted_api_key_is_a_bearer_token(
    read_text: ReadText, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("STORED", text)

    key = reveal(read_text(f'{KEY}key = "env:STORED"'), "auth.api_keys[0].key")

    assert parse_bearer_token(f"Bearer {key}".encode()) == text


def test_a_client_id_with_a_colon_is_refused_for_basic_authentication(
    read_error: ReadError, read_text: ReadText, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORED", "a:b")
    credentials = 'client_id = "env:STORED"\nclient_secret = "env:KEY"\n'

    message = read_error(LAYER + credentials)

    assert message == "connectors.main.client_id must not contain a colon"
    # Asset's are fields of a form.
    assert reveal(read_text(ASSET + credentials), "connectors.main.client_id") == "a:b"


@pytest.mark.parametrize("name", ["storage", "cache"])
def test_a_url_by_reference_is_read_without_its_margin_and_must_be_one_line(
    read_error: ReadError, read_text: ReadText, refer: Callable[[str], str], name: str
) -> None:
    url = {"storage": "postgresql://u:hunter2@h/d", "cache": "redis://:hunter2@h/0"}[name]

    found = read_text(f'[{name}]\nurl = "{refer(f"{BOM}{url}{chr(10)}")}"')
    message = read_error(f'[{name}]\nurl = "{refer(url + chr(10) + url)}"')

    assert getattr(found, name).url.reveal() == url
    assert message == f"{name}.url must be one line of printable characters"


def test_a_configuration_file_may_begin_with_a_byte_order_mark(read_text: ReadText) -> None:
    assert read_text(f"{BOM}[server]\nport = 1").server.port == 1
