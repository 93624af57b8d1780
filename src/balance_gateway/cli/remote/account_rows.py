"""Reads accounts, by their ids or by a filter, with whatever a command selects of them."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from balance_gateway.cli.remote.models import Account, Model, PageInfo
from balance_gateway.cli.remote.output import FieldError, Row
from balance_gateway.cli.remote.paging import read_pages
from balance_gateway.cli.remote.progress import show_progress
from balance_gateway.cli.usage import CommandError, UsageError
from balance_gateway.domain.accounts import ProviderKind
from balance_gateway.domain.errors import ErrorCode

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import Answer, GatewayClient

F = TypeVar("F", bound=Callable[..., Any])

#: Accounts on a page when each is read at its provider, and when none is.
READ_PAGE_SIZE = 100
LIST_PAGE_SIZE = 1000

Filter = dict[str, Any]


class _Page(Model, frozen=True):
    nodes: list[Account | None]
    page_info: PageInfo
    total_count: int


def filter_options(command: F) -> F:
    """Add the options that filter accounts; the function gets ``account_filter``."""

    @click.option("--connector", "connectors", multiple=True, help="Of this connector; repeatable.")
    @click.option(
        "--provider",
        "providers",
        multiple=True,
        type=click.Choice([kind.value for kind in ProviderKind], case_sensitive=False),
        help="At this provider; repeatable.",
    )
    @click.option("--currency", "currencies", multiple=True, help="In this currency; repeatable.")
    @click.option("--name", help="With this text in the name.")
    @wraps(command)
    def with_filter(
        *args: Any,
        connectors: tuple[str, ...],
        providers: tuple[str, ...],
        currencies: tuple[str, ...],
        name: str | None,
        **options: Any,
    ) -> Any:
        chosen = {
            "connectors": list(connectors),
            "providers": [provider.upper() for provider in providers],
            "currencies": [currency.upper() for currency in currencies],
            "nameContains": name,
        }
        account_filter = {key: value for key, value in chosen.items() if value}
        return command(*args, account_filter=account_filter, **options)

    return with_filter  # type: ignore[return-value]


def read_accounts(
    client: "GatewayClient",
    selection: str,
    *,
    ids: Sequence[str] = (),
    account_filter: Filter | None = None,
    limit: int | None = None,
    page_size: int = READ_PAGE_SIZE,
    declared: str = "",
    **variables: Any,
) -> Iterator[Row[Account]]:
    """Yield a row for each account; what an account lacks is in the errors of its row.

    Args:
        client: the gateway.
        selection: the fields of an account, in braces.
        ids: the accounts; by default those of the filter.
        account_filter: a ``BankAccountFilter``.
        limit: the number of accounts to stop after; None for all.
        page_size: the number of accounts of a request.
        declared: the declarations of the variables of the selection.
        variables: their values.

    Raises:
        UsageError: both ids and a filter are given.
    """
    if ids and account_filter:
        raise UsageError("Give either ids or a filter, not both.")
    if ids:
        document = (
            f"query ($ids: [ID!]! {declared}) {{ nodes(ids: $ids)"
            f" {{ __typename ... on BankAccount {selection} }} }}"
        )
        return _read_by_ids(client, document, ids[:limit], variables)
    document = (
        f"query ($filter: BankAccountFilter, $first: Int, $after: String {declared})"
        " { bankAccounts(filter: $filter, first: $first, after: $after)"
        f" {{ totalCount pageInfo {{ hasNextPage endCursor }} nodes {selection} }} }}"
    )

    def read_page(first: int, after: str | None) -> tuple[list[Row[Account]], PageInfo, int]:
        answer = client.read(document, filter=account_filter, first=first, after=after, **variables)
        page: _Page = answer.take("bankAccounts", _Page)
        rows = []
        for index, node in enumerate(page.nodes):
            errors = answer.find_errors("bankAccounts", "nodes", index)
            if node is None and not errors:
                raise CommandError("The gateway sent neither an account nor an error. Try again.")
            rows.append(Row(node, errors))
        return rows, page.page_info, page.total_count

    return read_pages(read_page, page_size, limit, "accounts")


def read_account(client: "GatewayClient", selection: str, account_id: str) -> Row[Account]:
    """Read one account; an unknown one is a row with an error."""
    return next(iter(read_accounts(client, selection, ids=[account_id])))


def _read_by_ids(
    client: "GatewayClient", document: str, ids: Sequence[str], variables: dict[str, Any]
) -> Iterator[Row[Account]]:
    with show_progress("accounts") as update:
        for start in range(0, len(ids), READ_PAGE_SIZE):
            part = list(ids[start : start + READ_PAGE_SIZE])
            answer = client.read(document, ids=part, **variables)
            nodes = answer.take("nodes", list[dict[str, Any] | None])
            if len(nodes) != len(part):
                raise CommandError(f"The gateway sent {len(nodes)} accounts for {len(part)} ids.")
            for index, (account_id, node) in enumerate(zip(part, nodes, strict=True)):
                errors = answer.find_errors("nodes", index)
                yield _build_row(answer, node, account_id, errors)
            update(start + len(part), len(ids))


def _build_row(
    answer: "Answer", node: dict[str, Any] | None, account_id: str, errors: list[FieldError]
) -> Row[Account]:
    if node is not None and node.get("__typename") == "BankAccount":
        return Row(answer.convert(node, Account), errors)
    # Connectors are nodes too.
    missing = FieldError("", ErrorCode.ACCOUNT_NOT_FOUND, "There is no such account.")
    return Row(None, errors or [missing], {"id": account_id})
