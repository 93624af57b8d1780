"""What the commands do when the gateway, or what is in its place, answers in another way."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from balance_gateway.cli import main
from tests.certificates import Authority
from tests.cli.scripted_gateway import KEY, Reply, ScriptedGateway, data, scripted_gateway
from tests.servers import free_port

WHOAMI = data(
    viewer={"name": "n", "tenant": "t", "scopes": [], "expiresAt": None},
    gateway={"version": "1", "environment": None},
)
SET = ("opening-balances", "set", "a", "--amount", "5", "--currency", "EUR")


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedGateway]:
    with scripted_gateway() as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("balance_gateway.cli.remote.client._PAUSE_S", 0.001)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def run(url: str, *arguments: str, **environment: str) -> Result:
    # An address in the arguments is the later one.
    return CliRunner(env={"KEY": KEY, **environment}).invoke(
        main,
        [arguments[0], "--url", url, *arguments[1:], "--key", "env:KEY"]
        if "--url" in arguments
        else [*arguments, "--url", url, "--key", "env:KEY"],
    )


def refusal(code: str, message: str, status: int = 200, **headers: str) -> Reply:
    body = {"errors": [{"message": message, "extensions": {"code": code}}]}
    return Reply(body, status, {name.replace("_", "-"): text for name, text in headers.items()})


def page(nodes: list[Any], cursor: str | None, errors: list[Any] | None = None) -> Reply:
    position = {"hasNextPage": cursor is not None, "endCursor": cursor}
    found = {"nodes": nodes, "pageInfo": position, "totalCount": 4}
    return Reply({"data": {"bankAccounts": found}, "errors": errors or []})


def account(account_id: str, name: str = "Name", **fields: Any) -> dict[str, Any]:
    shown = {"id": account_id, "name": name, "currency": "EUR", "provider": "LOCAL"}
    return {**shown, "timeZone": "UTC", "connector": {"name": "books"}, **fields}


FAILURES = {
    "html of a proxy": (Reply("<html>Bad gateway</html>", 200), "text/html, which is no answer"),
    "status of a proxy": (Reply("<h1>502</h1>", 502), "status 502 and text/html"),
    "json of another server": (Reply({"ok": True}), "application/json, which is no answer"),
    "json that is no object": (Reply([1, 2]), "which is no answer of a gateway"),
    "no data and no error": (Reply({"data": None, "errors": []}), "which is no answer of a"),
    "errors that are no list": (
        Reply({"data": {"viewer": None}, "errors": 5}),
        "not as the schema says: Expected `array`, got `int`",
    ),
    "another shape": (data(viewer={"name": 5}, gateway=None), "not as the schema says: Expected"),
    "unauthenticated": (
        refusal("UNAUTHENTICATED", "The credential is unknown.", 401),
        "does not accept the key of env:KEY (UNAUTHENTICATED)",
    ),
    "throttled": (
        refusal("TOO_MANY_REQUESTS", "Too many wrong keys.", 429, retry_after="7"),
        "Too many wrong keys. Try again in 7 s.",
    ),
    "no scope": (
        refusal("FORBIDDEN", "This credential lacks the scope x."),
        "lacks the scope x. Use a key with this scope: --key or --profile.",
    ),
    "another release": (
        refusal("GRAPHQL_VALIDATION_FAILED", "Cannot query field 'x'."),
        "is of another release than this command",
    ),
    "wrong path": (Reply("Not Found", 404), "does not exist (status 404)"),
    "redirect": (
        Reply("", 308, {"location": "https://elsewhere.example/graphql"}),
        "redirects to https://elsewhere.example/graphql, where the key was not sent",
    ),
    "busy for long": (
        refusal("PROVIDER_UNAVAILABLE", "Overloaded.", 503, retry_after="600"),
        "Overloaded. Try again in 600 s.",
    ),
    "escapes": (
        refusal("INTERNAL", "\x1b[31mred\nnext\u202e"),
        r"INTERNAL: \x1b[31mred next\u202e",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_line_with_the_next_step(name: str, server: ScriptedGateway) -> None:
    reply, expected = FAILURES[name]
    server.reply(reply)

    done = run(server.url, "whoami")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert KEY not in done.output
    assert len(server.requests) == (3 if name == "status of a proxy" else 1)
    assert set(server.authorizations) == {f"Bearer {KEY}"}


def test_an_address_that_cannot_be_reached_is_one_line() -> None:
    refused = run(f"http://127.0.0.1:{free_port()}", "whoami")
    with scripted_gateway() as plain:
        no_tls = run(plain.url.replace("http:", "https:"), "whoami")

    assert "cannot be reached: Connection refused." in refused.stderr
    assert "does not speak TLS as expected" in no_tls.stderr
    assert [done.output.count("\n") for done in (refused, no_tls)] == [1, 1]


@pytest.mark.parametrize(
    ("url", "proxy"),
    [("https://xn--zz-.example", ""), ("https://a.example", f"http://{'a' * 70}.example")],
)
def test_a_host_that_is_no_name_is_one_line(url: str, proxy: str) -> None:
    done = run(url, "whoami", HTTPS_PROXY=proxy, NO_PROXY="")

    assert done.exit_code == 1
    assert "is not a valid name. Check the address, HTTPS_PROXY" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_key_for_loopback_passes_no_proxy(server: ScriptedGateway) -> None:
    server.reply(WHOAMI)
    proxy = f"http://127.0.0.1:{free_port()}"
    own = run(server.url, "whoami", HTTP_PROXY=proxy, http_proxy=proxy)
    proxied = run("https://gateway.invalid", "whoami", HTTPS_PROXY=proxy)
    unusable = run("https://gateway.invalid", "whoami", HTTPS_PROXY="socks5://user:pw-secret@h:1")

    assert own.exit_code == 0, own.output
    assert (proxied.exit_code, unusable.exit_code) == (1, 2)
    assert "cannot be reached: Connection refused" in proxied.stderr
    assert "NO_PROXY" in unusable.stderr
    assert "pw-secret" not in unusable.output


def test_a_response_without_an_end_is_given_up(
    server: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balance_gateway.cli.remote.client._BODY_BYTES_MAX", 1 << 20)
    server.reply(Reply("x" * (2 << 20)))

    done = run(server.url, "whoami")

    assert "sent more than 1 MiB" in done.stderr


def test_every_command_has_an_example_in_its_help() -> None:
    groups = ("accounts", "audit", "balances", "opening-balances", "writes", "profiles")
    commands = [("connectors",), ("explain",), ("whoami",), ("completion",)]
    commands += [(name, sub) for name in groups for sub in main.commands[name].commands]

    for command in commands:
        done = CliRunner().invoke(main, [*command, "--help"])
        assert f"Example:\n    balance-gateway {' '.join(command)}" in done.output


def test_an_error_after_a_write_was_sent_names_the_doubt(server: ScriptedGateway) -> None:
    server.reply(data(upsertOpeningBalance={"__typename": "OpeningBalanceApplied"}))
    misshapen = run(server.url, *SET, "--idempotency-key", "k-2")
    server.reply(refusal("INTERNAL", "Internal error of the gateway."))
    defect = run(server.url, *SET, "--idempotency-key", "k-3")
    settled = run(server.url, "writes", "settle", "w-1", "--as", "applied", "--note", "n")

    assert "may have been applied. The same command with --idempotency-key k-2" in misshapen.stderr
    assert "may have been applied. The same command with --idempotency-key k-3" in defect.stderr
    assert "may have been settled: 'balance-gateway writes show w-1'" in settled.stderr
    assert [done.exit_code for done in (misshapen, defect, settled)] == [1, 1, 1]


def test_plain_http_is_for_loopback_or_allowed() -> None:
    url = "http://gateway.invalid"
    refused = run(url, "whoami")
    allowed = run(url, "whoami", "--allow-plain-http")

    assert (refused.exit_code, allowed.exit_code) == (2, 1)
    assert "--allow-plain-http" in refused.stderr
    assert "http://gateway.invalid/graphql cannot be reached" in allowed.stderr


def test_a_private_authority_is_trusted_by_ca_file(tmp_path: Path) -> None:
    import http.server
    import threading

    authority = Authority(tmp_path)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            content = json.dumps(WHOAMI.body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    context = authority.build_server_context()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        url = f"https://localhost:{server.server_port}"
        refused = run(url, "whoami")
        trusted = run(url, "whoami", "--ca-file", str(authority.ca_file))
        no_file = run(url, "whoami", "--ca-file", str(tmp_path / "absent.pem"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert "is not trusted" in refused.stderr
    assert "--ca-file" in refused.stderr
    assert (refused.exit_code, trusted.exit_code, no_file.exit_code) == (1, 0, 2)
    assert "absent.pem: No such file" in no_file.stderr


def test_a_read_is_tried_again_and_a_write_is_not(server: ScriptedGateway) -> None:
    busy = refusal("PROVIDER_UNAVAILABLE", "Overloaded.", 503, retry_after="0")

    server.reply(busy, Reply(), WHOAMI)
    read = run(server.url, "whoami")
    reads = len(server.requests)
    server.reply(busy, WHOAMI)
    refused = run(server.url, *SET)
    server.reply(Reply(), WHOAMI)
    broken = run(server.url, *SET, "--idempotency-key", "k-1")

    assert (read.exit_code, reads) == (0, 3)
    assert "Nothing was written." in refused.stderr
    assert broken.exit_code == 1
    assert len(server.requests) == 1
    assert "may have been applied. The same command with --idempotency-key k-1" in broken.stderr


def test_a_new_idempotency_key_is_printed_and_sent(server: ScriptedGateway) -> None:
    server.reply(Reply("<html>", 504))

    done = run(server.url, *SET)

    printed = re.match(r"Idempotency key: (command-[0-9a-f]{24})\n", done.stderr)
    assert printed
    assert server.requests[0]["variables"]["input"] == {
        "accountId": "a",
        "amount": {"amount": "5", "currency": "EUR"},
        "idempotencyKey": printed[1],
    }
    assert f"--idempotency-key {printed[1]}" in done.stderr.splitlines()[1]


@pytest.mark.parametrize("output", ["table", "csv", "jsonl", "json"])
def test_a_gateway_that_goes_between_pages_ends_the_list(
    output: str, server: ScriptedGateway
) -> None:
    server.reply(page([account("a1"), account("a2")], "c2"), Reply())
    chosen = ("--json",) if output == "json" else ("--format", output)

    done = run(server.url, "accounts", "list", *chosen)

    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "The list ends after 2 accounts." in done.stderr
    assert ("a2" in done.stdout) is (output in ("csv", "jsonl"))
    assert server.requests[-1]["variables"]["after"] == "c2"


@pytest.mark.parametrize(
    ("reply", "arguments", "expected"),
    [
        (data(nodes=[]), ("balances", "show", "x", "y"), "0 accounts for 2 ids"),
        (page([None], None), ("accounts", "list"), "neither an account nor an error"),
        (
            data(bankAccount={"balance": {"asOf": "2026-99-01"}}),
            ("balances", "history", "x", "--from", "2026-01-01"),
            "not as the schema says",
        ),
        (
            data(bankAccount={"timeZone": "../zone"}),
            (*SET, "--effective-at", "2026-01-01"),
            "time zone '../zone' of the account is not known",
        ),
    ],
)
def test_what_a_response_lacks_is_not_guessed(
    reply: Reply, arguments: tuple[str, ...], expected: str, server: ScriptedGateway
) -> None:
    server.reply(reply)

    done = run(server.url, *arguments)

    assert (done.exit_code, done.stdout) == (1, "")
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_that_repeats_a_page_is_stopped(server: ScriptedGateway) -> None:
    server.reply(page([account("a1")], "c1"))

    done = run(server.url, "accounts", "list")

    assert (done.exit_code, len(server.requests)) == (1, 2)
    assert "sent the same page twice" in done.stderr

    server.reply(*(page([], f"c{number}") for number in range(9)))
    endless = run(server.url, "accounts", "list")

    assert (endless.exit_code, len(server.requests)) == (1, 1)
    assert "sent an empty page before the last" in endless.stderr


HOSTILE = {
    "=1+1": "'=1+1",
    "+49 30": "'+49 30",
    "@SUM(A1)": "'@SUM(A1)",
    "-2+3": "'-2+3",
    " =1": " '=1",
    "＝1": "'＝1",
    "a;=1": "a;'=1",
    "-12.50": "-12.50",
    "-5": "-5",
    "\t=1": r"\t=1",
    "\r=1": r"\r=1",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "right\u202eleft": r"right\u202eleft",
    "Café, “Bar”": "Café, “Bar”",
}


def test_names_are_safe_in_csv_and_on_a_terminal(server: ScriptedGateway) -> None:
    names = list(HOSTILE)
    server.reply(page([account(f"a{i}", name) for i, name in enumerate(names)], None))

    as_csv = run(server.url, "accounts", "list", "--format", "csv")
    as_table = run(server.url, "accounts", "list")
    as_json = run(server.url, "accounts", "list", "--json")

    rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    assert [row["name"] for row in rows] == list(HOSTILE.values())
    assert as_table.stdout.count("\n") == len(names) + 1
    assert all(char.isprintable() or char == "\n" for char in as_table.stdout + as_json.stdout)
    assert [row["name"] for row in json.loads(as_json.stdout)] == names


def test_an_amount_that_is_no_decimal_text_is_refused(server: ScriptedGateway) -> None:
    for amount in (1.5, "1e5", "=1", "1,000.00", "1\n"):
        money = {"minorUnits": "150", "amount": amount, "currency": "EUR"}
        total = {
            **{"currency": "EUR", "bank": money, "ledger": None, "complete": True, "included": 1},
            **{"bankIncluded": 1, "ledgerIncluded": 0, "staleIncluded": 0, "overlapping": []},
            **{"firstDay": "2026-01-01", "lastDay": "2026-01-01", "missing": []},
        }
        server.reply(data(balanceTotals=[total]))

        done = run(server.url, "balances", "totals")

        assert done.exit_code == 1, amount
        assert "not as the schema says" in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((*SET[:-3], "1,000.00", "--currency", "EUR"), "--amount must be a decimal number"),
        ((*SET[:-3], "1e3", "--currency", "EUR"), "--amount must be a decimal number"),
        ((*SET, "--expect-previous", "5 EUR"), "--expect-previous must be a decimal number"),
        ((*SET, "--expect-previous", "5", "--expect-none"), "exclude each other"),
        ((*SET, "--effective-at", "2026-01-01T00:00:00"), "an instant with an offset"),
        ((*SET, "--effective-at", "2026-13-01"), "--effective-at must be a day"),
        (("balances", "show", "a", "--name", "x"), "either ids or a filter"),
        (("balances", "show", "--as-of", "2026-02-30"), "must be a day such as"),
        (("accounts", "list", "--json", "--format", "csv"), "exclude each other"),
        (("writes", "list", "--since", "yesterday"), "--since must be a day"),
        (("writes", "list", "--since", "9999-12-31T23:59:59-12:00"), "--since must be within"),
        ((*SET, "--effective-at", "0001-01-01T00:00:00+01:00"), "--effective-at must be within"),
        ((*SET, "--memo", "\udcff"), "The arguments must be UTF-8 text; nothing was sent"),
        (("accounts", "show", "\udcff"), "The arguments must be UTF-8 text; nothing was sent"),
        (("balances", "show", "--max-age", str(2**31)), "is not in the range 0<=x<=2147483647"),
        (("whoami", "--timeout", "nan"), "'nan' is not a number"),
        (("whoami", "--url", f"https://{'a' * 70}.example"), "--url must name a host"),
        (("whoami", "--url", "https://a..b"), "--url must name a host"),
        (("whoami", "--url", "https://a.example/\udcff"), "--url must name a host"),
    ],
)
def test_a_wrong_option_sends_nothing(
    arguments: tuple[str, ...], expected: str, server: ScriptedGateway
) -> None:
    server.reply(WHOAMI)

    done = run(server.url, *arguments)

    assert done.exit_code == 2, done.output
    assert expected in done.stderr
    assert server.requests == []


def test_a_key_of_a_profile_goes_to_no_other_address(
    server: ScriptedGateway, tmp_path: Path
) -> None:
    server.reply(WHOAMI)
    runner = CliRunner(env={"KEY": KEY, "BALANCE_GATEWAY_PROFILE": "p"})
    runner.invoke(main, ["profiles", "add", "p", "--url", "https://a.example", "--key", "env:KEY"])

    without_key = runner.invoke(main, ["whoami", "--url", server.url])
    both = runner.invoke(main, ["whoami", "--url", server.url, "--profile", "p"])
    own = runner.invoke(main, ["whoami", "--url", server.url, "--key", "env:KEY"])

    assert "--url needs --key" in without_key.stderr
    assert "exclude each other" in both.stderr
    assert (without_key.exit_code, both.exit_code, own.exit_code) == (2, 2, 0)
    assert len(server.requests) == 1


def test_a_profile_without_a_name_is_not_the_default_one(server: ScriptedGateway) -> None:
    """``--profile "$P"`` without P asked the gateway of the default profile."""
    server.reply(WHOAMI)
    runner = CliRunner(env={"KEY": KEY})
    runner.invoke(main, ["profiles", "add", "p", "--url", server.url, "--key", "env:KEY"])

    blank = runner.invoke(main, ["whoami", "--profile", ""])
    default = runner.invoke(main, ["whoami"])

    assert (blank.exit_code, default.exit_code) == (2, 0)
    assert "--profile must not be blank" in blank.stderr
    assert len(server.requests) == 1


def test_a_key_is_read_from_a_file_of_the_user(server: ScriptedGateway, tmp_path: Path) -> None:
    server.reply(WHOAMI)
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "two-lines").write_text("a\nb")
    (tmp_path / "empty").write_text("\n")
    runner = CliRunner(env={"HOME": str(tmp_path)})

    done = {
        name: runner.invoke(main, ["whoami", "--url", server.url, "--key", f"file:~/{name}"])
        for name in ("key", "two-lines", "empty", "absent")
    }

    assert [each.exit_code for each in done.values()] == [0, 2, 2, 2]
    assert server.authorizations == [f"Bearer {KEY}"]
    assert "must be printable ASCII" in done["two-lines"].stderr
    assert "is empty" in done["empty"].stderr
    assert "absent cannot be read: No such file" in done["absent"].stderr


def test_an_opening_balance_that_failed_is_not_none(server: ScriptedGateway) -> None:
    """An opening balance that could not be read was shown as one that is not set."""
    nodes = [account(each, openingBalance=None, unsettledWrite=None) for each in ("set", "failed")]
    error = {
        **{"message": "Down.", "path": ["bankAccounts", "nodes", 1, "openingBalance"]},
        "extensions": {"code": "PROVIDER_UNAVAILABLE"},
    }
    server.reply(page(nodes, None, [error]))

    done = run(server.url, "opening-balances", "show")
    as_json = run(server.url, "opening-balances", "show", "--json")

    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert rows == [
        ["set", "Name", "EUR", "none"],
        ["failed", "Name", "EUR", "PROVIDER_UNAVAILABLE"],
    ]
    assert "1 of 2 accounts failed: openingBalance: PROVIDER_UNAVAILABLE: Down." in done.stderr
    [first, second] = json.loads(as_json.stdout)
    assert "errors" not in first
    assert second["errors"] == [
        {"field": "openingBalance", "code": "PROVIDER_UNAVAILABLE", "message": "Down."}
    ]
    assert (done.exit_code, as_json.exit_code) == (1, 1)


def test_a_total_without_an_account_fails_and_names_it(server: ScriptedGateway) -> None:
    money = {"minorUnits": "-150", "amount": "-1.50", "currency": "EUR"}
    missing = {"bankAccount": {"id": "a9"}, "code": "UNSUPPORTED_BY_PROVIDER"}
    total = {
        **{"currency": "EUR", "bank": money, "ledger": None, "complete": False, "included": 3},
        **{"bankIncluded": 3, "ledgerIncluded": 0, "staleIncluded": 0, "overlapping": ["a2"]},
        **{"firstDay": "2026-01-01", "lastDay": "2026-01-01"},
        "missing": [{**missing, "reason": "NOT_IN_FILE"}],
    }
    server.reply(data(balanceTotals=[total]))

    done = run(server.url, "balances", "totals", "--format", "csv", "--as-of", "2026-01-01")

    [row] = csv.DictReader(io.StringIO(done.stdout))
    assert (row["bank"], row["ledger"], row["missing"]) == ("-1.50", "", "a9:NOT_IN_FILE")
    assert (row["overlapping"], row["error"]) == ("a2", "UNSUPPORTED_BY_PROVIDER")
    assert "The balance of a9 is not in the total (NOT_IN_FILE)." in done.stderr
    assert done.exit_code == 1
    assert server.requests[0]["variables"] == {"filter": {}, "asOf": "2026-01-01"}


def test_a_day_that_is_missing_leaves_the_others(server: ScriptedGateway) -> None:
    money = {"minorUnits": "5", "amount": "5", "currency": "JPY"}
    balance = {
        **{"asOf": "2026-01-01", "bank": None, "ledger": money, "difference": None},
        **{"bankMissing": "BEFORE_OPENING", "ledgerMissing": None},
        "differenceMissing": "BEFORE_OPENING",
        "freshness": {"state": "STALE", "observedAt": "t", "ageSeconds": 9, "staleReason": "down"},
    }
    problem = {"code": "PROVIDER_TIMEOUT", "message": "Too slow."}
    points = [
        {"day": "2026-01-01", "balance": balance, "problem": None},
        {"day": "2026-01-02", "balance": None, "problem": problem},
    ]
    account_with_series = {"currency": "JPY", "balanceSeries": {"points": points}}
    server.reply(data(bankAccount=account_with_series))
    days = ("--from", "2026-01-01", "--to", "2026-01-02")

    done = run(server.url, "balances", "history", "a", *days)
    as_csv = run(server.url, "balances", "history", "a", *days, "--format", "csv")

    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["2026-01-01", "BEFORE_OPENING", "5", "BEFORE_OPENING", "STALE", "9"],
        ["2026-01-02", "PROVIDER_TIMEOUT"],
    ]
    assert as_csv.stdout.splitlines()[1:] == [
        "2026-01-01,,BEFORE_OPENING,5,,,BEFORE_OPENING,STALE,9,down,",
        "2026-01-02,,,,,,,,,,PROVIDER_TIMEOUT",
    ]
    assert done.stderr == "Error: 1 of 2 days failed: PROVIDER_TIMEOUT: Too slow.\n"
    assert done.exit_code == as_csv.exit_code == 1
