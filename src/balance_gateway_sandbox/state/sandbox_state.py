"""The state that all handlers share: records, tokens, options and the clock."""

from balance_gateway_sandbox.options import Options
from balance_gateway_sandbox.state.catalogue import Catalogue, build_catalogue
from balance_gateway_sandbox.state.clock import Clock
from balance_gateway_sandbox.state.identifiers import derive_prefixed_id, derive_uuid
from balance_gateway_sandbox.state.records import ProviderRecords
from balance_gateway_sandbox.state.tokens import TokenStore


class SandboxState:
    """What all handlers share.

    Attributes:
        records: The accounts; replaced as a whole on reset.
        options: The switches; replaced as a whole when one changes.
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
        """A UUID not given out before, the same again after a reset."""
        self._ids_issued += 1
        return derive_uuid(self.seed, "made", self._ids_issued)

    def new_id(self, prefix: str) -> str:
        """A prefixed id not given out before, the same again after a reset."""
        self._ids_issued += 1
        return derive_prefixed_id(prefix, self.seed, "made", self._ids_issued)

    def restore(self, records: ProviderRecords) -> None:
        """Start over with seeded records; tokens already issued stay valid."""
        self.records = records
        self._ids_issued = 0
