"""The state of one request: what writers need to write its response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from balance_gateway.api.compiled.account_blocks import AccountBlocks
from balance_gateway.api.compiled.account_json_cache import AccountJson, AccountJsonCache
from balance_gateway.api.compiled.kept_texts import KeptTexts
from balance_gateway.api.compiled.kept_totals import KeptTotalsCache
from balance_gateway.api.compiled.kept_values import KeptValues
from balance_gateway.api.compiled.request_values import RequestValues
from balance_gateway.api.request.context import RequestContext
from balance_gateway.domain.accounts import Account
from balance_gateway.ports.cache_validity import LocalCacheVersions
from balance_gateway.service.directory import Connector


@dataclass(frozen=True, slots=True)
class KeptParts:
    """What this process keeps between requests to write responses from.

    Attributes:
        account_json: the JSON of accounts.
        account_blocks: the joined JSON of accounts that follow each other on a page.
        values: values of accounts.
        totals: totals.
        texts: the JSON of balances in series.
        versions: count the validities of cached values that end.
    """

    account_json: AccountJsonCache
    account_blocks: AccountBlocks
    values: KeptValues
    totals: KeptTotalsCache
    texts: KeptTexts
    versions: LocalCacheVersions


class UnfinishedList(NamedTuple):
    """A list of accounts of which some have missing values.

    Attributes:
        accounts: the accounts.
        entries: the JSON of each, which the next pass completes.
        missing: the positions of those with missing values.
    """

    accounts: Sequence[Account]
    entries: list[AccountJson]
    missing: Sequence[int]


class RequestState:
    """The state of one request.

    Args:
        context: the context of the request.
        arguments: the evaluated arguments of the operation.
        kept: what is kept between requests; None where nothing may be kept.

    Attributes:
        context: the context of the request.
        arguments: the evaluated arguments of the fields; see ``Compiler.compile_arguments``.
        kept: what is kept between requests.
        values: the values of the request.
        now_s: the instant of the request, in seconds since 1970.
        may_wait: whether the request may wait for reads; else a pass ends at the first missing
            value that is none of the storage.
        tables: the kept JSON of accounts that writers have looked up in this pass.
        written_accounts: JSON of accounts that is valid for this request only.
        unfinished_lists: lists of accounts with missing values, by what writes them; the next pass,
            in the same turn of the event loop, finds the missing ones only.
    """

    def __init__(
        self, context: RequestContext, arguments: Sequence[Any], kept: KeptParts | None
    ) -> None:
        self.context = context
        self.arguments = arguments
        self.kept = kept
        self.now_s = context.now.timestamp()
        self.values = RequestValues(context, None if kept is None else kept.values, self.now_s)
        self.may_wait = True
        self._accounts: Mapping[str, Account] | None = None
        self.tables: dict[Any, dict[str, Mapping[str, AccountJson]]] = {}
        self.written_accounts: dict[tuple[int, str], AccountJson] = {}
        self.unfinished_lists: dict[int, UnfinishedList] = {}

    @property
    def can_continue(self) -> bool:
        """Whether a pass goes on after a missing value, since all of them can be read."""
        return self.may_wait or self.values.can_read_now

    def get_accounts(self) -> Mapping[str, Account]:
        """Return the accounts of the caller by id.

        Raises:
            Forbidden: the caller lacks the scope; graphql-core reports it at each root field.
        """
        accounts = self._accounts
        if accounts is None:
            directory = self.context.directory_for_reading()
            accounts = self._accounts = directory.accounts_for(self.context.principal)
        return accounts

    def get_connectors(self) -> Sequence[Connector]:
        """Return the connectors of the caller's accounts, sorted by name.

        Raises:
            Forbidden: as for the accounts.
        """
        directory = self.context.directory_for_reading()
        return directory.connectors_for(self.context.principal)

    def require_reading(self) -> None:
        """Check that the caller may read balances.

        Raises:
            Forbidden: as for the accounts.
        """
        self.context.directory_for_reading()
