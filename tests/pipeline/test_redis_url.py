"""Tests the parameters of Redis's URLs, and that each failure has a reason for operators."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from balance_gateway.pipeline import redis_client
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.pipeline.redis_failures import RedisUnavailable
from balance_gateway.pipeline.redis_url import RedisUrlError, parse_redis_url
from tests.servers import free_port

PASSWORD = "hunter2-of-the-cache"
_SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(_SERVER is None, reason="Debian's redis-server is not installed")


@contextmanager
def run_redis(folder: Path, *options: str) -> Iterator[None]:
    command = [_SERVER or "", "--save", "", "--dir", str(folder), "--bind", "127.0.0.1"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while "Ready to accept connections" not in process.stdout.readline():
            assert process.poll() is None
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "redis.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-out", path,
         "-keyout", path.with_suffix(".key"), "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost"],
        check=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[dict[str, int]]:
    """The ports of one server: with TLS, and without; both need the password."""
    found = {"plain": free_port(), "tls": free_port()}
    key = certificate.with_suffix(".key")
    with run_redis(
        tmp_path_factory.mktemp("redis"),
        *("--port", str(found["plain"]), "--tls-port", str(found["tls"])),
        *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"),
        *("--requirepass", PASSWORD),
    ):
        yield found


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine TLS alone can take longer than a command of the gateway may."""
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT_S", 20.0)


async def ping(url: str) -> object:
    redis = RedisClient.open(url)
    try:
        return await redis.run(redis.client.ping)
    finally:
        await redis.aclose()


@needs_redis
@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    "form",
    [
        "redis://:{password}@localhost:{plain}/0",
        "redis://localhost:{plain}/0?password={password}&username=default&db=1",
        "redis://:{password}@localhost:{plain}/0?decode_responses=false&protocol=2",
        "rediss://:{password}@localhost:{tls}/0?ssl_ca_certs={certificate}",
        "rediss://:{password}@127.0.0.1:{tls}/0?ssl_cert_reqs=CERT_NONE",
        "rediss://:{password}@127.0.0.1:{tls}/0?ssl_cert_reqs=none",
        "rediss://:{password}@127.0.0.1:{tls}/0?ssl_ca_certs={certificate}"
        "&ssl_check_hostname=false&ssl_cert_reqs=CERT_REQUIRED",
    ],
)
async def test_parameters_of_redis_py_open_a_connection(
    ports: dict[str, int], certificate: Path, form: str
) -> None:
    """``ssl_cert_reqs=CERT_NONE`` failed at the first command, without a reason."""
    assert await ping(form.format(password=PASSWORD, certificate=certificate, **ports)) is True


@needs_redis
@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("redis://localhost:{plain}/0", "Redis requires a password; put it into cache.url"),
        ("redis://localhost:{plain}/0?protocol=2", "Redis requires a password; "),
        ("redis://:wrong@localhost:{plain}/0", "Redis refuses the user name or the password"),
        ("redis://u:wrong@localhost:{plain}/0", "Redis refuses the user name or the password"),
        ("rediss://:{password}@localhost:{tls}/0", "the certificate of Redis is not accepted: sel"),
        (
            "rediss://:{password}@127.0.0.1:{tls}/0?ssl_ca_certs={certificate}",
            "the certificate of Redis is not accepted: IP address mismatch",
        ),
        ("redis://localhost:{free}/0", "Redis cannot be reached: "),
        ("unix:///no/such/socket", "Redis cannot be reached: "),
    ],
)
async def test_a_failure_has_its_reason_in_the_error_and_in_the_log(
    ports: dict[str, int],
    certificate: Path,
    caplog: pytest.LogCaptureFixture,
    form: str,
    reason: str,
) -> None:
    """Without its password the cache was unreachable, and nothing told why."""
    url = form.format(password=PASSWORD, certificate=certificate, free=free_port(), **ports)

    await assert_failure_has_its_reason(url, reason, caplog)


@needs_redis
async def test_tls_at_a_port_without_it_is_the_likely_reason_of_no_answer(
    ports: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    url = f"rediss://:{PASSWORD}@localhost:{ports['plain']}/0"

    await assert_failure_has_its_reason(url, "Redis does not answer in time; with rediss", caplog)


async def assert_failure_has_its_reason(
    url: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RedisUnavailable) as caught:
        await ping(url)

    assert caught.value.reason.startswith(reason)
    # Callers see this text.
    assert caught.value.message == "The shared cache is unreachable."
    (record,) = [each for each in caplog.records if each.message == "cache.unreachable"]
    assert record.__dict__["reason"] == caught.value.reason
    assert "hunter2" not in caught.value.reason
    assert "127.0.0.1" not in caught.value.reason


async def test_a_lasting_failure_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    redis = RedisClient.open(f"unix://{tmp_path}/missing.sock")

    for _ in range(3):
        with pytest.raises(RedisUnavailable):
            await redis.run(redis.client.ping, ignore_backoff=True)

    assert [each.message for each in caplog.records].count("cache.unreachable") == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        *[(f"redis://h/0?{name}=1", f": {name} is not supported; known: username, ") for name in (
            "foo", "timeout", "encoding", "retry", "connection_class", "socket_timeou", "DB")],
        ("redis://h/0?decode_responses=true", ": decode_responses must be false or left out"),
        ("redis://h/0?decode_responses=True", ": decode_responses must be false or left out"),
        ("redis://h/0?db=x", ": db must be a whole number from 0 to "),
        ("redis://h/0?db=1&db=2", ": db must be given once"),
        ("redis://h/0?socket_timeout=soon", ": socket_timeout must be a number of seconds"),
        ("redis://h/0?protocol=4", ": protocol must be a whole number from 2 to 3"),
        ("redis://h/0?password=", ": password must not be empty"),
        ("redis://h/0?ssl_cert_reqs=none", ": ssl_cert_reqs needs TLS; begin the URL with rediss"),
        ("rediss://h/0?ssl_cert_reqs=never", ": ssl_cert_reqs must be one of required, "),
        ("rediss://h/0?ssl_ca_certs=/no/such", ": ssl_ca_certs cannot be read: No such file"),
        (f"rediss://h/0?ssl_keyfile={__file__}", ": ssl_keyfile needs ssl_certfile"),
        ("redis://h/name", ": the path must be the number of a database"),
        ("redis://h/0/1", ": the path must be the number of a database"),
        ("unix://", " must be unix:///path/to/socket"),
        ("unix://host/path", " must be unix:///path/to/socket"),
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused_by_its_parameter(url: str, expected: str) -> None:
    with pytest.raises(RedisUrlError) as caught:
        parse_redis_url(url)

    assert str(caught.value).startswith(f"cache.url{expected}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["redis://:12?hunter@h", "redis://:12#hunter@h", "redis://:1/hunter@h/0", "redis://:a?b=hunter@h",
     "redis://h/0?password=pass&hunter=1"],
)  # fmt: skip
def test_no_part_of_a_password_is_shown(url: str) -> None:
    with pytest.raises(RedisUrlError) as caught:
        parse_redis_url(url)

    assert "hunter" not in str(caught.value)
