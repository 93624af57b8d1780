"""Measures reads of the embedded ledger: ``python -m benchmarks.embedded [--accounts 1000]``.

In one process, without sockets: CPU time in microseconds an account, the least of some rounds. The
cold rows read with nothing kept; the others answer again after one account was written by another
process, with everything else kept. ``--url`` measures an empty PostgreSQL database instead.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import Table, insert

from balance_gateway.api.compiled.engine import CompiledEngine
from balance_gateway.api.execution.engine import Engine, GraphQLRequest
from balance_gateway.api.request.context import Caller
from balance_gateway.api.request.limits import Limits
from balance_gateway.app.configuration import read_settings
from balance_gateway.app.running_gateway import open_running_gateway
from balance_gateway.domain.access import Principal, Scope
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.balances import OpeningBalanceWrite
from balance_gateway.domain.ledger import Book
from balance_gateway.domain.money import Money
from balance_gateway.observability.metrics import Metrics
from balance_gateway.service.gateway import Gateway
from balance_gateway.storage.database import Database, open_database
from balance_gateway.storage.ledger import SqlLedgerStore
from balance_gateway.storage.tables import (
    ledger_currencies,
    ledger_days,
    ledger_opening_balances,
)
from benchmarks import configuration
from benchmarks.servers import KEY

_CALLER = Caller(
    Principal("benchmark", configuration.TENANT, frozenset({Scope.BALANCES_READ})), "request"
)

_FIELDS = {
    "cold opening balances": "openingBalance { amount { amount } source effectiveAt }",
    "cold balances": "balance { asOf bank { amount } ledger { amount } }",
    "unsettledWrite, one account written": "unsettledWrite { writeId at }",
    "balances, one account written": "balance { asOf bank { amount } ledger { amount } }",
}


def main() -> int:
    """Measure and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url", help="of an empty PostgreSQL database")
    arguments = parser.parse_args()
    asyncio.run(_measure_all(arguments.accounts, arguments.rounds, arguments.url))
    return 0


async def _measure_all(accounts: int, rounds: int, url: str | None) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embedded-")))
        layout = configuration.Layout({"local": accounts}, storage_url=url)
        path = configuration.write_configuration(
            folder, KEY, "http://127.0.0.1:9", "memory://", layout
        )
        settings = read_settings(path)
        running = await stack.enter_async_context(open_running_gateway(settings))
        database = await open_database(settings.storage.url.reveal())
        stack.push_async_callback(database.aclose)
        store = SqlLedgerStore(database)
        await _fill(database, settings.accounts)
        gateway = running.current.components.gateway
        for name, fields in _FIELDS.items():
            least_s = float("inf")
            for number in range(rounds):
                engine = _build_engine(gateway, accounts)
                if not name.startswith("cold"):
                    await _answer(engine, accounts, fields)
                    account = settings.accounts[number]
                    amount = Money(number, account.currency)
                    await store.set_opening_balance(OpeningBalanceWrite(account, amount, None))
                began_s = time.process_time()
                await _answer(engine, accounts, fields)
                least_s = min(least_s, time.process_time() - began_s)
            print(f"{name:40} {least_s / accounts * 1e6:8.1f} µs an account")


async def _fill(database: Database, of: Sequence[Account]) -> None:
    """Store an opening balance and a day of entries of each account, in one transaction."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    opening = {"minor_units": 5, "effective_at": at, "created_at": at, "updated_at": at}
    day = {"day": date(2026, 1, 2), "closing": 7}
    rows: dict[Table, list[dict[str, object]]] = {
        ledger_opening_balances: [
            {"account_id": one.id, "currency": one.currency, **opening} for one in of
        ],
        ledger_days: [
            {"account_id": one.id, "book": book.value, **day} for one in of for book in Book
        ],
        ledger_currencies: [{"account_id": one.id, "currency": one.currency} for one in of],
    }
    async with database.write_transaction() as connection:
        for table, values in rows.items():
            await connection.execute(insert(table), values)


def _build_engine(gateway: Gateway, accounts: int) -> CompiledEngine:
    limits = Limits(accounts=accounts)
    engine = Engine(gateway, limits=limits)
    return CompiledEngine(engine, gateway, limits=limits, request_timeout_s=60.0, metrics=Metrics())


async def _answer(engine: CompiledEngine, accounts: int, fields: str) -> None:
    query = f"{{ bankAccounts(first: {accounts}) {{ nodes {{ id {fields} }} }} }}"
    body = query.encode()
    if engine.cached_response(body, _CALLER) is not None:
        return
    operation = engine.prepare(GraphQLRequest(query, None))
    response = None
    if engine.may_cache(_CALLER):
        response = engine.try_cached(operation, _CALLER, body)
    if response is None:
        response = await engine.execute(operation, _CALLER, body)
    assert response.status == 200, response.body[:300]


if __name__ == "__main__":
    raise SystemExit(main())
