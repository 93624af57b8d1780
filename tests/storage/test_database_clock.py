"""Leases are judged by the database's time, on every machine."""

import asyncio
from datetime import timedelta

import pytest

from balance_gateway.domain.calendar_days import system_clock
from balance_gateway.ports.write_journal import AccountBusy
from balance_gateway.storage.database import open_database
from balance_gateway.storage.database_clock import DatabaseClock
from balance_gateway.storage.journal import SqlWriteJournal
from tests.storage.test_journal import LEASE_S, make_intent  # noqa: F401


def clock_ahead():
    return system_clock() + timedelta(hours=1)


async def test_a_machine_an_hour_ahead_does_not_end_a_lease(postgresql_url, make_intent):  # noqa: F811
    """Of 8 comparisons of one account, 2 were applied with one replica an hour ahead."""
    database = await open_database(postgresql_url)
    right, ahead = DatabaseClock(database, system_clock), DatabaseClock(database, clock_ahead)
    await right.measure()
    await ahead.measure()
    await SqlWriteJournal(database, right).begin(make_intent(started_at=right()), lease_s=LEASE_S)

    with pytest.raises(AccountBusy):
        await SqlWriteJournal(database, ahead).begin(
            make_intent("w2", started_at=ahead()), lease_s=LEASE_S
        )
    difference_s = abs((right() - ahead()).total_seconds())
    await database.aclose()

    assert difference_s < LEASE_S / 10


async def test_the_time_advances_between_measurements(postgresql_url):
    database = await open_database(postgresql_url)
    clock = DatabaseClock(database, clock_ahead)
    await clock.measure()
    first = clock()
    await asyncio.sleep(0.01)
    second = clock()
    await database.aclose()

    assert first < second < clock_ahead()


async def test_sqlite_has_the_time_of_the_machine(tmp_path):
    database = await open_database(f"sqlite:///{tmp_path}/a.db")
    clock = DatabaseClock(database, clock_ahead)
    await clock.measure()
    await database.aclose()

    assert clock.is_local
    assert clock() > system_clock() + timedelta(minutes=59)
