"""The TLS settings of outbound connections."""

import functools
import ssl

import certifi


@functools.cache
def verified_ssl_context() -> ssl.SSLContext:
    """Return the shared TLS settings: certifi's CAs, host name check, HTTP/1.1 offered."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
