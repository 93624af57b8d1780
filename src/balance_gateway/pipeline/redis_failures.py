"""Says why Redis failed, for operators: in the log, in ``check`` and at ``/readyz``."""

import re
import ssl
from collections.abc import Iterator, Mapping

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from balance_gateway.domain.errors import CacheUnavailable

#: What the code in Redis's own error means.
_ERRORS = {
    "NOAUTH": "Redis requires a password; put it into cache.url",
    "WRONGPASS": "Redis refuses the user name or the password of cache.url",
    "NOPERM": "the Redis user of cache.url may not run a command that the gateway needs",
    "READONLY": "Redis is a read-only replica; cache.url must name the primary",
    "OOM": "Redis is full; raise maxmemory",
    "MISCONF": "Redis cannot save its data and refuses writes",
    "LOADING": "Redis is loading its data",
    "DENIED": "Redis is in protected mode; set a password and put it into cache.url",
}
_CODE = re.compile(rf"\b({'|'.join(_ERRORS)})\b")

#: What Redis and Valkey say when a script runs a command that its user may not run.
_SCRIPT_NOT_PERMITTED = ("executing the script can't run this command", "ACL failure in script")

_CLASSES: Mapping[type[RedisError], str] = {
    BusyLoadingError: "LOADING",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
}


class RedisUnavailable(CacheUnavailable):
    """Redis did not answer, or answered with an error.

    Attributes:
        reason: why, for operators; without secrets and addresses.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("The shared cache is unreachable.")
        self.reason = reason


def describe_failure(error: BaseException) -> str:
    """Return the reason of a failed command, without secrets and addresses."""
    chain = list(_walk(error))
    for each in chain:
        if isinstance(each, ssl.SSLCertVerificationError):
            # "IP address mismatch, certificate is not valid for '127.0.0.1'." has the address.
            problem = each.verify_message.partition(",")[0]
            return f"the certificate of Redis is not accepted: {problem}"
        if isinstance(each, ssl.SSLError):
            return "Redis does not speak TLS at this address; begin cache.url with redis://"
    for each in chain:
        code = _find_code(each)
        if code is not None:
            return _ERRORS[code]
        if isinstance(each, ResponseError):
            return f"Redis answered with an error ({type(each).__name__})"
    for each in chain:
        if isinstance(each, TimeoutError):
            return "Redis does not answer in time; with rediss:// in cache.url it must speak TLS"
        if isinstance(each, OSError) and each.strerror:
            # "Connect call failed ('127.0.0.1', 6379)" has the address.
            return f"Redis cannot be reached: {each.strerror.partition(' (')[0]}"
    return f"Redis cannot be reached ({type(error).__name__})"


def _find_code(error: BaseException) -> str | None:
    """Return the code in Redis's error, which redis-py drops from the text of some classes."""
    for kind, code in _CLASSES.items():
        if isinstance(error, kind):
            return code
    if isinstance(error, AuthenticationError):
        return "NOAUTH" if "required" in str(error).lower() else "WRONGPASS"
    if not isinstance(error, RedisError):
        return None
    # The error of a script quotes that of its command, but for the code of this one.
    if any(text in str(error) for text in _SCRIPT_NOT_PERMITTED):
        return "NOPERM"
    found = _CODE.search(str(error))
    return found[0] if found else None


def _walk(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes, at most ten."""
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
