"""Build the use cases of plans, and the runner that carries plans out in the background."""

import uuid
from collections.abc import Mapping

from balance_gateway.app.resources import Resources
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.ports.reads import ReadPipeline
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balance_plans.applying import PlanApplier
from balance_gateway.service.opening_balance_plans.plan_rows import RowValidator
from balance_gateway.service.opening_balance_plans.plans import OpeningBalancePlans
from balance_gateway.service.opening_balance_plans.reading import PlanReader
from balance_gateway.service.opening_balance_plans.runner import PlanRunner
from balance_gateway.service.reconciler import Reconciler
from balance_gateway.service.writer import OpeningBalanceWriter
from balance_gateway.storage.plans import SqlPlanStore


def build_plans(
    resources: Resources,
    *,
    directory: Directory,
    providers: Mapping[str, BalanceProvider],
    remote_accounts: Mapping[str, str],
    reads: ReadPipeline,
    writer: OpeningBalanceWriter,
    reconciler: Reconciler,
    unfinished_s: float,
) -> tuple[OpeningBalancePlans, PlanRunner]:
    """Build the use cases of plans and their runner; nothing runs yet.

    Args:
        resources: the storage and the clock.
        directory: looks up accounts.
        providers: the providers by connector name.
        remote_accounts: the remote account of each account, by account id.
        reads: the read service.
        writer: sets opening balances.
        reconciler: knows the unsettled writes.
        unfinished_s: how long a write can be without an outcome, in seconds.
    """
    clock = resources.write_clock
    store = SqlPlanStore(resources.database, clock)
    applier = PlanApplier(
        directory=directory,
        remote_accounts=remote_accounts,
        reads=reads,
        writer=writer,
        reconciler=reconciler,
        journal=resources.journal,
        store=store,
        clock=clock,
        unfinished_s=unfinished_s,
    )
    reader = PlanReader(directory, reads, store, clock)
    runner = PlanRunner(store, reader, applier, clock, owner=str(uuid.uuid4()))
    plans = OpeningBalancePlans(
        validator=RowValidator(directory, providers, remote_accounts),
        store=store,
        clock=clock,
        new_id=lambda: str(uuid.uuid4()),
        wake=runner.wake,
    )
    return plans, runner
