"""Normal sides are remembered by remote account, beyond a process and a change of ids."""

from datetime import datetime

import pytest
from sqlalchemy import text

from balance_gateway.domain.accounts import Side
from balance_gateway.storage.sides import SqlSideStore

REMOTE_ACCOUNTS = {"acct_card": "layer:a", "acct_card_again": "layer:a", "acct_other": "layer:b"}


def name_remote_account(account):
    return REMOTE_ACCOUNTS[account.id]


@pytest.fixture
def sides(database, clock):
    return SqlSideStore(database, name_remote_account, clock)


async def test_a_side_is_found_under_every_id_of_its_remote_account(sides, make_account):
    await sides.remember_side(make_account("acct_card"), Side.CREDIT)

    found = [await sides.find_side(make_account(one)) for one in REMOTE_ACCOUNTS]

    assert found == [Side.CREDIT, Side.CREDIT, None]


async def test_the_side_that_was_learned_last_counts(sides, other_database, make_account):
    card = make_account("acct_card")
    await sides.remember_side(card, Side.CREDIT)
    await sides.remember_side(card, Side.DEBIT)

    restarted = SqlSideStore(other_database, name_remote_account)

    assert await restarted.find_side(card) is Side.DEBIT


async def test_an_unreadable_or_unreachable_side_is_not_remembered(
    sides, database, make_account, caplog
):
    card = make_account("acct_card")
    await sides.remember_side(card, Side.CREDIT)
    async with database.write_transaction() as connection:
        await connection.execute(text("UPDATE normal_sides SET side = 'both'"))
    unreadable = await sides.find_side(card)
    async with database.write_transaction() as connection:
        await connection.execute(text("DROP TABLE normal_sides"))

    await sides.remember_side(card, Side.CREDIT)

    assert (unreadable, await sides.find_side(card)) == (None, None)
    events = [one.message for one in caplog.records if one.message.startswith("side.")]
    assert events == ["side.not_remembered", "side.not_found"]


async def test_a_side_that_is_stored_already_costs_no_write(sides, database, make_account, clock):
    card = make_account("acct_card")
    await sides.remember_side(card, Side.CREDIT)
    first = clock()
    clock.advance(60)

    await sides.remember_side(card, Side.CREDIT)

    async with database.read_transaction() as connection:
        learned_at = await connection.scalar(text("SELECT learned_at FROM normal_sides"))
    assert datetime.fromisoformat(learned_at) == first
