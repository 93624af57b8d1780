"""Records what a response depends on while graphql-core executes its operation.

A response is kept for equal requests only if everything that it was made from has been recorded
here, so whatever reaches the use cases in another way forbids it; see ``RequestContext.gateway``.
"""

from datetime import datetime, timedelta
from typing import Any

from balance_gateway.ports.cache_validity import Validity
from balance_gateway.ports.reads import BalanceRequest, FreshnessState, Observed

_NEVER_EXPIRES_S = float("inf")


class Dependencies:
    """What a response depends on.

    Attributes:
        valid_until_s: until when it stays the same, in seconds since 1970; 0: do not keep it.
        validities: each must be valid.
        shows_principal: whether it is about the caller, not only about the rights.
    """

    def __init__(self) -> None:
        self.valid_until_s = _NEVER_EXPIRES_S
        self.validities: list[Validity] = []
        self.shows_principal = False

    def forbid_keeping(self) -> None:
        """Note that the next equal request may get another response."""
        self.valid_until_s = 0.0

    def expire_at(self, until_s: float) -> None:
        """Limit the validity of the response to an instant in seconds since 1970."""
        self.valid_until_s = min(self.valid_until_s, until_s)

    def add_validity(self, validity: Validity | None) -> None:
        """Record a validity; None: the response must not be kept."""
        if validity is None:
            self.forbid_keeping()
        else:
            self.validities.append(validity)

    def add_result(self, key: Any, result: Any, now: datetime) -> None:
        """Record a value that was read.

        Args:
            key: what was asked for.
            result: the observed value, or anything else, which forbids keeping.
            now: the instant of the request, at which the age of the value is shown.
        """
        terms = result.cache_terms if isinstance(result, Observed) else None
        # A live value is in the state CACHED the next time.
        if terms is None or result.state is not FreshnessState.CACHED:
            self.forbid_keeping()
            return
        self.validities.append(terms.validity)
        age_s = int((now - result.observed_at).total_seconds())
        self.expire_at((result.observed_at + timedelta(seconds=age_s + 1)).timestamp())
        self.expire_at(terms.until_s)
        if isinstance(key, BalanceRequest) and key.max_age_s is not None:
            self.expire_at(result.observed_at.timestamp() + key.max_age_s)
