"""Tests the CSV import: bad rows are reported by line and column, a file is all or nothing."""

import asyncio
import os
import random
import time
from datetime import UTC, date, datetime

import pytest

from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.balances import BalanceQuery, OpeningBalanceWrite
from balance_gateway.domain.errors import BadInput
from balance_gateway.domain.ledger import Book, ImportResult, Sums
from balance_gateway.domain.money import Money
from balance_gateway.providers.local.csv_import import BadRows, import_entries
from balance_gateway.storage.ledger import SqlLedgerStore

HEADER = "id,book,date,amount,description\n"


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "entries.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


async def sums(store, account):
    (answer,) = await store.sums([BalanceQuery(account, date.max)])
    return answer


async def import_and_get_bad_rows(store, account, path):
    """Return the bad rows as (line, column), after checking that nothing was stored."""
    with pytest.raises(BadRows) as caught:
        await import_entries(store, account, path)
    assert await sums(store, account) == Sums(None, 0, 0)
    for row in caught.value.rows:
        assert str(row) in caught.value.message
    return [(row.line, row.column) for row in caught.value.rows]


async def test_a_valid_file_is_imported(store, account, write):
    path = write(
        HEADER + "a,bank,2026-01-02,-1234.56,Rent\n"
        'b,ledger,2026-01-02,+.5,"a ""quoted"",\nlong text"\n'
        "\n"
        "c,bank,2024-02-29,7,\n"
        f"d,bank,2026-01-02,{10**37}.01,\n"
    )
    progress = []

    result = await import_entries(store, account, path, lambda *both: progress.append(both))

    assert result == ImportResult(added=4, already_there=0)
    assert await sums(store, account) == Sums(None, -123456 + 700 + 10**39 + 1, 50, None, "EUR")
    assert progress[-1] == (path.stat().st_size, path.stat().st_size)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + HEADER + "a,bank,2026-01-02,1.00,Åse\n",
        HEADER.replace("\n", "\r\n") + "a,bank,2026-01-02,1.00,\r\n",
        HEADER + "a,bank,2026-01-02,1.00,",
        "amount,date,id,book\n1,2026-01-02,a,bank\n",
        '"id","book","date","amount"\n"a","bank","2026-01-02","1.00"\n',
        HEADER + " a\u00a0,bank,2026-01-02,1.00,\n",
        HEADER + ",,,,\n , ,,,\n,,\na,bank,2026-01-02,1.00,\n,,,,\n",
        HEADER.replace("\n", "\r") + 'a,bank,2026-01-02,1.00,"two\nlines"\r\r',
        (HEADER + "a,bank,2026-01-02,1.00,Åse\n").encode("utf-16"),
        ("\ufeff" + HEADER + "a,bank,2026-01-02,1.00,Åse\r\n").encode("utf-16-be"),
        (HEADER.replace("\n", "\r") + "a,bank,2026-01-02,1.00,Åse").encode("utf-32"),
    ],
)
async def test_accepted_variants_of_a_valid_file(store, account, write, content):
    assert await import_entries(store, account, write(content)) == ImportResult(1, 0)
    assert (await sums(store, account)).bank == 100


