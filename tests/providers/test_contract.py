"""Contract suite of all HTTP providers, run against the sandbox over real sockets.

To add a provider, add a line to ``CASES`` and a branch to ``connect``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from balance_gateway.domain.accounts import Account, Capability, ProviderKind, Side
from balance_gateway.domain.balances import (
    BalanceFigures,
    OpeningBalanceSource,
    OpeningBalanceWrite,
)
from balance_gateway.domain.calendar_days import day_end_exclusive
from balance_gateway.domain.errors import (
    BadInput,
    GatewayError,
    ProviderCredentialsRejected,
    ProviderError,
    Unsupported,
)
from balance_gateway.domain.money import Money, currency_exponent
from balance_gateway.domain.secret import Secret
from tests.providers.conftest import (
    ENTRIES_START,
    SandboxServer,
    assert_contains_no_secret,
    make_account,
    make_query,
    make_write,
    sandbox_account,
)

Connect = Callable[..., Any]


@dataclass(frozen=True)
class ProviderCase:
    """A provider and the sandbox accounts to test it with.

    Attributes:
        kind: The provider's kind.
        operating: Name of an account that holds money.
        owed: Name of an account that owes money.
        unset: Name of an account without an opening balance.
        third: Name of another account of the same business.
    """

    kind: ProviderKind
    operating: str
    owed: str
    unset: str
    third: str

    @property
    def name(self) -> str:
        return self.kind.value

    def account(self, name: str, **options: Any) -> Account:
        return sandbox_account(self.name, name, **options)

    def get_remote_id(self, account: Account) -> str:
        keys = {"light": "bank_account_id", "asset": "ledger_id", "layer": "external_account_id"}
        return account.remote[keys[self.name]]

    def write(self, account: Account, minor_units: int) -> OpeningBalanceWrite:
        return make_write(account, minor_units, effective_at=self.get_effective_at())

    def get_effective_at(self, at: datetime = ENTRIES_START) -> datetime | None:
        return None if self.kind is ProviderKind.ASSET else at


CASES = [
    ProviderCase(
        ProviderKind.LIGHT, "Operating USD", "Company card EUR", "New account USD", "Operating EUR"
    ),
    ProviderCase(
        ProviderKind.ASSET, "Operating checking", "Company card", "New savings", "Legacy reserve"
    ),
    ProviderCase(
        ProviderKind.LAYER, "Operating checking", "Company card", "New savings", "Legacy reserve"
    ),
]


@pytest.fixture(params=CASES, ids=[case.name for case in CASES])
def case(request: pytest.FixtureRequest) -> ProviderCase:
    found: ProviderCase = request.param
    return found


def read_stored_opening(state: dict[str, Any], currency: str, provider: str) -> int | None:
    """Return the opening balance stored by the sandbox in minor units, from the holder's side."""
    if state["opening"] is None:
        return None
    amount = Decimal(state["opening"]["amount"])
    if provider == "asset":
        amount = amount.scaleb(currency_exponent(currency))
    if provider != "light" and state["normal_side"] == "credit":
        amount = -amount
    return int(amount)


def compute_ledger_balance(state: dict[str, Any], account: Account, day: str, provider: str) -> int:
    """Compute the ledger balance at the end of the day from the sandbox's entries."""
    until = day_end_exclusive(date.fromisoformat(day), account.time_zone)
    basis = "cash" if provider == "asset" else "accrual"
    amounts = (
        Decimal(entry["amount"])
        for entry in state["entries"]
        if entry["on_books"]
        and (provider == "light" or basis in entry["bases"])
        and datetime.fromisoformat(entry["at"]) < until
        and (provider != "asset" or datetime.fromisoformat(entry["at"]) >= ENTRIES_START)
    )
    total = sum(amounts, Decimal(0))
    minor = int(total.scaleb(2)) if provider == "asset" else int(total)
    if provider != "light" and until > ENTRIES_START:
        minor += read_stored_opening(state, account.currency, provider) or 0
    return minor


async def test_capabilities_match_the_documentation(connect: Connect, case: ProviderCase) -> None:
    provider = connect(case.name)

    assert provider.kind is case.kind
    assert Capability.READ_LEDGER_BALANCE in provider.capabilities
    assert Capability.WRITE_OPENING_BALANCE in provider.capabilities
    assert Capability.WRITE_MEMO not in provider.capabilities
    chooses = Capability.CHOOSE_EFFECTIVE_AT in provider.capabilities
    assert chooses is (case.kind is not ProviderKind.ASSET)
    reads = Capability.READ_OPENING_BALANCE in provider.capabilities
    assert reads is (case.kind is ProviderKind.LAYER)
    bank = Capability.READ_BANK_BALANCE in provider.capabilities
    assert bank is (case.kind is ProviderKind.LIGHT)


async def test_probe_is_one_successful_read(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer
) -> None:
    await connect(case.name).probe()

    calls = [one for one in sandbox.requests() if "token" not in one["path"]]
    assert [one["method"] for one in calls] == ["GET"]


