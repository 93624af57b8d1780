"""Hold the state shared by all request handlers."""

from balance_gateway_sandbox.options import Options
from balance_gateway_sandbox.state.catalogue import Catalogue, build_catalogue
from balance_gateway_sandbox.state.clock import Clock
from balance_gateway_sandbox.state.identifiers import derive_prefixed_id, derive_uuid
from balance_gateway_sandbox.state.records import ProviderRecords
from balance_gateway_sandbox.state.tokens import TokenStore


class SandboxState:
    """The state shared by all request handlers.

    Attributes:
        records: The provider records. A reset replaces them as a whole.
        options: The options. A change replaces them as a whole.
    """

    def __init__(self, seed: int, clock: Clock, options: Options, records: ProviderRecords) -> None:
        self.seed = seed
        self.clock = clock
        self.options = options
        self.records = records
        self.catalogue: Catalogue = build_catalogue(seed)
        self.tokens = TokenStore(clock)
        self._ids_issued = 0

    def new_uuid(self) -> str:
        """Return an unused UUID. The sequence restarts after a reset."""
        self._ids_issued += 1
        return derive_uuid(self.seed, "made", self._ids_issued)

    def new_id(self, prefix: str) -> str:
        """Return an unused prefixed id. The sequence restarts after a reset."""
        self._ids_issued += 1
        return derive_prefixed_id(prefix, self.seed, "made", self._ids_issued)

    def restore(self, records: ProviderRecords) -> None:
        """Replace all records with seeded ones. Issued tokens remain valid."""
        self.records = records
        self._ids_issued = 0
