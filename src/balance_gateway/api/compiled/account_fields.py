"""The fields of accounts, and of opening balances, bank feeds and unsettled writes."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from balance_gateway.api.compiled.balance_fields import (
    BALANCE_ARGUMENTS,
    FRESHNESS,
    MONEY,
    FreshnessView,
    compile_balance,
)
from balance_gateway.api.compiled.compiler import (
    Compiler,
    FieldCompiler,
    ObjectType,
    SelectedField,
    Write,
    leaf,
    nested,
    nested_list,
)
from balance_gateway.api.compiled.connector_fields import compile_connector
from balance_gateway.api.compiled.encoding import (
    encode_boolean,
    encode_instant,
    encode_name,
    encode_text,
)
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.request_values import RequestValues
from balance_gateway.api.compiled.series_fields import (
    SERIES_ARGUMENTS,
    compile_history,
    compile_series,
)
from balance_gateway.api.compiled.taken_values import take_value
from balance_gateway.api.schema.json_output import encode_json, encode_json_value
from balance_gateway.domain.accounts import Account, Capability
from balance_gateway.domain.money import Money
from balance_gateway.domain.writes import UnsettledWrite, WriteRecord

TAG = ObjectType(
    "Tag",
    {
        "tagId": leaf(lambda tag: encode_text(tag.id)),
        "key": leaf(lambda tag: encode_text(tag.key)),
        "value": leaf(lambda tag: encode_text(tag.value)),
        "dimensionId": leaf(lambda tag: encode_text(tag.dimension_id)),
        "definitionId": leaf(lambda tag: encode_text(tag.definition_id)),
        "dimensionDisplayName": leaf(lambda tag: encode_text(tag.dimension_display_name)),
        "valueDisplayName": leaf(lambda tag: encode_text(tag.value_display_name)),
        "archivedAt": leaf(lambda tag: encode_instant(tag.archived_at)),
    },
)


def _encode_metadata(metadata: object) -> bytes:
    return b"null" if metadata is None else encode_json(encode_json_value(metadata))


OPENING_BALANCE = ObjectType(
    "OpeningBalance",
    {
        "amount": nested(MONEY, lambda observed: observed.value.amount),
        "effectiveAt": leaf(lambda observed: encode_instant(observed.value.effective_at)),
        "source": leaf(lambda observed: encode_name(observed.value.source)),
        "createdAt": leaf(lambda observed: encode_instant(observed.value.created_at)),
        "updatedAt": leaf(lambda observed: encode_instant(observed.value.updated_at)),
        "memo": leaf(lambda observed: encode_text(observed.value.memo)),
        "referenceNumber": leaf(lambda observed: encode_text(observed.value.reference_number)),
        "tags": nested_list(TAG, lambda observed: observed.value.tags),
        "metadata": leaf(lambda observed: _encode_metadata(observed.value.metadata)),
        "freshness": nested(FRESHNESS, FreshnessView),
    },
)

BANK_FEED = ObjectType(
    "BankFeed",
    {
        "state": leaf(lambda observed: encode_name(observed.value.state)),
        "lastSyncedAt": leaf(lambda observed: encode_instant(observed.value.last_synced_at)),
        "disconnectedAt": leaf(lambda observed: encode_instant(observed.value.disconnected_at)),
        "needsAttention": leaf(lambda observed: encode_boolean(observed.value.needs_attention)),
        "freshness": nested(FRESHNESS, FreshnessView),
    },
)

REPORTED_BALANCE = ObjectType(
    "ReportedBalance",
    {
        "amount": nested(MONEY, lambda observed: observed.value.amount),
        "reportedAt": leaf(lambda observed: encode_instant(observed.value.reported_at)),
        "freshness": nested(FRESHNESS, FreshnessView),
    },
)


class UnsettledView(NamedTuple):
    """An unsettled write, without values when it is of another tenant."""

    write_id: str | None
    amount: Money | None
    effective_at: datetime | None
    started_at: datetime


UNSETTLED_WRITE = ObjectType(
    "UnsettledWrite",
    {
        "writeId": leaf(lambda view: encode_text(view.write_id)),
        "amount": nested(MONEY, lambda view: view.amount),
        "effectiveAt": leaf(lambda view: encode_instant(view.effective_at)),
        "at": leaf(lambda view: encode_instant(view.started_at)),
    },
)


def _build_unsettled(found: WriteRecord | UnsettledWrite) -> UnsettledView | None:
    if isinstance(found, WriteRecord):
        intent = found.intent
        return UnsettledView(intent.id, intent.amount, intent.effective_at, intent.started_at)
    if found.started_at is None:
        return None
    return UnsettledView(None, None, None, found.started_at)


def _read(
    type_: ObjectType,
    get: Callable[[RequestValues, Account], Any],
    *,
    needs: Capability | None = None,
    build: Callable[[Any], Any] = lambda observed: observed,
) -> FieldCompiler:
    """Return the compiler of a field with a value that is read.

    Args:
        type_: the type of the field.
        get: returns the value of an account.
        needs: the capability without which the field is null.
        build: converts the observed value for the writers of the type; None is written as null.
    """

    def compile_field(compiler: Compiler, field: SelectedField) -> Write:
        write_object = compiler.compile_object(type_, field.nodes, field.path)
        compiler.allow_error(field.nodes, field.path)

        def write(account: Account, out: Output) -> None:
            if needs is not None and needs not in account.capabilities:
                out.parts.append(b"null")
                return
            observed = take_value(get(out.state.values, account), out, field.path)
            if observed is None:
                return
            value = build(observed)
            if value is None:
                out.parts.append(b"null")
            else:
                write_object(value, out)

        return write

    return compile_field


def _compile_normal_balance(compiler: Compiler, field: SelectedField) -> Write:
    compiler.allow_error(field.nodes, field.path)

    def write(account: Account, out: Output) -> None:
        if account.normal_balance is not None:
            out.parts.append(encode_name(account.normal_balance))
            return
        result = out.state.values.get_normal_balance(account)
        observed = take_value(result, out, field.path)
        if observed is not None:
            out.parts.append(encode_name(observed.value))

    return write


def _compile_connector(compiler: Compiler, field: SelectedField) -> Write:
    write_connector = compile_connector(compiler, field.nodes, field.path)

    def write(account: Account, out: Output) -> None:
        directory = out.state.context.gateway.directory
        write_connector(directory.connector(account.connector), out)

    return write


def _encode_capabilities(account: Account) -> bytes:
    return encode_json(sorted(each.name for each in account.capabilities))


BANK_ACCOUNT = ObjectType(
    "BankAccount",
    {
        "id": leaf(lambda account: encode_text(account.id)),
        "name": leaf(lambda account: encode_text(account.name)),
        "currency": leaf(lambda account: encode_text(account.currency)),
        "provider": leaf(lambda account: encode_name(account.provider)),
        "timeZone": leaf(lambda account: encode_text(account.time_zone.key)),
        "capabilities": leaf(_encode_capabilities),
        "connector": _compile_connector,
        "normalBalance": _compile_normal_balance,
        "balance": compile_balance,
        "balanceSeries": compile_series,
        "balanceHistory": compile_history,
        "openingBalance": _read(OPENING_BALANCE, RequestValues.get_opening_balance),
        "bankFeed": _read(BANK_FEED, RequestValues.get_bank_feed, needs=Capability.READ_BANK_FEED),
        "latestBank": _read(
            REPORTED_BALANCE,
            RequestValues.get_reported_balance,
            needs=Capability.READ_BANK_FEED,
        ),
        "unsettledWrite": _read(
            UNSETTLED_WRITE,
            RequestValues.get_unsettled_write,
            build=lambda observed: _build_unsettled(observed.value),
        ),
    },
    arguments={
        "balance": BALANCE_ARGUMENTS,
        "balanceSeries": SERIES_ARGUMENTS,
        "balanceHistory": SERIES_ARGUMENTS,
    },
)
