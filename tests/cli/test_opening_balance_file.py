"""Files of opening balances: what is certain is converted, everything else is named."""

import io
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from balance_gateway.cli import main
from balance_gateway.cli.remote.opening_balance_file.amounts import (
    InvalidAmount,
    find_decimal_mark,
    parse_written,
)
from balance_gateway.cli.remote.opening_balance_file.columns import map_columns
from balance_gateway.cli.remote.opening_balance_file.reading import CsvFile
from balance_gateway.cli.remote.opening_balance_file.rows import (
    PlanAccount,
    Problems,
    convert_rows,
    read_rows,
)
from balance_gateway.cli.usage import CommandError, UsageError
from tests.cli.scripted_gateway import KEY, Reply, ScriptedGateway, data, scripted_gateway

ACCOUNTS = {
    "eur": PlanAccount("EUR", "Europe/Berlin"),
    "usd": PlanAccount("USD", "America/New_York"),
    "jpy": PlanAccount("JPY", "Asia/Tokyo"),
    "kwd": PlanAccount("KWD", "Asia/Kuwait"),
    "cairo": PlanAccount("EGP", "Africa/Cairo"),
}


@pytest.mark.parametrize(
    ("text", "mark", "expected"),
    [
        ("1250.00", ".", "1250.00"),
        ("1.250,50", ",", "1250.50"),
        ("1,250.50", ".", "1250.50"),
        ("1.234.567", ",", "1234567"),
        ("1 250,5", ",", "1250.5"),
        ("1\u00a0250\u00a0000,00", ",", "1250000.00"),
        ("1\u202f250,00", ",", "1250.00"),
        ("1'250.00", ".", "1250.00"),
        ("1\u2019250.00", ".", "1250.00"),
        (",5", ",", "0.5"),
        ("(500)", ".", "-500"),
        ("( 1.500,25 )", ",", "-1500.25"),
        ("500-", ".", "-500"),
        ("500,00 -", ",", "-500.00"),
        ("-500", ".", "-500"),
        ("\u2212500", ".", "-500"),
        ("+500", ".", "500"),
        ("€ 500", ".", "500"),
        ("-€500", ".", "-500"),
        ("€-500", ".", "-500"),
        ("(€500)", ".", "-500"),
        ("EUR 500", ".", "500"),
        ("500,10 EUR", ",", "500.10"),
        ("500- EUR", ".", "-500"),
        ("9007199254740993.01", ".", "9007199254740993.01"),
        ("-0,00", ",", "-0.00"),
    ],
)
def test_an_amount_becomes_plain_decimal_text(text: str, mark: Any, expected: str) -> None:
    amount = parse_written(text)

    assert amount.to_decimal_text(mark) == expected
    assert amount.currencies in (None, {"EUR"})
    assert Decimal(expected).is_finite()


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "abc", "1e5", "12,34,56", "1,2,3.4", "1.23.456,0", "1..2", "1,.2", "5.", "0x10"),
        *("(500", "500)", "-(500)", "-500-", "(500-)", "--5", "+-5", "5 5 5", "1 250'000", "1_000"),
        *("500 CR", "500 DR", "50%", "=1+1", "EUR 5 EUR", "€5€", "½", "٥", "1,250 .00", "NaN"),
    ],
)
def test_what_is_not_certainly_an_amount_is_refused(text: str) -> None:
    for mark in (",", "."):
        with pytest.raises(InvalidAmount):
            parse_written(text).to_decimal_text(mark)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1.234", "5,00"], ","),
        (["1,234", "5.00"], "."),
        (["1.234,50"], ","),
        (["1.234.567"], ","),
        (["1234.567"], "."),
        (["0.125"], "."),
        ([",5"], ","),
        (["500", "12"], None),
        (["1.234", "2.345"], None),
        (["1,5", "1.5"], None),
    ],
)
def test_the_decimal_mark_comes_from_the_whole_file(texts: list[str], expected: str | None) -> None:
    found = find_decimal_mark((line, parse_written(text)) for line, text in enumerate(texts, 2))

    assert found.mark == expected


