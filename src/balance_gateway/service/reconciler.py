"""Settles uncertain writes: by reads, by later writes, in the background, or for a person.

An uncertain write is *unsettled* until it is proved, disproved, superseded, or settled by a
person. Its *hold* is the time from its recorded start within which it may take effect. Within the
hold a read can only prove it; a read that began after the hold decides. A later write supersedes it
only if that write began after the hold: the uncertain one could otherwise land on top of it.

Settlement never lowers the fence of the write: it expires by itself when the hold ends.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalance, OpeningBalanceSource
from balance_gateway.domain.calendar_days import Clock
from balance_gateway.domain.errors import BadInput, GatewayError, WriteUnsettled
from balance_gateway.domain.writes import (
    SettledBy,
    Settlement,
    UnsettledWrite,
    WriteOutcome,
    WriteRecord,
)
from balance_gateway.ports.call_context import Priority, set_call_context
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.reads import WriteFence
from balance_gateway.ports.write_journal import WriteHistory, WriteJournal, WriteSettlements
from balance_gateway.service.directory import Directory
from balance_gateway.service.settlement import (
    NOT_APPLIED_BY_HAND,
    as_applied,
    as_not_applied,
    as_superseded,
    can_be_read,
    settle_by_read,
)

logger = logging.getLogger(__name__)

NOTE_LENGTH_MAX = 1000


class Reconciler:
    """Settles unsettled writes; an ``OpeningBalanceObserver``.

    Args:
        directory: looks up accounts.
        sources: the providers by connector name, without the gateway's record in front of them.
        remote_accounts: the remote account of each account, by account id.
        fence: drops the cached values that a settlement changes.
        journal: has the last applied write of a remote account.
        settlements: the unsettled writes.
        history: looks up a write.
        clock: returns the current instant.
        hold_s: the time after its recorded start within which a write may take effect.
        read_timeout_s: limit of one read.
        on_settled: called with the connector of a settled write and how it was settled.
        on_count: called with the number of unsettled writes.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        sources: Mapping[str, BalanceProvider],
        remote_accounts: Mapping[str, str],
        fence: WriteFence,
        journal: WriteJournal,
        settlements: WriteSettlements,
        history: WriteHistory,
        clock: Clock,
        hold_s: float,
        read_timeout_s: float,
        on_settled: Callable[[str, str], object] = lambda _connector, _how: None,
        on_count: Callable[[int], object] = lambda _count: None,
    ) -> None:
        self._directory = directory
        self._sources = sources
        self._remote_accounts = remote_accounts
        self._fence = fence
        self._journal = journal
        self._settlements = settlements
        self._history = history
        self._clock = clock
        self._hold = timedelta(seconds=hold_s)
        self._read_timeout_s = read_timeout_s
        self._on_settled = on_settled
        self._on_count = on_count
        # The remote accounts that this process knows to have unsettled writes.
        self._doubtful: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, record: WriteRecord) -> None:
        """Take note of a write that has become uncertain, before the next round finds it."""
        self._doubtful.add(record.intent.remote_account)

    def observe(self, account: Account, found: OpeningBalance | None, began_at: datetime) -> None:
        """Settle the writes that an ordinary read decides, in the background.

        What was observed is a hint: the account is read again, because a write may have been
        applied since.
        """
        remote_account = self._remote_accounts[account.id]
        if remote_account not in self._doubtful:
            return
        task = asyncio.get_running_loop().create_task(
            self._settle_observed(remote_account, found, began_at)
        )
        # The event loop holds only weak references to tasks.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle_all(self) -> None:
        """Settle what can be settled of all unsettled writes; one round of the background work."""
        set_call_context(priority=Priority.BACKGROUND, max_wait_s=0.0)
        records = await self._settlements.unsettled()
        self._doubtful = {record.intent.remote_account for record in records}
        settled = 0
        for record in records:
            try:
                settled += await self._settle(record)
            except GatewayError:
                # The next round tries again.
                logger.info("write.not_settled", extra={"write_id": record.intent.id})
            except Exception:
                logger.exception("write.settlement_failed", extra={"write_id": record.intent.id})
        self._on_count(len(records) - settled)

    async def run(self, interval_s: float) -> None:
        """Settle what can be settled, at once and then again and again."""
        while True:
            try:
                # In a task of its own, so that its priority ends with it.
                await asyncio.get_running_loop().create_task(self.settle_all())
            except Exception:
                logger.exception("write.settlement_failed")
            await asyncio.sleep(interval_s)

    async def drain(self) -> None:
        """Wait until every observed read has been used."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def require_settled(self, remote_account: str) -> None:
        """Check that no write of a remote account is unsettled, for compare-and-set.

        Raises:
            WriteUnsettled: one is; it may be of another account, or of another tenant.
            JournalUnavailable: the journal could not be read.
        """
        records = await self._settlements.unsettled_of([remote_account])
        if not records:
            return
        latest = max(record.intent.started_at for record in records)
        wait_s = (latest + self._hold - self._clock()).total_seconds()
        raise WriteUnsettled(
            "An earlier write of this account may or may not have been applied, so expectedPrevious"
            " cannot be checked. Nothing was sent. Settle that write, or try again later.",
            field="expectedPrevious",
            retry_after_s=wait_s if wait_s > 0 else None,
        )

    async def find_unsettled(
        self, accounts: Sequence[Account]
    ) -> Mapping[str, UnsettledWrite | WriteRecord]:
        """Return the unsettled write of each account that has one, by account id.

        Returns:
            The newest of the account's tenant; or, when only other tenants have one, what may be
            known of theirs.
        """
        names = {self._remote_accounts[account.id] for account in accounts}
        by_remote: dict[str, list[WriteRecord]] = {}
        for record in await self._settlements.unsettled_of(names):
            by_remote.setdefault(record.intent.remote_account, []).append(record)
        found: dict[str, UnsettledWrite | WriteRecord] = {}
        for account in accounts:
            records = by_remote.get(self._remote_accounts[account.id], [])
            own = [record for record in records if record.intent.tenant == account.tenant]
            if own:
                found[account.id] = own[-1]
            elif records:
                intent = records[-1].intent
                found[account.id] = UnsettledWrite(
                    intent.id, intent.tenant, intent.account_id, intent.started_at
                )
        return found

    async def settle_by_hand(
        self, principal: Principal, write_id: str, *, applied: bool, note: str
    ) -> WriteRecord:
        """Settle a write of the caller's tenant as the caller found it at the provider.

        Args:
            principal: the caller.
            write_id: the id of the write.
            applied: whether the provider has the opening balance of the write now.
            note: the caller's reason, for the audit log; 1 to 1,000 characters.

        Raises:
            Forbidden: the caller lacks the scope balances:write.
            BadInput: there is no such write, it needs no settlement, or the note is invalid.
            WriteUnsettled: the write has no outcome yet, or the account changed meanwhile.
            CacheUnavailable: the shared cache is unavailable; nothing was recorded.
            JournalUnavailable: the journal is unavailable.
        """
        principal.require(Scope.BALANCES_WRITE)
        _check_note(note)
        record = await self._history.by_id(principal.tenant, write_id)
        if record is None:
            raise BadInput("There is no such write.", field="writeId")
        if record.outcome is WriteOutcome.STARTED:
            raise WriteUnsettled("The write is still in progress; try again.", field="writeId")
        settlement = Settlement(SettledBy.PERSON, self._clock(), principal.name, note)
        if applied:
            intent = record.intent
            value = OpeningBalance(
                intent.amount, intent.effective_at, OpeningBalanceSource.RECORDED_BY_GATEWAY
            )
            settled = as_applied(record, value, settlement, verified=False)
        else:
            settled = as_not_applied(record, settlement, NOT_APPLIED_BY_HAND)
        if not record.is_unsettled:
            raise BadInput("The write is settled already.", field="writeId")
        last = await self._journal.last_applied(record.intent.remote_account)
        if not await self._record(settled, last):
            message = "The write was settled, or another one applied, in the meantime; try again."
            raise WriteUnsettled(message, field="writeId")
        return settled

    async def supersede(self, applied: WriteRecord) -> None:
        """Settle the writes that a newly applied write superseded; never raises."""
        try:
            for record in await self._settlements.unsettled_of([applied.intent.remote_account]):
                await self._settle_if_superseded(record, applied)
        except Exception:
            # The background work tries again.
            logger.exception("write.settlement_failed")

    async def _settle_if_superseded(self, record: WriteRecord, later: WriteRecord | None) -> bool:
        if later is None or later.intent.started_at < self._get_hold_end(record):
            return False
        return await self._record(as_superseded(record, later, self._clock()), later)

    async def _settle(self, record: WriteRecord) -> bool:
        last = await self._journal.last_applied(record.intent.remote_account)
        if await self._settle_if_superseded(record, last):
            return True
        account = self._directory.find_account(record.intent.tenant, record.intent.account_id)
        source = None if account is None else self._sources.get(account.connector)
        if account is None or source is None or not can_be_read(account, source):
            return False
        began_at = self._clock()
        try:
            async with asyncio.timeout(self._read_timeout_s):
                found = await source.opening_balance(account)
        except TimeoutError:
            return False
        settled = self._judge(record, found, began_at)
        return settled is not None and await self._record(settled, last)

    async def _settle_observed(
        self, remote_account: str, found: OpeningBalance | None, began_at: datetime
    ) -> None:
        try:
            for record in await self._settlements.unsettled_of([remote_account]):
                if self._judge(record, found, began_at) is not None:
                    await self._settle(record)
        except Exception:
            logger.exception("write.settlement_failed")

    def _judge(
        self, record: WriteRecord, found: OpeningBalance | None, began_at: datetime
    ) -> WriteRecord | None:
        return settle_by_read(
            record,
            found,
            began_at=began_at,
            hold_ends_at=self._get_hold_end(record),
            now=self._clock(),
        )

    async def _record(self, settled: WriteRecord, last: WriteRecord | None) -> bool:
        """Record a settlement; False when the write was settled, or one applied, meanwhile."""
        intent, settlement = settled.intent, settled.settlement
        assert settlement is not None
        account = self._directory.find_account(intent.tenant, intent.account_id)
        # Recorded opening balances change with it: cached ones must not outlive it.
        changes_record = settled.outcome is WriteOutcome.APPLIED and account is not None
        fence_id = f"{intent.id}:settled"
        if changes_record and account is not None:
            await self._fence.begin_write(account, fence_id)
        try:
            is_recorded = await self._settlements.settle(settled, last=last)
        finally:
            if changes_record and account is not None:
                await self._fence.end_write(account, fence_id)
        if is_recorded:
            how = settlement.how.value
            extra = {"write_id": intent.id, "account_id": intent.account_id, "how": how}
            logger.info("write.settled", extra={**extra, "connector": intent.connector})
            self._on_settled(intent.connector, how)
        return is_recorded

    def _get_hold_end(self, record: WriteRecord) -> datetime:
        return record.intent.started_at + self._hold


def _check_note(note: str) -> None:
    if not 1 <= len(note.strip()) <= len(note) <= NOTE_LENGTH_MAX:
        message = f"note must have 1 to {NOTE_LENGTH_MAX} characters, not only white space."
        raise BadInput(message, field="note")
    # Databases reject NUL characters and unpaired surrogates.
    if "\0" in note or any("\ud800" <= character <= "\udfff" for character in note):
        raise BadInput("note contains a character that cannot be stored; remove it.", field="note")
