"""The fields of the query root, of pages of accounts, and of who asks whom."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from balance_gateway import __version__
from balance_gateway.api.compiled.account_json import AccountWriter, build_entry, build_failed_entry
from balance_gateway.api.compiled.account_json_cache import AccountJson
from balance_gateway.api.compiled.account_pages import PageWriter
from balance_gateway.api.compiled.argument_coercion import ABSENT, NO_FILTER
from balance_gateway.api.compiled.compiler import (
    Compiler,
    ObjectType,
    SelectedField,
    Write,
    leaf,
    nested,
    nested_list,
    write_list,
)
from balance_gateway.api.compiled.connector_fields import compile_connector
from balance_gateway.api.compiled.encoding import encode_boolean, encode_instant, encode_text
from balance_gateway.api.compiled.field_errors import KeyPath
from balance_gateway.api.compiled.output import Output
from balance_gateway.api.compiled.request_state import RequestState
from balance_gateway.api.compiled.selections import FallBackToGraphQLCore
from balance_gateway.api.compiled.total_fields import TOTALS_ARGUMENTS, compile_totals
from balance_gateway.api.compiled.total_series_fields import (
    TOTAL_SERIES_ARGUMENTS,
    compile_totals_series,
)
from balance_gateway.api.request.limits import Limits
from balance_gateway.api.schema.bank_accounts import PAGE_SIZE
from balance_gateway.api.schema.connection import Page, Window, encode_order_cursor, find_page
from balance_gateway.api.schema.json_output import encode_json
from balance_gateway.api.schema.node import is_connector_id, parse_connector_name
from balance_gateway.api.schema.queries import (
    ACCOUNT_ID_CHARACTERS_MAX,
    NODE_ID_CHARACTERS_MAX,
)
from balance_gateway.domain.accounts import Account
from balance_gateway.domain.errors import AccountNotFound, BadInput, GatewayError
from balance_gateway.service.account_index import AccountFilter
from balance_gateway.service.account_order import AccountOrder
from balance_gateway.service.directory import Connector


class NodeWriter:
    """Writes accounts and connectors by their ids.

    Args:
        compiler: the compiler of the response.
        field: the field that has the ids.
        path: the path of each object.
    """

    def __init__(self, compiler: Compiler, field: SelectedField, path: KeyPath) -> None:
        self.accounts = AccountWriter(compiler, field.nodes, path)
        self._write_connector = compile_connector(compiler, field.nodes, path)
        self._path = path
        compiler.allow_error(field.nodes, path)

    def write(self, node_id: str, out: Output, field: str) -> None:
        """Write one object, or null with an error; ``field`` is the argument with the id."""
        account = out.state.get_accounts().get(node_id)
        if account is not None:
            self.accounts.write(account, out)
        else:
            self._write_other(node_id, out, self._path, field)

    def write_list(self, node_ids: Sequence[str], out: Output) -> None:
        """Write the objects of the argument ``ids``."""
        found = list(map(out.state.get_accounts().get, node_ids))
        accounts = [each for each in found if each is not None]
        items = self.accounts.find_all(accounts, out)
        if len(accounts) < len(found):
            for position in [index for index, each in enumerate(found) if each is None]:
                items.insert(position, self._build_other(node_ids[position], out))
        out.parts.append(b"[")
        self.accounts.add_items(items, out)
        out.parts.append(b"]")

    def _build_other(self, node_id: str, out: Output) -> AccountJson:
        """Write what is no account as an item of a list of accounts."""
        if not is_connector_id(node_id):
            return build_failed_entry(build_not_found(node_id, "ids"))
        part = Output(out.state)
        self._write_other(node_id, part, (), "ids")
        validities = part.collect_validities(out.state.now_s)
        return build_entry(part, validities, frozenset(part.connectors))

    def _write_other(self, node_id: str, out: Output, path: KeyPath, field: str) -> None:
        """Write a connector, or null with an error."""
        if not is_connector_id(node_id):
            out.fail(path, build_not_found(node_id, field))
        elif (connector := _find_connector(out.state, node_id)) is not None:
            self._write_connector(connector, out)
        else:
            # Longer than any name: the error must not repeat a text of any length.
            out.fail(path, AccountNotFound(node_id[:NODE_ID_CHARACTERS_MAX]))


def build_not_found(account_id: str, field: str) -> GatewayError:
    """Build the error of an account id that the caller has no account with."""
    if len(account_id) <= ACCOUNT_ID_CHARACTERS_MAX:
        return AccountNotFound(account_id)
    message = f"{field} must be an account id of at most {ACCOUNT_ID_CHARACTERS_MAX} characters."
    return BadInput(message, field=field)


def _find_connector(state: RequestState, node_id: str) -> Connector | None:
    name = parse_connector_name(node_id)
    return next((each for each in state.get_connectors() if each.id == name), None)


def _compile_nodes(compiler: Compiler, field: SelectedField) -> Write:
    position = compiler.compile_arguments(field, {"ids": "[ID!]!"}, _check_ids)
    writer = NodeWriter(compiler, field, field.item_path)

    return lambda _query, out: writer.write_list(out.state.arguments[position], out)


def _check_ids(limits: Limits, ids: list[str]) -> list[str]:
    if len(ids) > limits.ids:
        raise FallBackToGraphQLCore("argument")
    return ids


def _compile_node(compiler: Compiler, field: SelectedField) -> Write:
    position = compiler.compile_arguments(field, {"id": "ID!"}, lambda _limits, node_id: node_id)
    writer = NodeWriter(compiler, field, field.path)
    return lambda _query, out: writer.write(out.state.arguments[position], out, "id")


def _compile_bank_account(compiler: Compiler, field: SelectedField) -> Write:
    position = compiler.compile_arguments(field, {"id": "ID!"}, lambda _limits, node_id: node_id)
    writer = AccountWriter(compiler, field.nodes, field.path)
    compiler.allow_error(field.nodes, field.path)

    def write(_query: None, out: Output) -> None:
        account_id = out.state.arguments[position]
        account = out.state.get_accounts().get(account_id)
        if account is None:
            out.fail(field.path, build_not_found(account_id, "id"))
        else:
            writer.write(account, out)

    return write


class PageArguments(NamedTuple):
    """The arguments of ``bankAccounts``."""

    filter: AccountFilter
    window: Window
    order: AccountOrder


class PageView(NamedTuple):
    """A page of accounts, and their order."""

    page: Page
    order: AccountOrder


class EdgeView(NamedTuple):
    """An account on a page, and the order of the page."""

    account: Account
    order: AccountOrder


def _encode_cursor(edge: EdgeView) -> bytes:
    return encode_text(encode_order_cursor(edge.account, edge.order))


def _compile_edge_node(compiler: Compiler, field: SelectedField) -> Write:
    writer = AccountWriter(compiler, field.nodes, field.path)
    return lambda edge, out: writer.write(edge.account, out)


EDGE = ObjectType("BankAccountEdge", {"cursor": leaf(_encode_cursor), "node": _compile_edge_node})


def _list_edges(view: PageView) -> Sequence[EdgeView]:
    return [EdgeView(account, view.order) for account in view.page.accounts]


def _compile_page_nodes(compiler: Compiler, field: SelectedField) -> Write:
    writer = PageWriter(AccountWriter(compiler, field.nodes, field.item_path))
    return lambda view, out: writer.write(view.page.accounts, out)


def _encode_cursor_at(view: PageView, position: int) -> bytes:
    accounts = view.page.accounts
    return _encode_cursor(EdgeView(accounts[position], view.order)) if accounts else b"null"


PAGE_INFO = ObjectType(
    "PageInfo",
    {
        "hasNextPage": leaf(lambda view: encode_boolean(view.page.has_next)),
        "hasPreviousPage": leaf(lambda view: encode_boolean(view.page.has_previous)),
        "startCursor": leaf(lambda view: _encode_cursor_at(view, 0)),
        "endCursor": leaf(lambda view: _encode_cursor_at(view, -1)),
    },
)

CONNECTION = ObjectType(
    "BankAccountConnection",
    {
        "edges": nested_list(EDGE, _list_edges),
        "nodes": _compile_page_nodes,
        "pageInfo": nested(PAGE_INFO, lambda view: view),
        "totalCount": leaf(lambda view: b"%d" % view.page.total),
    },
)

#: The types of the arguments of ``bankAccounts``.
PAGE_ARGUMENTS: Mapping[str, str] = {
    "filter": "BankAccountFilter",
    "first": "Int",
    "after": "String",
    "last": "Int",
    "before": "String",
    "orderBy": "BankAccountOrder",
}


def _build_page_arguments(limits: Limits, filter_: Any, *others: Any) -> PageArguments:
    chosen = NO_FILTER if filter_ is ABSENT or filter_ is None else filter_
    first, after, last, before, order = (None if each is ABSENT else each for each in others)
    sizes = [each for each in (first, last) if each is not None]
    if chosen.items > limits.ids or len(sizes) > 1:
        # The field is required, so graphql-core reports the error.
        raise FallBackToGraphQLCore("argument")
    if not all(0 <= size <= limits.page_size for size in sizes):
        raise FallBackToGraphQLCore("argument")
    if not sizes:
        first = PAGE_SIZE
    window = Window(first, after, last, before)
    return PageArguments(chosen.filter, window, order or AccountOrder.ID)


def _compile_bank_accounts(compiler: Compiler, field: SelectedField) -> Write:
    position = compiler.compile_arguments(field, PAGE_ARGUMENTS, _build_page_arguments)
    write_page = compiler.compile_object(CONNECTION, field.nodes, field.path)
    return lambda _query, out: write_page(_find_page(out.state, position), out)


def _find_page(state: RequestState, position: int) -> PageView:
    arguments = state.arguments[position]
    directory = state.context.directory_for_reading()
    accounts = directory.select(state.context.principal, arguments.filter, arguments.order)
    try:
        page = find_page(accounts, arguments.window, arguments.order)
    except BadInput:
        raise FallBackToGraphQLCore("argument") from None
    return PageView(page, arguments.order)


def _compile_connectors(compiler: Compiler, field: SelectedField) -> Write:
    write_connector = compile_connector(compiler, field.nodes, field.item_path)
    return lambda _query, out: write_list(out.state.get_connectors(), write_connector, out)


VIEWER = ObjectType(
    "Viewer",
    {
        "name": leaf(lambda principal: encode_text(principal.name)),
        "tenant": leaf(lambda principal: encode_text(principal.tenant)),
        "scopes": leaf(
            lambda principal: encode_json(sorted(scope.value for scope in principal.scopes))
        ),
        "expiresAt": leaf(lambda principal: encode_instant(principal.expires_at)),
    },
)


def _compile_viewer(compiler: Compiler, field: SelectedField) -> Write:
    write_viewer = compiler.compile_object(VIEWER, field.nodes, field.path)

    def write(_query: None, out: Output) -> None:
        out.shows_principal = True
        write_viewer(out.state.context.principal, out)

    return write


GATEWAY = ObjectType(
    "Gateway",
    {
        "version": leaf(lambda _gateway: encode_text(__version__)),
        "environment": leaf(lambda gateway: encode_text(gateway.environment or None)),
    },
)


def _compile_gateway(compiler: Compiler, field: SelectedField) -> Write:
    write_gateway = compiler.compile_object(GATEWAY, field.nodes, field.path)
    return lambda _query, out: write_gateway(out.state.context.gateway, out)


QUERY = ObjectType(
    "Query",
    {
        "nodes": _compile_nodes,
        "node": _compile_node,
        "bankAccount": _compile_bank_account,
        "bankAccounts": _compile_bank_accounts,
        "balanceTotals": compile_totals,
        "balanceTotalsSeries": compile_totals_series,
        "connectors": _compile_connectors,
        "viewer": _compile_viewer,
        "gateway": _compile_gateway,
    },
    arguments={
        "nodes": {"ids": "[ID!]!"},
        "node": {"id": "ID!"},
        "bankAccount": {"id": "ID!"},
        "bankAccounts": PAGE_ARGUMENTS,
        "balanceTotals": TOTALS_ARGUMENTS,
        "balanceTotalsSeries": TOTAL_SERIES_ARGUMENTS,
    },
)
