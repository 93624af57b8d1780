"""Stores persisted queries in Redis, where every process finds them."""

from balance_gateway.pipeline.redis_client import RedisClient
from balance_gateway.ports.document_store import KEPT_S


class RedisDocuments:
    """The documents in Redis; implements ``ports.document_store.DocumentStore``."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def find(self, digest: str) -> str | None:
        """Return the document of a hash; None if there is none."""
        key, client = self._key(digest), self._redis.client
        found = await self._redis.run(lambda: client.get(key))
        # Whoever asks compares the hash, which text with a replaced character does not have.
        return found.decode(errors="replace") if isinstance(found, bytes) else found

    async def store(self, digest: str, document: str) -> None:
        """Store a document; Redis deletes it after ``KEPT_S``."""
        key, client = self._key(digest), self._redis.client
        await self._redis.run(lambda: client.set(key, document.encode(), ex=KEPT_S), is_write=True)

    def _key(self, digest: str) -> str:
        return self._redis.key(f"q:{digest}")
