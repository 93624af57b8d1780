"""Imitate the Light, Asset and Layer APIs over HTTP, based only on their public documentation.

```
HTTP in ─▶ http (log, rate limit, fault) ─▶ light | asset | layer ─▶ state (accounts, tokens)
                                         └▶ control (/_control/…)
```

This package must not import `balance_gateway`. If both sides shared a misreading of a provider's
page, the tests could not detect it.
"""

from balance_gateway_sandbox.app import Sandbox, create_sandbox
from balance_gateway_sandbox.options import Options, RateLimitOptions
from balance_gateway_sandbox.state.catalogue import Account, Catalogue, Credential, build_catalogue

__all__ = [
    "Account",
    "Catalogue",
    "Credential",
    "Options",
    "RateLimitOptions",
    "Sandbox",
    "build_catalogue",
    "create_sandbox",
]
