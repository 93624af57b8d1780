"""Keeps the joined JSON of accounts that follow each other on a page, while all of it is valid.

``account_pages`` writes pages from these blocks.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from balance_gateway.api.compiled.account_json_cache import OBJECT_BYTES, AccountTables
from balance_gateway.api.compiled.field_errors import FieldError
from balance_gateway.api.compiled.holes import ConnectorHoles, Part, estimate_connector_bytes
from balance_gateway.api.compiled.kept_values import StoredValidity
from balance_gateway.domain.accounts import Account
from balance_gateway.ports.cache_validity import LocalCacheVersions, Validity

#: Limit of all blocks together, with an estimate of the memory that they take besides their text.
ACCOUNT_BLOCK_BYTES_MAX = 32_000_000

_BLOCK_OVERHEAD_BYTES = 800
_REFERENCE_BYTES = 8


class HashedText(bytes):
    """A long text, with a hash that is computed once."""

    @cached_property
    def sha256(self) -> bytes:
        """The SHA-256 of the text."""
        return hashlib.sha256(self).digest()


class BlockValidity:
    """The validity of everything in a block that comes from the cache.

    Args:
        validities: each must be valid.
        versions: count the validities that end.
    """

    __slots__ = ("_changes", "_is_valid", "_validities", "_versions")

    def __init__(self, validities: Sequence[Validity], versions: LocalCacheVersions) -> None:
        self._validities = validities
        self._versions = versions
        self._is_valid = True
        self._changes = -1

    @property
    def is_valid(self) -> bool:
        """Whether all validities are valid; they are only looked at after a change of any."""
        changes = self._versions.changes
        if self._changes != changes and self._is_valid:
            for validity in self._validities:
                if not validity.is_valid:
                    self._is_valid = False
                    break
            self._changes = changes
        return self._is_valid

    def __len__(self) -> int:
        return len(self._validities)


@dataclass(frozen=True, slots=True)
class AccountBlock:
    """The joined JSON of some accounts, and the conditions of its validity.

    Attributes:
        accounts: in the order of the text.
        parts: the text with commas between the accounts, and the holes in it.
        errors: errors of fields, with indexes within the block.
        valid_until_s: end of validity, in seconds since 1970.
        validity: the validity of what comes from the cache.
        stored: the validities of what comes from the storage.
        value_count: number of values in the text.
        connectors: the connectors with marks in the text.
    """

    accounts: Sequence[Account]
    parts: Sequence[Part]
    errors: Sequence[FieldError]
    valid_until_s: float
    validity: BlockValidity
    stored: Sequence[StoredValidity]
    value_count: int
    connectors: ConnectorHoles

    @property
    def size_bytes(self) -> int:
        """An estimate of its memory."""
        text_bytes = sum(len(part) for part in self.parts if isinstance(part, bytes))
        references = len(self.accounts) + len(self.validity) + len(self.stored)
        objects = len(self.parts) + 5 * len(self.errors)
        return (
            text_bytes
            + references * _REFERENCE_BYTES
            + objects * OBJECT_BYTES
            + estimate_connector_bytes(self.connectors)
            + _BLOCK_OVERHEAD_BYTES
        )

    def is_valid(self, now_s: float) -> bool:
        """Whether the same text would be written again."""
        return (
            now_s < self.valid_until_s
            and self.validity.is_valid
            and all(each.is_valid for each in self.stored)
        )


def count_validities(validities: Sequence[Validity]) -> int:
    """Count validities, and those in blocks."""
    # A list comprehension: a generator takes three times as long, and most have no block.
    blocks = [len(each) for each in validities if type(each) is BlockValidity]
    return len(validities) + sum(blocks)


def hash_parts(parts: Sequence[Part]) -> str:
    """Return a hash of a text without holes, for which each block is hashed once."""
    hashes: list[bytes] = []
    others: list[bytes] = []
    for part in parts:
        if isinstance(part, HashedText):
            hashes += [b"0", hashlib.sha256(b"".join(others)).digest(), b"1", part.sha256]
            others = []
        else:
            assert isinstance(part, bytes)
            others.append(part)
    hashes += [b"0", hashlib.sha256(b"".join(others)).digest()]
    return hashlib.sha256(b"".join(hashes)).hexdigest()[:32]


AccountBlocks = AccountTables[AccountBlock]