@pytest.mark.parametrize(
    ("currency", "amount", "minor_units"),
    [("JPY", "5", 5), ("JPY", "5.00", 5), ("KWD", "1.234", 1234), ("CLF", "0.0001", 1)],
)
async def test_amounts_are_in_major_units(
    store, make_account, write, currency, amount, minor_units
):
    account = make_account(currency=currency)

    await import_entries(store, account, write(HEADER + f"a,bank,2026-01-02,{amount},\n"))

    assert (await sums(store, account)).bank == minor_units


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (",bank,2026-01-02,1,", "id"),
        ("  ,bank,2026-01-02,1,", "id"),
        ("x" * 201 + ",bank,2026-01-02,1,", "id"),
        ("a\tb,bank,2026-01-02,1,", "id"),
        ("a\x00b,bank,2026-01-02,1,", "id"),
        ("a,cash,2026-01-02,1,", "book"),
        ("a,Bank,2026-01-02,1,", "book"),
        ("a,bank,02.01.2026,1,", "date"),
        ("a,bank,2026-02-30,1,", "date"),
        ("a,bank,20260102,1,", "date"),
        ("a,bank,2026-W01-2,1,", "date"),
        ("a,bank,٢٠٢٦-01-02,1,", "date"),
        ("a,bank,,1,", "date"),
        ("a,bank,2026-01-02,,", "amount"),
        ("a,bank,2026-01-02,1.005,", "amount"),
        ('a,bank,2026-01-02,"1,000.00",', "amount"),
        ("a,bank,2026-01-02,1e3,", "amount"),
        ("a,bank,2026-01-02,NaN,", "amount"),
        ("a,bank,2026-01-02, 1,", "amount"),
        ("a,bank,2026-01-02," + "9" * 1001 + ",", "amount"),
        ("a,bank,2026-01-02,1,a\x00b", "description"),
        ("a,bank,2026-01-02,1," + "x" * 2_001, "description"),
        ("a,bank,2026-01-02,1", ""),
        ("a,bank,2026-01-02,1,,", ""),
        ('a,bank,2026-01-02,1,"open', ""),
        ('a,bank,2026-01-02,1,"a"b', ""),
        ("a,bank,2026-01-02,1,x\ry", ""),
    ],
)
async def test_a_bad_row_is_reported_by_line_and_column(store, account, write, row, column):
    path = write(HEADER + "good,bank,2026-01-02,1,\n" + row + "\n")

    assert await import_and_get_bad_rows(store, account, path) == [(3, column)]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (HEADER.encode() + b"a,bank,2026-01-02,1,\n\xc5se,bank,2026-01-02,1,\n" * 2, 3, "0xC5"),
        (HEADER.encode() + b'a,bank,2026-01-02,1,"two\nl\xefnes"\n', 3, "perhaps Latin-1"),
        (HEADER.encode("utf-16-le"), 1, "UTF-16 without a byte order mark"),
        (HEADER.encode("utf-16-be"), 1, "UTF-16 without a byte order mark"),
        ((HEADER + "a").encode("utf-16") + b"b", 2, "is not UTF-16"),
    ],
)
async def test_an_unknown_encoding_is_reported_once(store, account, write, content, line, message):
    """It was reported as a control character, in up to 20 lines."""
    path = write(content)

    assert await import_and_get_bad_rows(store, account, path) == [(line, "")]
    with pytest.raises(BadRows, match=f"{message}.*save the file as CSV in UTF-8"):
        await import_entries(store, account, path)


