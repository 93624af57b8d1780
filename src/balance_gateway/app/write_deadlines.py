"""How long a write takes at most, step by step, and what follows from it for fence and journal."""

from balance_gateway.config.settings import Settings
from balance_gateway.pipeline.redis_client import COMMAND_TIMEOUT_S
from balance_gateway.service.write_execution import WriteDeadlines

#: For reading a write back, and for reading what stood before it.
READ_BACK_S = 5.0

#: How much longer a write is waited for than its connector's ``timeout_s``: a call that hangs ends
#: by its own timeout, which tells whether anything left, and counts against its provider. One
#: that is cut off here has waited before (for a place, for another call of the write), did not get
#: its time, and says nothing of the provider.
SLACK_S = 2.0

#: From recording a write as begun until it is sent: comparing once more, and raising the fence.
PREPARE_S = READ_BACK_S + 3.0


def build_write_deadlines(settings: Settings) -> WriteDeadlines:
    """The time limits of writes."""
    return WriteDeadlines(
        deadline_s={one.name: one.timeout_s + SLACK_S for one in settings.connectors},
        read_back_s=READ_BACK_S,
        prepare_s=PREPARE_S,
        # The lease outlasts a write and everything around it, its outcome's recording included.
        lease_s=PREPARE_S + _longest_s(settings) + READ_BACK_S + 5.0,
    )


def compute_hold_s(settings: Settings) -> float:
    """How long a write holds its fence: until it has landed, and is read back if that is later.

    The fence is held from when Redis has it, and the write sent when its answer is here.
    """
    after_s = max(settings.cache.late_landing_s, READ_BACK_S)
    return COMMAND_TIMEOUT_S + _longest_s(settings) + after_s


def compute_landing_window_s(settings: Settings) -> float:
    """How long after it was recorded as begun a write may still land."""
    return PREPARE_S + compute_hold_s(settings)


def _longest_s(settings: Settings) -> float:
    """The longest deadline of sending a write."""
    return max((one.timeout_s for one in settings.connectors), default=0.0) + SLACK_S
