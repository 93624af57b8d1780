"""Compressed responses: negotiated, kept, written directly, and not while the process is busy."""

import asyncio
import gzip
import random

import httpx
import pytest
import zstandard

from balance_gateway.api.execution.engine import GraphQLResponse
from balance_gateway.web.compression import SIZE_MIN, Compressor, compress
from balance_gateway.web.load_shedding import LoadShedder
from balance_gateway.web.media_types import Coding, choose_coding
from tests.api.fakes import READ, GatewayHarness, account, open_client
from tests.server.test_direct_response import DirectWrites

ZSTD = Coding("zstd", allows_identity=True)
GZIP = Coding("gzip", allows_identity=True)
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
QUERY = "{ bankAccounts { nodes { id name currency } } }"


@pytest.fixture
def harness() -> GatewayHarness:
    return GatewayHarness([account(f"acct_{number}") for number in range(100)])


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, ""),
        ("", ""),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=0.8, zstd;q=0.8", "zstd"),
        ("zstd;q=0.5, gzip;q=0.8", "gzip"),
        ("zstd;q=0.5 , x-gzip ; Q=0.8", "gzip"),
        ("zstd;q=0, gzip", "gzip"),
        ("zstd;q=0, *", "gzip"),
        ("br;q=1.0, gzip;q=0.1", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0.000, *", "zstd"),
        ("gzip, *", "gzip"),
        ("gzip;q=0.5, *", "zstd"),
        ("*", "zstd"),
        ("*;q=0", ""),
        ("gzip, *;q=0", "gzip"),
        ("identity", ""),
        ("identity, gzip;q=0.9", ""),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0.5, zstd;q=0.1, gzip;q=0.9", "gzip"),
        ("identity, *;q=0.5", ""),
        ("identity;q=0", ""),
        ("br", ""),
        ("gzip;q=2", ""),
        ("gzipped", ""),
    ],
)
def test_the_preferred_coding_is_chosen(header, name):
    assert choose_coding(header).name == name


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("gzip", True),
        ("*", True),
        ("gzip, identity;q=0", False),
        ("gzip, *;q=0", False),
        ("gzip, identity;q=0.1, *;q=0", True),
    ],
)
def test_a_body_without_a_coding_can_be_refused(header, allowed):
    assert choose_coding(header).allows_identity is allowed


@pytest.mark.parametrize(("accepted", "coding"), [("gzip, br", "gzip"), ("gzip, zstd", "zstd")])
async def test_a_large_response_is_compressed_and_written_directly(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch, accepted, coding
):
    """The answer for 1000 accounts had 318 kB."""
    direct = DirectWrites(monkeypatch, allowed=True)
    async with open_client(harness) as client:
        client.http.headers["Accept-Encoding"] = "identity"
        plain = await client.post(QUERY)
        client.http.headers["Accept-Encoding"] = accepted
        packed = await client.post(QUERY)
        small = await client.post("{ __typename }")
        head = await client.http.head(
            "/graphql", params={"query": QUERY}, headers={"Authorization": f"Bearer {READ}"}
        )
        client.http.headers["Accept-Encoding"] = f"{accepted}, identity;q=0"
        refused = await client.post("{ __typename }")

    assert len(plain.content) > SIZE_MIN
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == refused.headers["content-encoding"] == coding
    assert int(packed.headers["content-length"]) < len(plain.content) / 4
    assert decompress(packed, coding) == plain.content
    assert decompress(refused, coding) == small.content
    assert "content-encoding" not in small.headers
    assert head.headers["content-length"] == packed.headers["content-length"]
    assert direct.count == 4
    for response in (plain, packed, small):
        assert "Accept-Encoding" in response.headers["vary"]


def decompress(response: httpx.Response, coding: str) -> bytes:
    # httpx itself decompresses gzip, and zstd where it finds the library for it.
    if response.content[:4] != ZSTD_MAGIC:
        return response.content
    assert coding == "zstd"
    return zstandard.decompress(response.content)


async def test_compression_can_be_turned_off():
    body = b"x" * 10_000

    assert Compressor(enabled=False).find(respond(body), ZSTD, busy=False) == (body, "")


