"""Make API keys, and store secrets in files that only their owner can read."""

import os
import secrets
from pathlib import Path

#: Random bytes of a key: 256 bits, 43 characters after the prefix.
_KEY_BYTES = 32


def generate_api_key() -> str:
    """Return a new API key."""
    # With the prefix a key never begins with a hyphen, which a command would take for an option.
    return f"bg_{secrets.token_urlsafe(_KEY_BYTES)}"


def write_new_secret(path: Path, text: str) -> None:
    """Write a secret to a new file with the mode 0600, complete or not at all.

    Raises:
        FileExistsError: the file exists; it is not touched.
        OSError: the file cannot be written.
    """
    # Created with its mode: the secret is at no time readable by others.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
