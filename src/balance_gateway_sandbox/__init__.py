"""Light, Asset and Layer imitated over HTTP, from their public pages alone.

```
HTTP in ─▶ exchange (log, rate limit, fault) ─▶ light | asset | layer ─▶ state (books, tokens)
                                             └▶ control (/_control/…)
```

Nothing here imports the gateway: a misreading shared by both would cancel out in the tests.
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
