"""Count failed credentials per client address, and throttle an address that fails too often.

A credential is looked up before its address is regarded: the right one works from every address at
any time, since many users may share an address with an attacker.
"""

import ipaddress
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from starlette.types import Scope

from balance_gateway.domain.errors import ErrorCode
from balance_gateway.web.occasional_log import OccasionalLog
from balance_gateway.web.request_parsing import BadRequest

logger = logging.getLogger(__name__)

#: Failures that an address may have at once, and the seconds after which it may have another one.
FAILURES_MAX = 60
REFILL_S = 1.0
#: Maximum number of addresses that are counted; the one with the oldest failure is dropped first.
ADDRESSES_MAX = 10_000
#: Maximum number of proxies that are looked at in X-Forwarded-For, from the last.
_PROXIES_MAX = 20

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class FailedCredentials:
    """Counts failed credentials.

    Args:
        trusted_proxies: the networks of proxies with a believed ``X-Forwarded-For``.
        on_failure: called for each failure with ``refused`` or ``throttled``.
        monotonic_s: returns monotonic time in seconds.
    """

    def __init__(
        self,
        trusted_proxies: Sequence[str] = (),
        on_failure: Callable[[str], object] = lambda _outcome: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trusted = [ipaddress.ip_network(network) for network in trusted_proxies]
        self._on_failure = on_failure
        self._monotonic_s = monotonic_s
        self._log = OccasionalLog(logger, monotonic_s)
        # The time at which all failures of an address are forgotten.
        self._forgotten_s: OrderedDict[str, float] = OrderedDict()

    def count(self, scope: Scope, headers: Mapping[bytes, bytes]) -> int | None:
        """Count a failure.

        Args:
            scope: the ASGI scope of the request.
            headers: its headers by lower-case name.

        Returns:
            The seconds after which the address may try again; None if it is not throttled.
        """
        client = scope.get("client")
        forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
        address = find_client_address(client[0] if client else "", forwarded, self._trusted)
        self._log.warn("credential.refused", address=address)
        now_s = self._monotonic_s()
        forgotten_s = max(self._forgotten_s.get(address, now_s), now_s) + REFILL_S
        wait_s = forgotten_s - now_s - FAILURES_MAX * REFILL_S
        if wait_s > 0:
            self._on_failure("throttled")
            return math.ceil(wait_s)
        self._on_failure("refused")
        self._forgotten_s[address] = forgotten_s
        self._forgotten_s.move_to_end(address)
        if len(self._forgotten_s) > ADDRESSES_MAX:
            self._forgotten_s.popitem(last=False)
        return None


def build_throttle_error(retry_after_s: int) -> BadRequest:
    """Build the error of a request from an address that is throttled for some seconds."""
    message = f"Too many wrong credentials; retry later (Retry-After: {retry_after_s} s)."
    headers = ((b"retry-after", b"%d" % retry_after_s),)
    return BadRequest(429, message, headers, ErrorCode.TOO_MANY_REQUESTS)


def find_client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return the address under which a client's failures are counted.

    Args:
        peer: the address of the connection; empty if unknown.
        forwarded_for: the value of X-Forwarded-For; empty without it.
        trusted: the networks of proxies. The last address of the header that is not in them is the
            client's: whatever is before it may be made up.

    Returns:
        An IPv4 address, or the network /64 of an IPv6 address, which one client has to itself.
    """
    address = _parse_address(peer)
    if address is None:
        return peer
    for item in reversed(forwarded_for.split(",")[-_PROXIES_MAX:]):
        if not _is_in(address, trusted):
            break
        before = _parse_address(item.strip())
        if before is None:
            break
        address = before
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _parse_address(text: str) -> Address | None:
    """Parse an address, which some proxies send with a port; None if it is none."""
    host = text.partition("]")[0].removeprefix("[")
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
