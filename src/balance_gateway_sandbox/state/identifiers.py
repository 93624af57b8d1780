"""Derive deterministic ids and numbers from labels."""

import hashlib
import uuid
from typing import Final

_BASE57: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def derive_number(*labels: object) -> int:
    """Derive a large number that depends only on the labels."""
    return int.from_bytes(hashlib.sha256(":".join(map(str, labels)).encode()).digest())


def derive_uuid(*labels: object) -> str:
    """Derive a version 4 UUID, as Light and Layer use them."""
    return str(uuid.UUID(int=derive_number(*labels) % 2**128, version=4))


def derive_prefixed_id(prefix: str, *labels: object) -> str:
    """Derive a prefixed id such as `ldg_WQMDNUHpBThYSNh4AprDBo`, as Asset uses them."""
    number = derive_number(prefix, *labels)
    letters = []
    for _ in range(22):
        number, digit = divmod(number, len(_BASE57))
        letters.append(_BASE57[digit])
    return f"{prefix}_{''.join(letters)}"
