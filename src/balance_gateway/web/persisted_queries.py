"""Keep documents under their hash, so that clients can send the hash in place of the text.

The protocol is Apollo's automatic persisted queries, version 1: a client first sends only the hash,
receives an error, not found, and sends hash and text once. A document is kept under its own SHA-256
only, and after it was found valid: no caller can change another's document.

Each process has its own documents in memory. With Redis all processes share them: a hash that a
process does not know is looked up once. Otherwise a client that reaches another process sends its
text once more.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from balance_gateway.api.execution.engine import GraphQLRequest
from balance_gateway.api.schema.errors import build_refusal
from balance_gateway.domain.errors import ErrorCode
from balance_gateway.web.shared_documents import SharedDocuments

#: Limits of the kept documents; the least recently used is dropped first.
DOCUMENTS_MAX = 2_000
CHARACTERS_MAX = 8_388_608

_HASH = re.compile(rb"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request as sent. Its structure is checked, its contents are not.

    Attributes:
        query: the document; None if only its hash was sent.
        variables: the variables; None without any.
        operation_name: the operation to execute; None if it was left out or is empty.
        query_hash: SHA-256 of the document in hexadecimal, lower case; None without one.
    """

    query: str | None
    variables: Mapping[str, Any] | None
    operation_name: str | None
    query_hash: str | None


class PersistedQueries:
    """The documents that clients may name by their hash.

    Args:
        enabled: whether documents are kept at all.
        shared: the documents of all processes; None if this process shares none.
        documents_max: the maximum number of documents.
        characters_max: the maximum of their characters together.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        shared: SharedDocuments | None = None,
        documents_max: int = DOCUMENTS_MAX,
        characters_max: int = CHARACTERS_MAX,
    ) -> None:
        self._enabled = enabled
        self._shared = shared if enabled else None
        self._documents_max = documents_max
        self._characters_max = characters_max
        self._documents: OrderedDict[str, str] = OrderedDict()
        self._characters = 0

    async def load(self, sent: SentRequest) -> None:
        """Load the document of a request from those of all processes, if this one lacks it."""
        digest = sent.query_hash
        if self._shared is None or digest is None or digest in self._documents:
            return
        document = await self._shared.find(digest)
        if document is not None:
            self._add(digest, document)

    async def drain(self) -> None:
        """Wait until what was kept is shared."""
        if self._shared is not None:
            await self._shared.drain()

    def complete(self, sent: SentRequest) -> GraphQLRequest:
        """Return the request with its document.

        Raises:
            RequestRefused: only a hash was sent, and its document is not known or none is kept; or
                the hash is not that of the document.
        """
        query = sent.query
        if query is None:
            query = self._find(sent.query_hash)
        elif sent.query_hash and hashlib.sha256(query.encode()).hexdigest() != sent.query_hash:
            raise build_refusal(
                "extensions.persistedQuery.sha256Hash must be the SHA-256 of query.",
                field="extensions",
            )
        return GraphQLRequest(query, sent.variables, sent.operation_name)

    def keep(self, sent: SentRequest) -> None:
        """Keep the document of a valid request that was sent with its hash."""
        query, digest = sent.query, sent.query_hash
        if query is None or digest is None or not self._enabled:
            return
        self._add(digest, query)
        if self._shared is not None:
            self._shared.register(digest, query)

    def _add(self, digest: str, query: str) -> None:
        if digest in self._documents:
            return
        self._documents[digest] = query
        self._characters += len(query)
        while len(self._documents) > self._documents_max or self._characters > self._characters_max:
            _, dropped = self._documents.popitem(last=False)
            self._characters -= len(dropped)

    def is_mutation(self, body: bytes) -> bool:
        """Return whether a body that is not parsed yet names a document that may be a mutation."""
        if b"sha256Hash" not in body:
            return False
        # A document that only another process knows may be one.
        unknown = "" if self._shared is None else "mutation"
        hashes = (each.decode().lower() for each in _HASH.findall(body))
        return any("mutation" in self._documents.get(each, unknown) for each in hashes)

    def _find(self, digest: str | None) -> str:
        # Clients compare these two messages.
        if not self._enabled:
            message, code = "PersistedQueryNotSupported", ErrorCode.PERSISTED_QUERY_NOT_SUPPORTED
            raise build_refusal(message, code)
        query = self._documents.get(digest or "")
        if query is None or digest is None:
            raise build_refusal("PersistedQueryNotFound", ErrorCode.PERSISTED_QUERY_NOT_FOUND)
        self._documents.move_to_end(digest)
        return query
