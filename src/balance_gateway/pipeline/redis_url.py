"""Parses the URL of Redis or Valkey with the parameters of redis-py.

redis-py passes any parameter on to its connections, where an unknown one fails at the first
command and ``decode_responses`` changes every value. So they are checked here, by name.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_ESCAPES = "in a password, write @ as %40, / as %2F, ? as %3F and # as %23"

#: ``ssl_cert_reqs`` in redis-py's words and in Python's.
_CERT_REQS = {
    **{word: word for word in ("required", "optional", "none")},
    **{f"CERT_{word.upper()}": word for word in ("required", "optional", "none")},
}
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


class RedisUrlError(ValueError):
    """The URL is invalid; the text is one line that names the parameter and shows no secret."""


def parse_redis_url(text: str) -> dict[str, Any]:
    """Parse a URL to the arguments of a redis-py connection pool.

    Args:
        text: ``redis://user:password@host:port/db``, ``rediss://…`` with TLS, or
            ``unix:///path/to/socket``, each with parameters.

    Raises:
        RedisUrlError: the URL is malformed, or a parameter is unknown or has an invalid value.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise RedisUrlError(f"cache.url is not a valid URL; {_ESCAPES}") from None
    # A "?" or "#" of the password ended the host: the rest is part of the password.
    if parts.fragment or "@" in parts.query:
        raise RedisUrlError(f"cache.url is not a valid URL; {_ESCAPES}")
    _check_path(parts)
    parameters = _parse_parameters(parts)
    # Imported here: most commands read a configuration and use no cache.
    from redis.asyncio.connection import parse_url  # noqa: PLC0415

    arguments: dict[str, Any] = dict(parse_url(parts._replace(query="").geturl()))
    return arguments | parameters


def _check_path(parts: SplitResult) -> None:
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path.strip("/"):
            raise RedisUrlError("cache.url must be unix:///path/to/socket, with three slashes")
    elif not re.fullmatch(r"/?[0-9]{0,6}", unquote(parts.path)):
        raise RedisUrlError("cache.url: the path must be the number of a database, such as /0")


def _parse_parameters(parts: SplitResult) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _PARSERS:
            raise RedisUrlError(_describe_unknown(name, parts.query))
        if name in parameters:
            raise RedisUrlError(f"cache.url: {name} must be given once")
        if name.startswith("ssl_") and parts.scheme != "rediss":
            raise RedisUrlError(f"cache.url: {name} needs TLS; begin the URL with rediss://")
        try:
            parameters[name] = _PARSERS[name](value)
        except ValueError as error:
            raise RedisUrlError(f"cache.url: {name} {error}") from None
    if "ssl_keyfile" in parameters and "ssl_certfile" not in parameters:
        raise RedisUrlError("cache.url: ssl_keyfile needs ssl_certfile, the key's certificate")
    # The gateway reads bytes: false is what it does without the parameter.
    parameters.pop("decode_responses", None)
    return parameters


def _describe_unknown(name: str, query: str) -> str:
    # The rest of a password with "&" looks like a name.
    is_plain = re.fullmatch(r"[A-Za-z_]{1,40}", name) and "password" not in query
    known = ", ".join(_PARSERS)
    return f"cache.url: {name if is_plain else 'a parameter'} is not supported; known: {known}"


def _parse_number(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not minimum <= int(value) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(value)

    return parse


def _parse_seconds(value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) or not float(value):
        raise ValueError("must be a number of seconds above 0")
    return float(value)


def _parse_choice(choices: Mapping[str, Any]) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return choices[value]

    return parse


def _parse_boolean(value: str) -> bool:
    return bool(_parse_choice(_BOOLEANS)(value.lower()))


def _parse_text(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,1000}", value):
        raise ValueError("must be printable ASCII characters without spaces")
    return value


def _parse_secret(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _parse_file(value: str) -> str:
    try:
        with Path(value).open("rb"):
            return value
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a valid path"
        raise ValueError(f"cannot be read: {reason}") from None


def _refuse_decoding(value: str) -> bool:
    if _parse_boolean(value):
        raise ValueError("must be false or left out: the gateway reads bytes")
    return False


#: Parses the value of each parameter; a ValueError ends the sentence that begins with its name.
_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "username": _parse_secret,
    "password": _parse_secret,
    "db": _parse_number(0, 999_999),
    "client_name": _parse_text,
    "protocol": _parse_number(2, 3),
    "max_connections": _parse_number(1, 100_000),
    "health_check_interval": _parse_number(0, 86_400),
    "socket_timeout": _parse_seconds,
    "socket_connect_timeout": _parse_seconds,
    "socket_keepalive": _parse_boolean,
    "decode_responses": _refuse_decoding,
    "ssl_cert_reqs": _parse_choice(_CERT_REQS),
    "ssl_check_hostname": _parse_boolean,
    "ssl_ca_certs": _parse_file,
    "ssl_certfile": _parse_file,
    "ssl_keyfile": _parse_file,
}
