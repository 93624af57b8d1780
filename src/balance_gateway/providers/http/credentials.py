"""Keep a connector's secrets, and read them again when the provider rejects them."""

import time
from collections.abc import Callable

from balance_gateway.domain.secret import Secret

#: The shortest time in seconds between two times that the secrets are read again.
REREAD_PAUSE_S = 3.0


class Credentials:
    """The secrets of one connector.

    Attributes:
        secrets: the secrets as they were read last.

    Args:
        secrets: the configured secrets.
        monotonic: returns the time of a monotonic clock, in seconds.
    """

    def __init__(self, *secrets: Secret, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.secrets = secrets
        self._monotonic = monotonic
        self._not_before_s = monotonic()

    def reread(self) -> bool:
        """Read the secrets again, at most once in ``REREAD_PAUSE_S``; return whether one changed.

        Call it when the provider rejects them: whoever rotates a secret replaces its file.
        """
        now_s = self._monotonic()
        if now_s < self._not_before_s:
            return False
        self._not_before_s = now_s + REREAD_PAUSE_S
        former, self.secrets = self.secrets, tuple(one.reread() for one in self.secrets)
        return former != self.secrets