@pytest.mark.parametrize("day", ["2026-01-01", "2026-05-06", "2026-05-07"])
async def test_ledger_balance_includes_entries_until_end_of_day(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer, day: str
) -> None:
    account = case.account(case.operating)

    [figures] = await connect(case.name).balances([make_query(account, day)])

    assert isinstance(figures, BalanceFigures)
    assert figures.as_of == date.fromisoformat(day)
    state = sandbox.state(case.name, case.get_remote_id(account))
    expected = compute_ledger_balance(state, account, day, case.name)
    assert figures.ledger == Money(expected, account.currency)
    assert (figures.bank is None) is (case.kind is not ProviderKind.LIGHT)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])
async def test_day_ends_in_the_accounts_zone(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer, zone: str
) -> None:
    """Light receives a date without a zone; the others receive the bounds in the zone."""
    if case.kind is ProviderKind.LIGHT:
        zone = "UTC"
    account = case.account(case.operating, zone=zone)
    provider = connect(case.name)
    [before] = await provider.balances([make_query(account, "2026-05-06")])
    [next_before] = await provider.balances([make_query(account, "2026-05-07")])
    end = day_end_exclusive(date(2026, 5, 6), account.time_zone)
    last, first = end.timestamp() - 0.000001, end.timestamp()
    for amount, at in ((100, last), (10_000, first)):
        text = amount if case.kind is not ProviderKind.ASSET else f"{amount / 100:.2f}"
        moment = datetime.fromtimestamp(at, UTC).isoformat()
        entry = {"provider": case.name, "account": case.get_remote_id(account), "amount": text}
        sandbox.control("POST", "transactions", entry | {"at": moment, "book": "ledger"})

    [after] = await provider.balances([make_query(account, "2026-05-06")])
    [next_after] = await provider.balances([make_query(account, "2026-05-07")])

    assert after.ledger.minor_units - before.ledger.minor_units == 100
    assert next_after.ledger.minor_units - next_before.ledger.minor_units == 10_100


async def test_money_owed_is_negative(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer
) -> None:
    account = case.account(case.owed)
    state = sandbox.state(case.name, case.get_remote_id(account))

    [figures] = await connect(case.name).balances([make_query(account, "2026-01-01")])

    assert (
        figures.ledger.minor_units
        == compute_ledger_balance(state, account, "2026-01-01", case.name)
        < 0
    )


async def test_queries_of_a_group_use_one_call_in_order(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer
) -> None:
    accounts = [case.account(name) for name in (case.owed, case.operating, case.third)]
    provider = connect(case.name)
    queries = [make_query(account, "2026-05-06") for account in accounts]
    await provider.balances(queries[:1])
    sandbox.control("DELETE", "requests")

    together = await provider.balances(queries)

    calls = len(sandbox.requests())
    assert calls == (3 if case.kind is ProviderKind.LIGHT else 1)
    groups = {provider.balance_group(query) for query in queries}
    assert len(groups) == calls
    alone = [(await provider.balances([query]))[0] for query in queries]
    assert list(together) == alone


async def test_group_depends_on_day_and_zone(connect: Connect, case: ProviderCase) -> None:
    provider = connect(case.name)
    account = case.account(case.operating)
    today, tomorrow = make_query(account, "2026-05-07"), make_query(account, "2026-05-08")

    assert provider.balance_group(today) == provider.balance_group(
        make_query(account, "2026-05-07")
    )
    assert provider.balance_group(today) != provider.balance_group(tomorrow)
    if case.kind is not ProviderKind.LIGHT:
        other_zone = case.account(case.operating, zone="Asia/Tokyo")
        assert provider.balance_group(
            make_query(other_zone, "2026-05-07")
        ) != provider.balance_group(today)


async def test_unknown_account_does_not_fail_other_accounts(
    connect: Connect, case: ProviderCase
) -> None:
    good = case.account(case.operating)
    remote = dict(good.remote)
    for key in ("bank_account_id", "ledger_id", "ledger_account_id"):
        if key in remote:
            remote[key] = "6f1c0b6e-3c0e-4d0a-9c56-1d1d6a7f2a11"
    bad = make_account(case.kind, good.currency, remote=remote, id="acct_bad")

    result = await connect(case.name).balances(
        [make_query(bad, "2026-05-06"), make_query(good, "2026-05-06")]
    )

    assert isinstance(result[0], GatewayError)
    assert result[0].account_id == "acct_bad"
    assert isinstance(result[1], BalanceFigures)


async def test_normal_side_is_configured_or_read_from_provider(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer
) -> None:
    provider = connect(case.name)
    owed = case.account(case.owed)
    asked = await provider.normal_balance(owed)
    sandbox.control("DELETE", "requests")

    assert asked is (Side.DEBIT if case.kind is ProviderKind.LIGHT else Side.CREDIT)
    assert await provider.normal_balance(owed) is asked
    configured = case.account(case.owed, normal_balance=Side.DEBIT)
    assert await provider.normal_balance(configured) is Side.DEBIT
    assert sandbox.requests() == []


