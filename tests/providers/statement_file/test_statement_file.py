"""Statement files: what is read, what is refused, and whose error it is."""

import asyncio
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from balance_gateway.domain.balances import BalanceFigures, BalanceQuery
from balance_gateway.domain.errors import (
    GatewayError,
    ProviderBadResponse,
    ProviderRejected,
    ProviderUnavailable,
)
from balance_gateway.domain.money import Money
from balance_gateway.ports.evidence import EvidenceCollector, collect_evidence
from balance_gateway.providers.statement_file import statements
from balance_gateway.providers.statement_file.provider import (
    StatementFileProvider,
    StatementFileSettings,
)
from tests.providers.statement_file.contract_case import build_account

DAY = date(2026, 1, 2)
NOW = datetime(2026, 5, 7, 10, tzinfo=UTC)
OPERATING, OTHER = build_account("operating"), build_account("other")
GOOD = {"currency": "EUR", "balances": {"2026-01-02": {"bank": "1.00"}}}

Write = Callable[[Any], object]


def write_bytes(path: Path, content: bytes, modified_ns: int | None = None) -> int:
    """Write the file, on request with this time of change; return its time of change."""
    path.write_bytes(content)
    if modified_ns is not None:
        os.utime(path, ns=(modified_ns, modified_ns))
    return path.stat().st_mtime_ns


def encode(entry: Any) -> bytes:
    """Return a file with the entry of the account ``operating`` beside a good one."""
    return json.dumps({"accounts": {"operating": entry, "other": GOOD}}).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "statements.json"


@pytest.fixture
def provider(path: Path) -> StatementFileProvider:
    return StatementFileProvider("statements", StatementFileSettings(path=path), clock=lambda: NOW)


@pytest.fixture
def write(path: Path) -> Write:
    """Return a function that writes the file with an entry of the account ``operating``."""
    return lambda entry: write_bytes(path, encode(entry))


async def read(provider: StatementFileProvider) -> list[BalanceFigures | GatewayError]:
    queries = [BalanceQuery(account, DAY) for account in (OPERATING, OTHER)]
    return list(await provider.balances(queries))


@pytest.mark.parametrize(
    "entry",
    [
        1,
        {},
        {"currency": "USD"},
        {"currency": "eur"},
        {"currency": "EUR", "balance": {}},
        {"currency": "EUR", "balances": []},
        {"currency": "EUR", "balances": {"2.1.2026": {"bank": "1.00"}}},
        {"currency": "EUR", "balances": {"2026-02-30": {"bank": "1.00"}}},
        {"currency": "EUR", "balances": {"2026-01-02": {"Bank": "1.00"}}},
        {"currency": "EUR", "balances": {"2026-01-02": "1.00"}},
        *[
            {"currency": "EUR", "balances": {"2026-01-02": {"ledger": amount}}}
            for amount in (1, 1.5, True, "1.001", "1e3", "1,000.00", "", "EUR 1", {"amount": "1"})
        ],
    ],
    ids=json.dumps,
)
async def test_a_wrong_entry_is_an_error_of_its_account_only(
    provider: StatementFileProvider, write: Write, entry: Any
) -> None:
    write(entry)

    wrong, right = await read(provider)

    assert isinstance(wrong, ProviderBadResponse)
    assert (wrong.account_id, wrong.provider) == (OPERATING.id, "STATEMENT_FILE")
    assert (right.bank, right.ledger) == (Money(100, "EUR"), None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"accounts": []}',
        b'{"accounts": {}, "version": 2}',
        b'{"accounts": {"operating": {}, "operating": {}}}',
        b'{"accounts": {"operating": NaN}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_a_wrong_file_is_an_error_of_all_its_accounts(
    provider: StatementFileProvider, path: Path, content: bytes
) -> None:
    write_bytes(path, content)

    with pytest.raises(ProviderBadResponse, match="statement file is not usable") as caught:
        await read(provider)
    with pytest.raises(ProviderBadResponse):
        await provider.probe()

    assert str(path) not in caught.value.message


async def test_a_missing_file_is_unavailable_until_it_is_there(
    provider: StatementFileProvider, path: Path, write: Write
) -> None:
    with pytest.raises(ProviderUnavailable, match="path") as caught:
        await read(provider)
    write(GOOD)

    assert caught.value.retryable
    assert str(path) not in caught.value.message
    assert (await read(provider))[0].bank == Money(100, "EUR")