def convert(text: str, mark: Any = ".") -> tuple[list[dict[str, Any]], Mapping[int, str]]:
    file, problems = CsvFile(io.BytesIO(text.encode()), None), Problems()
    read = read_rows(file, map_columns(file.headers, {}), problems)
    return list(convert_rows(read, ACCOUNTS, mark, problems)), problems.by_line


def test_a_day_starts_in_the_zone_of_the_account() -> None:
    rows, problems = convert(
        "account,amount,date\neur,1,2026-01-31\nusd,1,2026-07-01\njpy,1,2026-01-31T09:00:00+09:00\n"
        "kwd,1,\ncairo,1,2026-04-24\n"
    )

    assert [row.get("effectiveAt") for row in rows] == [
        "2026-01-30T23:00:00Z",
        "2026-07-01T04:00:00Z",
        "2026-01-31T00:00:00Z",
        None,
        # Clocks skip midnight there: the day starts at one o'clock.
        "2026-04-23T22:00:00Z",
    ]
    assert problems == {}


BAD = {
    "eur,1.005,,": "more than the 2 decimals of EUR and is not rounded",
    "jpy,0.5,,": "more than the 0 decimals of JPY",
    "eur,$5,,": "the currency of the account is EUR",
    "eur,5,,USD": "'USD', but that of the account EUR",
    "eur,USD 5,,": "the amount is in USD",
    "other,5,,": "there is no account other",
    "connector:x,5,,": "'connector:x' is not an account id",
    ",5,,": "the account is empty",
    "eur,,,": "the amount is empty",
    "eur,five,,": "the amount 'five' is not an amount such as",
    "eur,5,31.01.2026,": "the date '31.01.2026' must be a day such as 2026-01-31",
    "eur,5,2026-02-30,": "must be a day",
    "eur,5,2026-01-31T09:00:00,": "an instant with an offset",
    "eur,5,0001-01-01T00:00:00+14:00,": "within the years 0001 to 9999",
    "eur,5": "2 cells, but 4 headers",
    "eur,5,,,": "5 cells, but 4 headers",
}


@pytest.mark.parametrize("row", BAD)
def test_a_bad_row_is_named_with_its_line(row: str) -> None:
    rows, problems = convert(f'account,amount,date,currency\nkwd,"1.125",,\n\n{row}\nusd,7,,usd\n')

    assert [each["line"] for each in rows] == [2, 5]
    assert list(problems) == [4]
    assert BAD[row] in problems[4]


def test_an_account_that_is_there_twice_is_a_bad_row() -> None:
    _, problems = convert("account,amount\neur,1\nusd,1\neur,1\n")

    assert problems == {4: "account eur is on line 2 too"}


def test_quoted_newlines_a_mark_and_other_columns_keep_the_lines() -> None:
    rows, problems = convert(
        "\ufeffAccount ID;Opening Balance;Note;Other\r\n"
        'eur;"1,50";"two\r\nlines";x\r\nusd;2;;y\r\n',
        ",",
    )

    assert problems == {}
    assert rows == [
        {
            "line": 2,
            "accountId": "eur",
            "amount": {"amount": "1.50", "currency": "EUR"},
            "memo": "two\r\nlines",
        },
        {"line": 4, "accountId": "usd", "amount": {"amount": "2", "currency": "USD"}},
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"account,amount\neur,5\nusd,\xe9\n", "Line 3 is not UTF-8, at byte 5"),
        ("account,amount\n".encode("utf-16"), "is UTF-16"),
        (b"account,amount\neur,\x005\n", "Line 2 has a NUL byte"),
        (b'account,amount\neur,5\n"usd,5\nmore', "Line 3 is not CSV"),
        (b'account,amount\n"eur"x,5\n', "Line 2 is not CSV"),
        (b"account,amount\neur," + b"5" * 20_000 + b"\n", "Line 2 has a cell of more than"),
        (b"account,amount\n" + b"5" * 2_000_000, "Line 2 has more than 1000000 bytes"),
        (b"\naccount,amount\n", "line 1 is empty"),
        (b"", "line 1 is empty"),
        (b"account,amount\n\n", "no row after its headers"),
        (b"account\neur\n", "no comma, semicolon or tab"),
        (b"account;amount,EUR\neur;5\n", "comma and semicolon: give the one"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes, expected: str) -> None:
    def read() -> None:
        file = CsvFile(io.BytesIO(content), None)
        read_rows(file, map_columns(file.headers, {}), Problems())

    with pytest.raises((CommandError, UsageError), match=expected):
        read()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_guessed(separator: str) -> None:
    file = CsvFile(io.BytesIO(separator.join(['\ufeff"a,b;c"', "x"]).encode()), None)

    assert (file.separator, file.headers) == (separator, ["a,b;c", "x"])