async def test_opening_balance_is_read_if_documented(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer
) -> None:
    provider = connect(case.name)
    account = case.account(case.owed)

    if Capability.READ_OPENING_BALANCE not in provider.capabilities:
        with pytest.raises(Unsupported):
            await provider.opening_balance(account)
        return
    opening = await provider.opening_balance(account)

    state = sandbox.state(case.name, case.get_remote_id(account))
    assert opening.amount == Money(
        read_stored_opening(state, account.currency, case.name) or 0, account.currency
    )
    assert opening.effective_at == ENTRIES_START
    assert opening.source is OpeningBalanceSource.PROVIDER
    assert await provider.opening_balance(case.account(case.unset)) is None


# Layer is left out: its API has the opening balance, which is therefore never derived.
@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.kind is not ProviderKind.LAYER],
    ids=lambda case: case.name,
)
async def test_opening_balance_is_derived_from_configured_day(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer
) -> None:
    account = case.account(case.operating)
    state = sandbox.state(case.name, case.get_remote_id(account))
    # At Light, Operating USD has entries before its opening balance: the day is before them all.
    day = date(2025, 6, 1) if case.kind is ProviderKind.LIGHT else date(2026, 1, 1)
    configured = case.account(case.operating, derive_opening_balance_as_of=day)

    opening = await connect(case.name).opening_balance(configured)

    assert opening.amount.minor_units == read_stored_opening(state, account.currency, case.name)
    assert opening.source is OpeningBalanceSource.DERIVED
    assert opening.effective_at is None


@pytest.mark.parametrize("minor_units", [0, 1, -1, 123_456_78, 2**53 + 1, -(2**53) - 1])
@pytest.mark.parametrize("which", ["operating", "owed", "unset"])
async def test_written_amount_is_stored(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer, which: str, minor_units: int
) -> None:
    account = case.account(getattr(case, which))
    provider = connect(case.name)
    at = case.get_effective_at(datetime(2025, 12, 1, 9, 30, tzinfo=UTC))

    stored = await provider.set_opening_balance(make_write(account, minor_units, effective_at=at))

    state = sandbox.state(case.name, case.get_remote_id(account))
    assert read_stored_opening(state, account.currency, case.name) == minor_units
    assert stored.amount == Money(minor_units, account.currency)
    assert stored.effective_at == at
    if at is not None:
        assert datetime.fromisoformat(state["opening"]["at"]) == at
    if Capability.READ_OPENING_BALANCE in provider.capabilities:
        read = await provider.opening_balance(account)
        assert read.amount == stored.amount


async def test_amount_in_another_currency_is_never_sent(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer
) -> None:
    account = case.account(case.operating)
    write = make_write(account, 1, effective_at=case.get_effective_at())
    write = type(write)(account, Money(1, "CHF"), write.effective_at)

    with pytest.raises(BadInput) as caught:
        await connect(case.name).set_opening_balance(write)

    assert caught.value.field == "amount.currency"
    assert sandbox.requests() == []


async def test_instant_without_an_offset_is_never_sent(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer
) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
    write = make_write(case.account(case.operating), 1, effective_at=naive)

    with pytest.raises(BadInput) as caught:
        await connect(case.name).set_opening_balance(write)

    assert caught.value.field == "effectiveAt"
    assert not [one for one in sandbox.requests() if one["method"] in {"PUT", "POST"}]


async def test_wrong_credentials_are_reported(connect: Connect, case: ProviderCase) -> None:
    keys = {"light": "api_key"}
    wrong = {keys.get(case.name, "client_secret"): Secret("wrong-client-secret-8c")}
    provider = connect(case.name, **wrong)
    account = case.account(case.operating, configured_side=True)

    with pytest.raises(ProviderCredentialsRejected) as read:
        await provider.balances([make_query(account, "2026-05-07")])
    with pytest.raises(ProviderCredentialsRejected) as write:
        await provider.set_opening_balance(case.write(account, 1))

    assert not write.value.maybe_applied
    for caught in (read, write):
        assert_contains_no_secret(caught.value)


async def test_account_of_another_tenant_is_refused(
    connect: Connect, case: ProviderCase, sandbox: SandboxServer
) -> None:
    provider = connect(case.name, credential=f"{case.name}-globex")
    account = case.account(case.operating, configured_side=True)

    with pytest.raises(ProviderError):
        await provider.balances([make_query(account, "2026-05-07")])
    with pytest.raises(ProviderError) as caught:
        await provider.set_opening_balance(case.write(account, 1))

    assert not caught.value.maybe_applied


async def test_first_and_last_calendar_day_never_crash(
    connect: Connect, case: ProviderCase
) -> None:
    account = case.account(case.operating, zone="Pacific/Kiritimati")

    for day in (date.max, date.min):
        try:
            await connect(case.name).balances(
                [type(make_query(account, "2026-01-01"))(account, day)]
            )
        except (BadInput, ProviderError) as error:
            assert_contains_no_secret(error)