async def compress_once(compressor: Compressor, body: bytes, coding: Coding) -> bytes:
    """Compress a body as the encoder does."""
    found = compressor.find(respond(body), coding, busy=False)
    content, name = found or await compressor.compress(respond(body), coding)
    assert name == coding.name
    return content


def respond(body: bytes) -> GraphQLResponse:
    # Not the same bytes object as another response.
    return GraphQLResponse(bytes(bytearray(body)), 200)


@pytest.mark.parametrize("size", [SIZE_MIN, 1_000_000])
async def test_a_kept_response_is_compressed_once_per_coding(size: int):
    body, compressor = b"a" * size, Compressor()
    packed = {coding: await compress_once(compressor, body, coding) for coding in (ZSTD, GZIP)}

    for coding, first in packed.items():
        again = compressor.find(respond(body), coding, busy=True)
        assert again is not None
        assert again.content is first
    assert gzip.decompress(packed[GZIP]) == body
    assert zstandard.decompress(packed[ZSTD]) == body
    none = Coding("", allows_identity=True)
    assert compressor.find(respond(body), none, busy=False) == (body, "")


async def test_a_kept_response_is_sent_while_the_process_is_busy(harness: GatewayHarness):
    """A result that exists costs nothing; a new one would."""
    async with open_client(harness) as client:
        client.http.headers["Accept-Encoding"] = "zstd"
        await client.post(QUERY)
        set_busy(harness)
        kept = await client.post(QUERY)
        client.http.headers["Accept-Encoding"] = "gzip"
        other = await client.post(QUERY)

    assert kept.headers["content-encoding"] == "zstd"
    assert "content-encoding" not in other.headers


async def test_equal_large_bodies_at_once_are_compressed_once():
    """A hundred browsers that poll at the same second made a hundred threads compress."""
    compressor, body = Compressor(), b"a" * 1_000_000
    assert compressor.find(respond(body), ZSTD, busy=False) is None
    first, *others = [
        asyncio.ensure_future(compressor.compress(respond(body), ZSTD)) for _ in range(6)
    ]
    await asyncio.sleep(0)
    first.cancel()
    results = await asyncio.gather(*others)

    kept = compressor.find(respond(body), ZSTD, busy=False)
    assert kept is not None
    assert {id(result.content) for result in results} == {id(kept.content)}
    assert compressor._running == {}


def test_zstd_needs_no_more_memory_than_every_client_has():
    """RFC 9659: a decoder may refuse a window of more than 8 MB."""
    body = bytes(range(256)) * 80_000
    packed = compress(body, "zstd", 1)

    assert zstandard.get_frame_parameters(packed).window_size <= 8_000_000


async def test_a_busy_process_compresses_nothing_new(harness: GatewayHarness):
    async with open_client(harness) as client:
        client.http.headers["Accept-Encoding"] = "gzip"
        await client.post("{ __typename }")  # Starts the measurements of the load.
        shedder = set_busy(harness)
        busy = await client.post(QUERY)
        shedder._load = 0.0
        idle = await client.post(QUERY)

    assert "content-encoding" not in busy.headers
    assert idle.headers["content-encoding"] == "gzip"


def set_busy(harness: GatewayHarness) -> LoadShedder:
    assert harness.endpoint is not None
    shedder = harness.endpoint.load_shedder
    shedder.close()
    shedder._load = 1.0
    return shedder


async def test_kept_results_are_bounded():
    compressor = Compressor(kept_bytes_max=100_000)
    # No coding makes them smaller.
    bodies = [random.Random(number).randbytes(10_000) for number in range(20)]
    for body in bodies:
        for coding in (ZSTD, GZIP):
            await compress_once(compressor, body, coding)
    large = random.Random(20).randbytes(50_000)
    await compress_once(compressor, large, ZSTD)

    def is_kept(body: bytes) -> bool:
        # A busy process compresses nothing.
        found = compressor.find(respond(body), ZSTD, busy=True)
        return found is not None and found.coding_name == "zstd"

    kept = [body for body in bodies if is_kept(body)]
    assert kept == bodies[-len(kept) :]
    assert 2 <= len(kept) <= 5
    assert not is_kept(large)
