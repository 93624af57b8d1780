"""Downloads the audit log of a running gateway as the file that ``audit verify`` reads."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from balance_gateway.cli.remote.models import Model, PageInfo
from balance_gateway.cli.remote.paging import read_pages
from balance_gateway.cli.usage import CommandError

if TYPE_CHECKING:
    from balance_gateway.cli.remote.client import GatewayClient

_PAGE_SIZE = 1000


class _Removed(Model, frozen=True):
    first_sequence: str
    last_sequence: str
    previous_hash: str
    last_hash: str
    removed_in: str


class _Stored(Model, frozen=True):
    number: str
    hash: str | None
    record: str
    removed_before: list[_Removed]


class _Page(Model, frozen=True):
    nodes: list[_Stored]
    page_info: PageInfo


_DOCUMENT = """
query ($first: Int, $after: String) {
  auditLog(first: $first, after: $after, order: OLDEST_FIRST) {
    pageInfo { hasNextPage endCursor }
    nodes {
      number hash record
      removedBefore { firstSequence lastSequence previousHash lastHash removedIn }
    }
  }
}
"""


def download_audit_log(client: "GatewayClient", path: Path) -> None:
    """Write all entries of the key's tenant to a new file that only its owner can read.

    Raises:
        CommandError: the log cannot be read, or the file cannot be written.
    """
    from balance_gateway.app.audit_exports import UnwritableEntry, format_entry, format_header

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(format_header())
            for entry in _read_entries(client):
                seals = [
                    (
                        int(seal.first_sequence),
                        int(seal.last_sequence),
                        seal.previous_hash,
                        seal.last_hash,
                        int(seal.removed_in),
                    )
                    for seal in entry.removed_before
                ]
                file.write(format_entry(entry.record, int(entry.number), entry.hash, seals))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
    except (UnwritableEntry, ValueError):
        raise CommandError(
            "The gateway sent an entry that is no JSON object. Check that --url is that of a"
            " gateway."
        ) from None


def _read_entries(client: "GatewayClient") -> Iterator[_Stored]:
    def read_page(first: int, after: str | None) -> tuple[list[_Stored], PageInfo, None]:
        answer = client.read(_DOCUMENT, first=first, after=after)
        page: _Page = answer.take("auditLog", _Page)
        return page.nodes, page.page_info, None

    return read_pages(read_page, _PAGE_SIZE, None, "entries")
