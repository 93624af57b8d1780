"""The TLS settings of outbound connections."""

import functools
import ssl
from pathlib import Path

import certifi


@functools.cache
def verified_ssl_context() -> ssl.SSLContext:
    """Return the shared TLS settings: certifi's CAs, host name check, HTTP/1.1 offered."""
    return build_ssl_context()


def build_ssl_context(
    ca_file: Path | None = None, client_cert: Path | None = None, client_key: Path | None = None
) -> ssl.SSLContext:
    """Build TLS settings; certificates and host names are always verified.

    Args:
        ca_file: PEM file with CAs that are trusted besides certifi's.
        client_cert: PEM file with the certificate that a server may ask for.
        client_key: PEM file with its private key; None if it is in ``client_cert``.

    Raises:
        OSError: A file cannot be read, or has other contents.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    if client_cert is not None:
        context.load_cert_chain(client_cert, client_key)
    return context