@pytest.mark.parametrize("is_stdin", [False, True], ids=["a pipe", "standard input"])
async def test_a_pipe_is_read_once_and_its_conflicts_have_lines(store, account, tmp_path, is_stdin):
    """The second reading, for the lines of a conflict, never ended or found nothing."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = HEADER + "B,bank,2026-01-02,1,\nc,bank,2026-01-02,1,\nB ,bank,2026-01-02,2,\n"
    writing = asyncio.create_task(asyncio.to_thread(pipe.write_text, content))
    before = os.dup(0)
    try:
        if is_stdin:
            opened = await asyncio.to_thread(os.open, pipe, os.O_RDONLY)
            os.dup2(opened, 0)
            os.close(opened)
        with pytest.raises(BadRows) as caught:
            await import_entries(store, account, None if is_stdin else pipe)
    finally:
        os.dup2(before, 0)
        os.close(before)
    await writing

    assert [str(row) for row in caught.value.rows] == [
        "line 4, id: bank entry 'B' is on line 2 with another date or amount"
    ]
    assert await sums(store, account) == Sums(None, 0, 0)


async def test_an_id_is_the_same_with_spaces_around_it(store, account, write):
    path = write(HEADER + "B,bank,2026-01-02,1,\nB ,bank,2026-01-02,1,\n")

    assert await import_entries(store, account, path) == ImportResult(1, 1)


async def test_an_overlong_line_is_rejected(store, account, write):
    assert await import_and_get_bad_rows(store, account, write(HEADER + "x" * 1_500_000)) == [
        (2, "")
    ]


@pytest.mark.parametrize(
    ("header", "bad"),
    [
        ("", [(1, "id"), (1, "book"), (1, "date"), (1, "amount")]),
        ("id,book,date\n", [(1, "amount")]),
        ("id,book,date,amount,colour\n", [(1, "")]),
        ("id,id,book,date,amount\n", [(1, "id"), (1, "id")]),
        ("id;book;date;amount\n", [(1, ""), (1, "id"), (1, "book"), (1, "date"), (1, "amount")]),
        (
            "a,bank,2026-01-02,1,\n",
            [(1, "")] * 5 + [(1, name) for name in ("id", "book", "date", "amount")],
        ),
    ],
)
async def test_an_invalid_header_is_reported(store, account, write, header, bad):
    assert await import_and_get_bad_rows(store, account, write(header)) == bad


async def test_a_file_with_only_a_header_adds_nothing(store, account, write):
    assert await import_entries(store, account, write(HEADER)) == ImportResult(0, 0)


async def test_all_bad_rows_are_reported_with_their_lines(store, account, write):
    path = write(
        HEADER + 'a,bank,2026-01-02,1,"two\nlines"\n'
        "b,cash,2026-13-02,x,\n"
        "c,bank,2026-01-02,1,\n"
        "d,bank,2026-01-02,1\n"
    )

    bad = await import_and_get_bad_rows(store, account, path)

    assert bad == [(4, "book"), (4, "date"), (4, "amount"), (6, "")]


async def test_bad_rows_before_a_broken_quote_are_reported_with_their_lines(store, account, write):
    path = write(HEADER + 'a,bank,2026-01-02,1,"two\nlines"\nb,cash,2026-01-02,1,\n\nc,"\n')

    assert await import_and_get_bad_rows(store, account, path) == [(4, "book"), (6, "")]


async def test_at_most_twenty_bad_rows_are_reported(store, account, write):
    path = write(HEADER + "a,cash,2026-01-02,1,\n" * 30)

    bad = await import_and_get_bad_rows(store, account, path)

    assert bad == [(line, "book") for line in range(2, 22)]


async def test_a_repeated_identical_row_is_skipped(store, account, write):
    path = write(HEADER + "a,bank,2026-01-02,1,\na,bank,2026-01-02,1.00,again\n")

    assert await import_entries(store, account, path) == ImportResult(1, 1)
    assert (await sums(store, account)).bank == 100


async def test_rows_of_the_bank_before_the_opening_are_counted(store, account, write):
    """They are imported, and do not count in the bank balance from the opening balance on."""
    await store.set_opening_balance(
        # Already 2026-01-01 in Copenhagen.
        OpeningBalanceWrite(account, Money(1, "EUR"), datetime(2025, 12, 31, 23, tzinfo=UTC))
    )
    path = write(
        "id,book,date,amount\na,bank,2025-12-15,-2.00\nb,bank,2025-12-31,1\n"
        "c,bank,2026-01-01,1\nd,ledger,2025-12-15,1\n"
    )

    first, again = [await import_entries(store, account, path) for _ in range(2)]

    assert first == ImportResult(added=4, already_there=0, before_opening=2)
    assert again == ImportResult(added=0, already_there=4, before_opening=2)


async def test_a_conflict_within_a_file_reports_both_lines(store, account, write):
    path = write(
        HEADER + "a,bank,2026-01-02,1,\nb,bank,2026-01-02,1,\n"
        "a,ledger,2026-01-02,5,\na,bank,2026-01-02,2,\n"
    )

    with pytest.raises(BadRows) as caught:
        await import_entries(store, account, path)

    (row,) = caught.value.rows
    assert (row.line, row.column) == (5, "id")
    assert "line 2" in row.message
    assert await sums(store, account) == Sums(None, 0, 0)


async def test_a_conflict_with_a_stored_entry_reports_its_line(store, account, write):
    await import_entries(store, account, write(HEADER + "b,bank,2026-01-02,1,\n"))

    path = write(HEADER + "a,bank,2026-01-02,1,\nb,bank,2026-01-03,1,\n")
    with pytest.raises(BadRows) as caught:
        await import_entries(store, account, path)

    assert [(row.line, row.column) for row in caught.value.rows] == [(3, "id")]
    assert "already stored" in caught.value.rows[0].message
    assert (await sums(store, account)).bank == 100


async def test_importing_a_file_again_changes_nothing(store, account, write):
    path = write(HEADER + "".join(f"{n},bank,2026-01-{n % 28 + 1:02},1,\n" for n in range(6_000)))
    await import_entries(store, account, path)

    again = await import_entries(store, account, path)

    assert again == ImportResult(0, 6_000)
    assert (await sums(store, account)).bank == 600_000


async def test_a_missing_file_is_reported(store, account, tmp_path):
    with pytest.raises(BadInput, match="cannot read"):
        await import_entries(store, account, tmp_path / "nowhere.csv")
    with pytest.raises(BadInput, match="cannot read"):
        await import_entries(store, account, tmp_path)


async def test_only_accounts_of_the_embedded_ledger_accept_a_file(store, make_account, write):
    elsewhere = make_account(provider=ProviderKind.LIGHT)

    with pytest.raises(BadInput, match="embedded ledger"):
        await import_entries(store, elsewhere, write(HEADER))


def rows(count):
    pick = random.Random(7)
    for number in range(count):
        book = pick.choice([book.value for book in Book])
        day = date.fromordinal(date(2016, 1, 1).toordinal() + pick.randrange(3_650))
        yield f"tx-{number},{book},{day},{pick.randrange(-(10**6), 10**6)}.{number % 100:02},text\n"


async def test_a_hundred_thousand_rows_are_imported_within_seconds(store, account, write):
    path = write(HEADER + "".join(rows(100_000)))
    started = time.process_time()  # CPU time, because the machine may be busy with other work

    result = await import_entries(store, account, path)

    assert result.added == 100_000
    assert time.process_time() - started < 10


IMPORT = """
import asyncio, sys
from pathlib import Path
from zoneinfo import ZoneInfo
from balance_gateway.domain.accounts import Account, ProviderKind
from balance_gateway.providers.local.csv_import import import_entries
from balance_gateway.storage.database import open_database
from balance_gateway.storage.ledger import SqlLedgerStore

def progress(done, total):
    if done == total:
        print("staged", flush=True)

async def main():
    store = SqlLedgerStore(await open_database(sys.argv[1]))
    account = Account("acct_cash", "acme", "books", ProviderKind.LOCAL, "", "EUR", ZoneInfo("UTC"))
    await import_entries(store, account, Path(sys.argv[2]), progress)
    print("done", flush=True)

asyncio.run(main())
"""


async def test_a_killed_import_stores_all_or_nothing(
    url, child, open_test_database, account, write
):
    """The process is killed at several points between the last row and the response."""
    path = write(HEADER + "".join(f"{n},bank,2026-01-{n % 28 + 1:02},1,\n" for n in range(20_000)))
    for delay in (0.0, 0.1):
        importer = child(IMPORT, url, str(path))
        assert importer.read_line() == "staged"
        await asyncio.sleep(delay)
        importer.kill()

        async with open_test_database(url) as database:
            bank = (await sums(SqlLedgerStore(database), account)).bank
            assert bank in (0, 2_000_000)

    async with open_test_database(url) as database:
        await import_entries(SqlLedgerStore(database), account, path)
        assert (await sums(SqlLedgerStore(database), account)).bank == 2_000_000
