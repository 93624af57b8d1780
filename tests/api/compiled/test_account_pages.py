"""Pages are written in blocks; the histories compare them with graphql-core's."""

from typing import Any

import pytest

from balance_gateway.api.compiled import account_pages
from balance_gateway.api.compiled.account_blocks import AccountBlock, HashedText, hash_parts
from balance_gateway.api.schema.connection import encode_cursor
from tests.api.compiled.random_history import (
    ADMIN,
    FOREIGN_READER,
    History,
    without_early_refresh,
)
from tests.api.compiled.whole_gateway import SentRequest, WholeGateway, open_worlds

PAGE = "{ bankAccounts(first: 50) { nodes { id balance { asOf ledger { minorUnits } } } } }"
READ = '{ bankAccount(id: "%s") { balance(maxAgeSeconds: 0) { asOf } } }'


async def send(world: WholeGateway, query: str) -> bytes:
    return (await world.send(world.compiled, SentRequest(query, {}, ADMIN))).body


def get_blocks(world: WholeGateway) -> list[AccountBlock]:
    kept = world.compiled._kept_parts
    assert kept is not None
    [table] = kept.account_blocks._tables.values()
    return list(table.values())


async def test_after_a_change_of_one_account_one_block_is_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(account_pages, "BLOCK_SIZE", 3)
    async with open_worlds(1) as (world,):
        before = await send(world, PAGE)
        kept = get_blocks(world)
        world.write_outside("a0", 7)
        await send(world, READ % "a0")

        after = await send(world, PAGE)

        changed = [one is not other for one, other in zip(kept, get_blocks(world), strict=True)]
        assert after != before
        # The accounts of a statement file are read each time, and the embedded ledger's have not
        # changed.
        assert changed.count(True) == 1
        assert "a0" in {each.id for each in get_blocks(world)[changed.index(True)].accounts}


#: Of pages with one selection, so that they share their blocks where these have the same accounts.
ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"first": 50},
    {"first": 7},
    {"first": 8},
    {"last": 8},
    {"last": 50},
    {"first": 50, "after": encode_cursor("a1")},
    {"last": 50, "before": encode_cursor("a13")},
    {"first": 50, "orderBy": "NAME"},
    {"first": 50, "orderBy": "ID_DESC"},
    {"first": 50, "filter": {"currencies": ["EUR", "JPY", "KWD"]}},
    {"first": 50, "filter": {"connectors": ["connector:main", "connector:books"]}},
    {"first": 0},
)
VARIED = """query ($first: Int, $last: Int, $after: String, $before: String,
  $orderBy: BankAccountOrder, $filter: BankAccountFilter) {
  bankAccounts(first: $first, last: $last, after: $after, before: $before, orderBy: $orderBy,
    filter: $filter) { nodes { id balance { asOf ledger { amount } freshness { ageSeconds } }
    wrong: balance(maxAgeSeconds: -1) { asOf } } } }"""


async def test_pages_with_other_accounts_or_another_order_are_graphql_cores() -> None:
    with without_early_refresh():
        async with open_worlds(2) as (fast, core):
            history = History(0, fast, core)
            for _ in range(3):
                for arguments in ARGUMENTS:
                    for caller in (ADMIN, FOREIGN_READER):
                        await history.compare(VARIED, arguments, caller, is_post=False)
                await history.apply("values", lambda world: world.write_outside("a1", 5))
                await history.compare(READ % "a1", {}, ADMIN)


def test_the_hash_of_a_page_differs_with_each_part_and_their_order() -> None:
    texts = ([b"[", b"1", b"]"], [b"[", b"2", b"]"], [b"[1", b"", b"]"], [b"1", b"[", b"]"])

    hashes = {hash_parts([first, HashedText(block), last]) for first, block, last in texts}

    assert len(hashes) == len(texts)
    # However the text around a block was cut.
    assert hash_parts([b"[", b"a", HashedText(b"1")]) == hash_parts([b"[a", HashedText(b"1")])
