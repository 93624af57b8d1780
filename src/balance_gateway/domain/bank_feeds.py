"""Defines bank feeds: the provider's own link to an account's bank, and what it last reported."""

import enum
from dataclasses import dataclass
from datetime import date, datetime

from balance_gateway.domain.accounts import Account, Side
from balance_gateway.domain.calendar_days import today
from balance_gateway.domain.money import Money


class BankFeedState(enum.Enum):
    """The state of a link between a provider and a bank."""

    CONNECTED = "connected"
    SYNCING = "syncing"
    NEEDS_REPAIR = "needs_repair"
    DISCONNECTED = "disconnected"
    UNTRACKED = "untracked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ReportedFigure:
    """The latest bank balance that a provider reports. It belongs to no day.

    Attributes:
        minor_units: the balance in minor units of the account's currency, on the account's normal
            side: a feed is read without asking for the side.
        reported_at: the instant to which the balance belongs; None when it is not returned.
    """

    minor_units: int
    reported_at: datetime | None

    def to_holder_amount(self, side: Side, currency: str) -> Money:
        """Return the balance from the holder's side.

        Args:
            side: the account's normal side.
            currency: the account's currency.
        """
        return Money(self.minor_units * side.holder_sign(), currency)


@dataclass(frozen=True, slots=True)
class BankFeed:
    """A provider's link to an account's bank.

    Attributes:
        state: the state of the link.
        last_synced_at: when the provider last received data from the bank; None when it never
            has, or does not say.
        disconnected_at: since when the link is broken or ended; None while it works, and when the
            provider does not say.
        needs_attention: whether the provider waits for a person to act on the link or the account.
        latest: the latest bank balance; None when the provider has none, or none of use.
        latest_problem: what is wrong with the provider's latest bank balance; None when nothing is.
    """

    state: BankFeedState
    last_synced_at: datetime | None
    disconnected_at: datetime | None
    needs_attention: bool
    latest: ReportedFigure | None
    latest_problem: str | None = None

    def find_sync_for(self, account: Account, day: date) -> datetime | None:
        """Return the last sync as the source of a day's figures; None for a day before it.

        The provider may have read the bank's data of an earlier day at any time.

        Args:
            account: the account; its time zone decides the day of the sync.
            day: the day of the figures.
        """
        if self.last_synced_at is None:
            return None
        try:
            synced_on = today(self.last_synced_at, account.time_zone)
        except OverflowError:
            # No usable day is near an end of the calendar.
            return None
        return self.last_synced_at if day >= synced_on else None
