"""Light, Asset and Layer imitated over HTTP, from their public pages alone.

```
HTTP in ─▶ exchange (log, rate limit, fault) ─▶ light | asset | layer ─▶ world (books, tokens)
                                             └▶ control (/_control/…)
```

Nothing here imports the gateway: a misreading shared by both would cancel out in the tests.
"""

from balance_gateway_sandbox.app import Sandbox, create_sandbox
from balance_gateway_sandbox.options import Limits, Options
from balance_gateway_sandbox.state.catalogue import Account, Catalogue, Credential, catalogue

__all__ = [
    "Account",
    "Catalogue",
    "Credential",
    "Limits",
    "Options",
    "Sandbox",
    "catalogue",
    "create_sandbox",
]
