"""The fields of connectors. Their health and call budget are holes, which are filled at the end."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from graphql import FieldNode

from balance_gateway.api.compiled.compiler import (
    Compiler,
    FieldCompiler,
    ObjectType,
    SelectedField,
    Write,
    leaf,
    nested,
)
from balance_gateway.api.compiled.encoding import encode_instant, encode_name, encode_text
from balance_gateway.api.compiled.field_errors import KeyPath
from balance_gateway.api.compiled.holes import ConnectorHole
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.schema.json_output import encode_json
from balance_gateway.api.schema.node import build_connector_id
from balance_gateway.domain.health import ConnectorStatus
from balance_gateway.service.directory import Connector


class ConnectorView(NamedTuple):
    """A connector, and its state if a selected field shows it."""

    connector: Connector
    status: ConnectorStatus | None


def _encode_number(value: int | None) -> bytes:
    return b"null" if value is None else b"%d" % value


HEALTH = ObjectType(
    "ConnectorHealth",
    {
        "state": leaf(lambda status: encode_name(status.state)),
        "lastSuccessAt": leaf(lambda status: encode_instant(status.last_success_at)),
        "lastFailureAt": leaf(lambda status: encode_instant(status.last_failure_at)),
        "lastFailureCode": leaf(lambda status: encode_text(status.last_failure_code)),
        "downSince": leaf(lambda status: encode_instant(status.down_since)),
        "retryAt": leaf(lambda status: encode_instant(status.retry_at)),
    },
)

BUDGET = ObjectType(
    "ConnectorBudget",
    {
        "requestsPerMinute": leaf(lambda status: _encode_number(status.requests_per_minute)),
        "remaining": leaf(lambda status: _encode_number(status.remaining)),
        "refillsAt": leaf(lambda status: encode_instant(status.refills_at)),
    },
)


def _status(type_: ObjectType) -> FieldCompiler:
    compile_object = nested(type_, lambda view: view.status)

    def compile_field(compiler: Compiler, field: SelectedField) -> Write:
        compiler.uses_status = True
        return compile_object(compiler, field)

    return compile_field


def _encode_capabilities(view: ConnectorView) -> bytes:
    return encode_json(sorted(each.name for each in view.connector.capabilities))


CONNECTOR = ObjectType(
    "Connector",
    {
        "id": leaf(lambda view: encode_text(build_connector_id(view.connector.id))),
        "name": leaf(lambda view: encode_text(view.connector.id)),
        "provider": leaf(lambda view: encode_name(view.connector.provider)),
        "capabilities": leaf(_encode_capabilities),
        "health": _status(HEALTH),
        "budget": _status(BUDGET),
    },
)


def compile_connector(compiler: Compiler, nodes: Sequence[FieldNode], path: KeyPath) -> Write:
    """Compile the selection on a connector.

    Args:
        compiler: the compiler of the output.
        nodes: the field nodes with its selections.
        path: the path of the connector.
    """
    before, compiler.uses_status = compiler.uses_status, False
    write_object = compiler.compile_object(CONNECTOR, nodes, path)
    uses_status, compiler.uses_status = compiler.uses_status, before

    def write_text(connector: Connector, status: ConnectorStatus | None) -> bytes:
        # No field of a connector is a hole, or uses the state.
        out = Output(None)  # type: ignore[arg-type]
        write_object(ConnectorView(connector, status), out)
        parts: list[Any] = out.parts
        return b"".join(parts)

    if uses_status:
        holes: dict[str, ConnectorHole] = {}

        def add_hole(connector: Connector, out: Output) -> None:
            hole = holes.get(connector.id)
            if hole is None:
                hole = holes[connector.id] = ConnectorHole(connector, write_text)
            out.add_connector(hole)

        return add_hole
    texts: dict[str, bytes] = {}

    def write_static(connector: Connector, out: Output) -> None:
        text = texts.get(connector.id)
        if text is None:
            text = texts[connector.id] = write_text(connector, None)
        out.parts.append(text)

    return write_static