@pytest.fixture(scope="module")
def server() -> Any:
    with scripted_gateway() as gateway:
        yield gateway


def run(server: ScriptedGateway, path: Path, *options: str) -> Result:
    command = ["opening-balances", "import", str(path), "--url", server.url, "--key", "env:KEY"]
    return CliRunner(env={"KEY": KEY}).invoke(main, [*command, *options])


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("Konto,Betrag\na,1\n", ("--column", "account=Knto"), "did you mean 'Konto'?"),
        ("Konto,Betrag\na,1\n", ("--column", "acount=Konto"), "did you mean 'account'?"),
        ("Konto,Betrag\na,1\n", ("--column", "Konto"), "--column must be FIELD=HEADER"),
        ("x,y\na,1\n", (), "No column is known as the account: give --column account=HEADER"),
        ("id,account,amount\na,b,1\n", (), "'id' and 'account' may both be the account"),
        ("id,amount\na,1.234\n", (), "on line 2 can be read in two ways"),
        ('id,amount\na,1.5\nb,\'"1,5"\n', (), "Line 3: 3 cells"),
        ('id,amount\na,1.5\nb,"1,5"\n', (), "line 3 has a decimal comma, that on line 2"),
        ("id,amount\na,1\n", ("--apply",), "--apply needs --yes"),
        ("id,amount\na,1\n", ("--apply", "--needs-approval"), "exclude each other"),
    ],
)
def test_what_is_in_doubt_is_asked_for_and_nothing_is_sent(
    text: str, options: tuple[str, ...], expected: str, server: ScriptedGateway, tmp_path: Path
) -> None:
    server.reply(data(nodes=[{"__typename": "BankAccount", "id": "a", **DETAILS}, None]))
    path = tmp_path / "openings.csv"
    path.write_text(text)

    done = run(server, path, *options)

    assert expected in done.stderr
    assert done.exit_code == (1 if "Line" in expected else 2)
    assert all("mutation" not in request["query"] for request in server.requests)


DETAILS = {"currency": "EUR", "timeZone": "UTC"}


def test_bad_rows_of_a_large_file_are_named_and_nothing_is_sent(
    server: ScriptedGateway, tmp_path: Path
) -> None:
    bad = {77, 9_990, 19_999}
    path = tmp_path / "openings.csv"
    rows = [f"a{line},{'1.005' if line in bad else '1.00'}" for line in range(1, 20_001)]
    path.write_text("\n".join(["account,amount", *rows]))
    server.reply(*list_accounts(1, 20_001))

    done = run(server, path)

    named = [line for line in done.stderr.splitlines() if line.startswith("Line")]
    assert [line.split(":")[0] for line in named] == ["Line 78", "Line 9991", "Line 20000"]
    assert "3 of 20000 rows are wrong, so no plan was made" in done.stderr
    assert all("mutation" not in request["query"] for request in server.requests)
    assert (done.exit_code, len(server.requests)) == (1, 20)


