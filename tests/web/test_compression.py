"""Compressed responses: negotiated, kept, written directly, and not while the process is busy."""

import gzip

import pytest

from balance_gateway.web import compression
from balance_gateway.web.compression import SIZE_MIN, Compressor
from balance_gateway.web.media_types import accepts_gzip
from tests.api.fakes import READ, GatewayHarness, account, open_client
from tests.server.test_direct_response import DirectWrites

QUERY = "{ bankAccounts { nodes { id name currency } } }"


@pytest.fixture
def harness() -> GatewayHarness:
    return GatewayHarness([account(f"acct_{number}") for number in range(100)])


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=2", False),
        ("gzipped", False),
    ],
)
def test_gzip_is_negotiated_by_accept_encoding(header, accepted):
    assert accepts_gzip(header) is accepted


async def test_a_large_response_is_compressed_and_written_directly(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
):
    """The answer for 1000 accounts had 318 kB."""
    direct = DirectWrites(monkeypatch, allowed=True)
    async with open_client(harness) as client:
        client.http.headers["Accept-Encoding"] = "identity"
        plain = await client.post(QUERY)
        client.http.headers["Accept-Encoding"] = "gzip, br"
        packed = await client.post(QUERY)
        small = await client.post("{ __typename }")
        head = await client.http.head(
            "/graphql", params={"query": QUERY}, headers={"Authorization": f"Bearer {READ}"}
        )

    assert len(plain.content) > SIZE_MIN
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 4
    assert packed.content == plain.content
    assert "content-encoding" not in small.headers
    assert head.headers["content-length"] == packed.headers["content-length"]
    assert direct.count == 3
    for response in (plain, packed, small):
        assert "Accept-Encoding" in response.headers["vary"]


async def test_compression_can_be_turned_off():
    assert await Compressor(enabled=False).compress(b"x" * 10_000, busy=False) is None


@pytest.mark.parametrize("size", [SIZE_MIN, 500_000])
async def test_a_kept_response_is_compressed_once(size: int, monkeypatch: pytest.MonkeyPatch):
    body, compressor = b"a" * size, Compressor()
    first = await compressor.compress(body, busy=False)
    monkeypatch.setattr(compression, "_compress", None)
    again = await compressor.compress(body, busy=False)
    busy = await compressor.compress(bytes(body), busy=True)

    assert first is again is busy
    assert first is not None
    assert gzip.decompress(first) == body


async def test_a_busy_process_compresses_nothing_new(harness: GatewayHarness):
    async with open_client(harness) as client:
        client.http.headers["Accept-Encoding"] = "gzip"
        assert harness.endpoint is not None
        await client.post("{ __typename }")  # Starts the measurements of the load.
        harness.endpoint.load_shedder.close()
        harness.endpoint.load_shedder._load = 1.0
        busy = await client.post(QUERY)
        harness.endpoint.load_shedder._load = 0.0
        idle = await client.post(QUERY)

    assert "content-encoding" not in busy.headers
    assert idle.headers["content-encoding"] == "gzip"


async def test_kept_results_are_bounded():
    compressor = Compressor(kept_bytes_max=100_000)
    bodies = [bytes([number]) * 10_000 for number in range(20)]
    for body in bodies:
        await compressor.compress(body, busy=False)
    await compressor.compress(b"x" * 50_000, busy=False)

    assert await compressor.compress(bodies[0], busy=True) is None
    assert await compressor.compress(bodies[-1], busy=True) is not None
    assert await compressor.compress(b"x" * 50_000, busy=True) is None
