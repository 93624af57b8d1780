"""Static files: entity tags and compression."""

import httpx
import pytest

from tests.api.fakes import GatewayHarness, open_client

PATHS = ("/", "/page/main.js", "/page/page.css", "/favicon.svg")


async def get(client: httpx.AsyncClient, path: str, coding: str, known: str = "") -> httpx.Response:
    headers = {"Accept-Encoding": coding, **({"If-None-Match": known} if known else {})}
    return await client.get(path, headers=headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("coding", ["zstd", "gzip", "identity"])
async def test_an_unchanged_file_is_not_sent_again(harness: GatewayHarness, path, coding):
    async with open_client(harness) as client:
        first = await get(client.http, path, coding)
        tag = first.headers["etag"]
        answers = [
            await get(client.http, path, coding, known)
            for known in (tag, f"W/{tag}", f'"other", {tag}', "*")
        ]
        changed = await get(client.http, path, coding, '"other"')

    for answer in answers:
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert answer.headers["cache-control"] == "no-cache"
        assert "content-security-policy" in answer.headers
    assert (changed.status_code, changed.content) == (200, first.content)


@pytest.mark.parametrize("path", PATHS)
async def test_a_file_is_compressed_where_accepted_under_its_own_tag(harness, path):
    async with open_client(harness) as client:
        plain = await get(client.http, path, "identity")
        packed = await get(client.http, path, "gzip, br")
        smaller = await get(client.http, path, "gzip, br, zstd")
        other = await get(client.http, path, "identity", packed.headers["etag"])

    assert packed.headers["content-encoding"] == "gzip"
    assert smaller.headers["content-encoding"] == "zstd"
    assert packed.content == plain.content
    assert int(smaller.headers["content-length"]) < len(plain.content)
    assert len({each.headers["etag"] for each in (plain, packed, smaller)}) == 3
    assert other.status_code == 200
    for response in (plain, packed, smaller):
        assert response.headers["vary"] == "Accept-Encoding"
