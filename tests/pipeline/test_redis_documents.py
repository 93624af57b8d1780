"""Persisted queries in a real Redis."""

import hashlib

import pytest

from balance_gateway.domain.errors import CacheUnavailable
from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.pipeline.redis_documents import RedisDocuments
from balance_gateway.ports.document_store import KEPT_S

QUERY = "{ größe }"
DIGEST = hashlib.sha256(QUERY.encode()).hexdigest()


async def test_a_document_is_found_through_another_client_for_a_day(redis, redis_url):
    await RedisDocuments(redis).store(DIGEST, QUERY)
    other = RedisClient.open(redis_url)
    try:
        found = await RedisDocuments(other).find(DIGEST)
    finally:
        await other.aclose()
    [key] = await redis.client.keys("*")

    assert found == QUERY
    assert key == f"balance-gateway:q:{DIGEST}".encode()
    assert 0 < await redis.client.ttl(key) <= KEPT_S


async def test_an_unknown_or_damaged_document_is_not_found(redis):
    documents = RedisDocuments(redis)
    await redis.client.set(redis.key(f"q:{DIGEST}"), b"\xff")
    damaged = await documents.find(DIGEST)

    assert await documents.find("0" * 64) is None
    assert damaged is not None
    assert hashlib.sha256(damaged.encode()).hexdigest() != DIGEST


async def test_a_redis_out_of_reach_is_reported(tmp_path):
    documents = RedisDocuments(RedisClient.open(f"unix://{tmp_path}/missing.sock"))

    with pytest.raises(CacheUnavailable):
        await documents.find(DIGEST)
    with pytest.raises(CacheUnavailable):
        await documents.store(DIGEST, QUERY)