async def test_a_file_that_is_too_long_is_refused(
    provider: StatementFileProvider, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(GOOD)
    monkeypatch.setattr(statements, "FILE_BYTES_MAX", 20)

    with pytest.raises(ProviderBadResponse, match="longer than 20 bytes"):
        await read(provider)


async def test_a_changed_file_is_read_again(provider: StatementFileProvider, path: Path) -> None:
    """Also when size and times stay as they were, within the resolution of the clock."""
    modified_ns = write_bytes(path, encode(GOOD))
    seen = [(await read(provider))[0]]
    for bank in ("2.00", "3.00"):
        entry = {"currency": "EUR", "balances": {"2026-01-02": {"bank": bank}}}
        write_bytes(path, encode(entry), modified_ns)
        seen.append((await read(provider))[0])

    assert [one.bank for one in seen] == [Money(n, "EUR") for n in (100, 200, 300)]


async def test_an_unchanged_file_is_not_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modified_ns = write_bytes(path, encode(GOOD))
    later = datetime.fromtimestamp(modified_ns / 1e9 + 60, UTC)
    settings = StatementFileSettings(path=path)
    provider = StatementFileProvider("statements", settings, clock=lambda: later)
    decoded = []

    def count(content: bytes) -> Any:
        decoded.append(content)
        return decode(content)

    decode = statements.decode_json
    monkeypatch.setattr(statements, "decode_json", count)
    first, second = await read(provider), await read(provider)

    assert first == second
    assert len(decoded) == 1


async def test_a_file_that_became_wrong_gives_no_older_figure(
    provider: StatementFileProvider, write: Write, path: Path
) -> None:
    write(GOOD)
    await read(provider)
    write_bytes(path, b"{")

    with pytest.raises(ProviderBadResponse):
        await read(provider)


async def test_opening_balance_has_its_fields(
    provider: StatementFileProvider, write: Write
) -> None:
    opening = {
        "amount": "-0.5",
        "effective_at": "2026-01-01T00:00:00+01:00",
        "memo": "Taken over",
        "reference_number": "OB-1",
    }
    write({"currency": "EUR", "opening_balance": opening})

    found = await provider.opening_balance(OPERATING)

    assert found is not None
    assert found.amount == Money(-50, "EUR")
    assert found.effective_at == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert (found.memo, found.reference_number) == ("Taken over", "OB-1")


@pytest.mark.parametrize(
    "opening",
    [{}, {"amount": 1}, {"amount": "1", "effective_at": "2026-01-01"}, {"amount": "1", "at": ""}],
    ids=json.dumps,
)
async def test_a_wrong_opening_balance_leaves_the_balances(
    provider: StatementFileProvider, write: Write, opening: Any
) -> None:
    write({**GOOD, "opening_balance": opening})

    with pytest.raises(ProviderBadResponse) as caught:
        await provider.opening_balance(OPERATING)

    assert caught.value.account_id == OPERATING.id
    assert (await read(provider))[0].bank == Money(100, "EUR")


async def test_an_account_that_is_not_in_the_file_is_rejected(
    provider: StatementFileProvider, write: Write
) -> None:
    write(GOOD)
    missing = build_account("missing")

    with pytest.raises(ProviderRejected, match="statement_account_id"):
        await provider.opening_balance(missing)


@pytest.mark.parametrize("field", ["memo", "reference_number"])
async def test_malformed_note_costs_no_opening_balance(
    provider: StatementFileProvider, write: Write, caplog: pytest.LogCaptureFixture, field: str
) -> None:
    write({"currency": "EUR", "opening_balance": {"amount": "10.00", field: 5}})

    opening = await provider.opening_balance(OPERATING)

    assert opening is not None
    assert (opening.amount, opening.memo) == (Money(10_00, "EUR"), None)
    [record] = [one for one in caplog.records if one.message == "provider.field_dropped"]
    assert (record.account_id, record.field) == (OPERATING.id, field)  # type: ignore[attr-defined]


async def test_a_figure_is_explained_by_the_text_in_the_file(
    provider: StatementFileProvider, write: Write
) -> None:
    write({"currency": "EUR", "balances": {"2026-01-02": {"bank": "-1.50"}}})
    collector = EvidenceCollector(lambda: NOW)

    async def read() -> None:
        collect_evidence(collector)
        await provider.balances([BalanceQuery(OPERATING, DAY)])

    # In a context of its own, so that no other test is explained.
    await asyncio.create_task(read())
    evidence = collector.build_evidence()

    assert [call.endpoint for call in evidence.calls] == ["the statement file statements.json"]
    assert [(one.figure.value, one.fields[0].text) for one in evidence.figures] == [
        ("bank", '"-1.50"'),
        ("ledger", None),
    ]