def list_accounts(first: int, end: int) -> list[Reply]:
    return [
        data(nodes=[{"__typename": "BankAccount", "id": f"a{n}", **DETAILS} for n in part])
        for at in range(first, end, 1000)
        if (part := range(at, at + 1000))
    ]


def test_a_large_plan_is_sent_in_parts_without_a_time_of_the_client(
    server: ScriptedGateway, tmp_path: Path
) -> None:
    path = tmp_path / "openings.csv"
    rows = [f"a{line},{line},2026-01-31" for line in range(4_500)]
    path.write_text("\n".join(["account,amount,date", *rows]))
    made = data(planOpeningBalances={"__typename": "OpeningBalancePlan", **PLAN})
    shown = data(openingBalancePlan={"rows": {"nodes": [], "pageInfo": LAST}})
    busy = Reply({"errors": [{"message": "Busy."}]}, 503, {"retry-after": "0"})
    server.reply(*list_accounts(0, 5_000), made, busy, made, made, shown)

    done = run(server, path, "--needs-approval")

    assert done.exit_code == 0, done.output
    sent = [each["variables"]["input"] for each in server.requests if "mutation" in each["query"]]
    assert [(each["part"], len(each["rows"]), each["complete"]) for each in sent] == [
        (1, 2000, False),
        (2, 2000, False),
        (2, 2000, False),
        (3, 500, True),
    ]
    assert [each.get("planId") for each in sent] == [None, "p-1", "p-1", "p-1"]
    assert sent[0]["needsApproval"] is True
    assert {json.dumps(row["effectiveAt"]) for each in sent for row in each["rows"]} == {
        '"2026-01-31T00:00:00Z"'
    }
    assert "opening-balances approve p-1" in done.stdout


def test_an_uncertain_row_without_a_code_is_no_success(server: ScriptedGateway) -> None:
    """A write that a killed gateway left uncertain had no code, and was not counted."""
    counts = {**PLAN["counts"], "uncertain": 1, "applied": 1}
    plan = {**PLAN, "state": "FINISHED", "appliedAt": PLAN["madeAt"], "counts": counts}
    rows = {"nodes": [build_row(2, "UNCERTAIN"), build_row(3, "APPLIED")], "pageInfo": LAST}
    server.reply(
        data(applyPlan={"__typename": "OpeningBalancePlan", **plan, "rowCount": 2}),
        data(openingBalancePlan={"rows": rows}),
    )
    command = ["opening-balances", "apply", "p-1", "--url", server.url, "--key", "env:KEY"]

    done = CliRunner(env={"KEY": KEY}).invoke(main, command)

    assert done.exit_code == 1
    assert "Line 2 (a2): UNCERTAIN: No reason is known." in done.stdout
    assert "1 of 2 rows are not applied. 1 may or may not be applied: " in done.stderr


def build_row(line: int, outcome: str) -> dict[str, Any]:
    unknown = ("previousState", "previous", "code", "message", "field", "effectiveAt", "memo")
    return {
        **dict.fromkeys((*unknown, "referenceNumber", "writeId")),
        **{"line": line, "accountId": f"a{line}", "outcome": outcome, "unchanged": False},
        "amount": {"amount": "1.00", "currency": "EUR"},
    }


LAST = {"hasNextPage": False, "endCursor": None}
PLAN: dict[str, Any] = {
    **{"id": "p-1", "state": "READY", "needsApproval": True, "madeBy": "n", "approval": None},
    **{"madeAt": "2026-01-01T00:00:00Z", "expiresAt": "2026-01-08T00:00:00Z", "rowCount": 1},
    **{"contentHash": "h", "unchanged": 0, "unknown": 0, "totals": [], "connectors": []},
    **{"appliedBy": None, "appliedAt": None, "finishedAt": None},
    "counts": dict.fromkeys(
        ("pending", "invalid", "applied", "unchanged", "rejected", "uncertain"), 0
    ),
}
