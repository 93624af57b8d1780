"""Light, Asset and Layer imitated over HTTP, from their public pages alone.

```
HTTP in ─▶ exchange (log, rate limit, fault) ─▶ light | asset | layer ─▶ world (books, tokens)
                                             └▶ control (/_control/…)
```

Nothing here imports the gateway: a misreading shared by both would cancel out in the tests.
"""

from balance_gateway.sandbox.app import Sandbox, create_sandbox
from balance_gateway.sandbox.catalogue import Account, Catalogue, Credential, catalogue
from balance_gateway.sandbox.options import Limits, Options

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
