"""Validates the rows of a plan, each on its own, and hashes what was sent."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from balance_gateway.domain.access import Principal
from balance_gateway.domain.accounts import ACCOUNT_ID, Capability
from balance_gateway.domain.errors import BadInput, GatewayError, Unsupported
from balance_gateway.domain.opening_balance_plans import PlanRow
from balance_gateway.ports.providers import BalanceProvider
from balance_gateway.service.directory import Directory
from balance_gateway.service.opening_balance_plans.requests import SentPart, SentRow
from balance_gateway.service.upsert_plan import plan_upsert

#: The largest line: a 32-bit integer, as in GraphQL.
_LINE_MAX = 2**31 - 1


class RowValidator:
    """Turns sent rows into rows of a plan; a row that cannot be applied is INVALID, not an error.

    Args:
        directory: looks up accounts.
        providers: providers by connector name.
        remote_accounts: the remote account of each account, by account id.
    """

    def __init__(
        self,
        directory: Directory,
        providers: Mapping[str, BalanceProvider],
        remote_accounts: Mapping[str, str],
    ) -> None:
        self._directory = directory
        self._providers = providers
        self._remote_accounts = remote_accounts

    def build_row(self, principal: Principal, sent: SentRow, now: datetime) -> PlanRow:
        """Return the row: pending, or INVALID with the reason."""
        # Only an id that can exist is kept: any other text may not be storable.
        is_id = ACCOUNT_ID.fullmatch(sent.account_id) is not None
        row = PlanRow(sent.line, sent.account_id if is_id else "")
        try:
            return self._build_valid_row(principal, sent, now)
        except GatewayError as error:
            return row.as_invalid(error.code.value, error.message, error.field)

    def _build_valid_row(self, principal: Principal, sent: SentRow, now: datetime) -> PlanRow:
        if isinstance(sent.request, GatewayError):
            raise sent.request
        account = self._directory.account(principal, sent.account_id)
        if Capability.WRITE_OPENING_BALANCE not in account.capabilities:
            raise Unsupported(
                "The opening balance of this account cannot be set: its provider, or the account"
                " as it is configured, does not support it."
            )
        provider = self._providers[account.connector]
        plan = plan_upsert(principal, sent.request, account, provider, now)
        return PlanRow(
            sent.line,
            account.id,
            connector=account.connector,
            remote_account=self._remote_accounts[account.id],
            amount=plan.amount,
            # As sent: without one, the instant of the write counts.
            effective_at=sent.request.effective_at,
            memo=plan.memo,
            reference_number=plan.reference_number,
        )


def check_lines(rows: Sequence[SentRow]) -> None:
    """Check the lines of a part.

    Raises:
        BadInput: a line is out of range, or is there twice.
    """
    seen: set[int] = set()
    for index, row in enumerate(rows):
        field = f"input.rows[{index}].line"
        if not 1 <= row.line <= _LINE_MAX:
            raise BadInput("line must be at least 1.", field=field)
        if row.line in seen:
            message = f"line {row.line} is there twice; each row must have a line of its own."
            raise BadInput(message, field=field)
        seen.add(row.line)


def compute_part_fingerprint(principal: Principal, part: SentPart) -> str:
    """Hash a part as it was sent; only parts with equal content have equal hashes."""
    digest = hashlib.sha256()
    head = [principal.name, part.number, part.is_last, part.needs_approval]
    digest.update(json.dumps(head).encode())
    for row in part.rows:
        request = row.request
        sent = str(request) if isinstance(request, GatewayError) else repr(request)
        digest.update(json.dumps([row.line, row.account_id, sent]).encode())
    return digest.hexdigest()
