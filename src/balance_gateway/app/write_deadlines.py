"""Derive the time limits of writes, and how long fences and journal leases must last."""

from balance_gateway.config.settings import Settings
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S
from balance_gateway.service.write_execution import WriteDeadlines

#: Time limit for reading a write back, and for reading the previous value.
READ_BACK_S = 5.0

#: Time that a write may take in addition to its connector's ``timeout_s``. So a hanging call ends
#: by its own timeout, which reports whether anything was sent and counts as a provider failure. A
#: call that is cancelled by the write's deadline did not get its full time, because it waited first
#: (for the call gate or another call of the write); it says nothing about the provider.
SLACK_S = 2.0

#: Time limit from recording a write as begun until it is sent: a comparison, and raising the fence.
PREPARE_S = READ_BACK_S + 3.0


def build_write_deadlines(settings: Settings) -> WriteDeadlines:
    """Build the time limits of writes."""
    return WriteDeadlines(
        deadline_s={
            connector.name: connector.settings.timeout_s + SLACK_S
            for connector in settings.connectors
        },
        read_back_s=READ_BACK_S,
        prepare_s=PREPARE_S,
        # The lease must outlast all steps of a write, including the recording of its outcome.
        lease_s=PREPARE_S + _compute_send_limit_s(settings) + READ_BACK_S + 5.0,
    )


def compute_hold_s(settings: Settings) -> float:
    """Return how long, in seconds, a write holds its fence.

    This is until the write can no longer take effect, or until it is read back if that is later.
    """
    # Redis holds the fence from when it gets the command; the write is sent after the response.
    after_s = max(settings.cache.late_landing_s, READ_BACK_S)
    return COMMAND_TIMEOUT_S + _compute_send_limit_s(settings) + after_s


def compute_effect_window_s(settings: Settings) -> float:
    """Return how long, in seconds, after being recorded as begun a write may take effect."""
    return PREPARE_S + compute_hold_s(settings)


def _compute_send_limit_s(settings: Settings) -> float:
    """Return the longest deadline for sending a write, over all connectors."""
    # Never less than before a reload: a write that began then keeps its deadline.
    timeouts = [connector.settings.timeout_s for connector in settings.connectors]
    return max([settings.former_timeout_s, *timeouts]) + SLACK_S
