"""Writes pages of accounts in blocks: accounts that follow each other, with joined JSON.

After a change of one account, one block is joined again, and the others are used as they are.
"""

from collections.abc import Sequence

from balance_gateway.api.compiled.account_blocks import AccountBlock, BlockValidity, HashedText
from balance_gateway.api.compiled.account_json import AccountWriter
from balance_gateway.api.compiled.field_errors import FieldError
from balance_gateway.api.compiled.kept_values import StoredValidity
from balance_gateway.api.compiled.output import Output
from balance_gateway.domain.accounts import Account
from balance_gateway.ports.cache_validity import LocalCacheVersions

#: The accounts of a block; a page of fewer than two blocks is written account by account.
BLOCK_SIZE = 50


class PageWriter:
    """Writes pages of accounts, which come in the same order again.

    Args:
        accounts: writes the accounts.
    """

    def __init__(self, accounts: AccountWriter) -> None:
        self._accounts = accounts

    def write(self, accounts: Sequence[Account], out: Output) -> None:
        """Write the accounts of a page as a list."""
        kept = out.state.kept
        if kept is None or len(accounts) < 2 * BLOCK_SIZE:
            self._accounts.write_list(accounts, out)
            return
        now_s = out.state.now_s
        key = self._accounts.build_key(out.state.arguments, None)
        blocks = kept.account_blocks.get_table(key)
        for start in range(0, len(accounts), BLOCK_SIZE):
            chosen = accounts[start : start + BLOCK_SIZE]
            block = blocks.get(chosen[0].id)
            if block is None or block.accounts != chosen or not block.is_valid(now_s):
                block = self._write_block(chosen, out, kept.versions)
                if block.valid_until_s > now_s:
                    kept.account_blocks.put(key, chosen[0].id, block)
            out.parts.append(b"," if start else b"[")
            _add_block(block, start, out)
        out.parts.append(b"]")

    def _write_block(
        self, accounts: Sequence[Account], out: Output, versions: LocalCacheVersions
    ) -> AccountBlock:
        """Write a block; one with a missing value is valid for no time."""
        part = Output(out.state)
        self._accounts.write_items(accounts, part)
        self._accounts.limit_to_today(accounts, part)
        out.is_complete &= part.is_complete
        parts = part.join()
        if not part.has_holes:
            parts = tuple(HashedText(each) for each in parts if isinstance(each, bytes))
        validities = dict.fromkeys(part.validities)
        cached = [each for each in validities if not isinstance(each, StoredValidity)]
        return AccountBlock(
            accounts=accounts,
            parts=parts,
            errors=part.errors,
            valid_until_s=part.valid_until_s,
            validity=BlockValidity(cached, versions),
            stored=[each for each in validities if isinstance(each, StoredValidity)],
            value_count=part.value_count,
            connectors=frozenset(part.connectors),
        )


def _add_block(block: AccountBlock, start: int, out: Output) -> None:
    """Add a block to a list; ``start`` is the index of its first account."""
    out.parts += block.parts
    out.has_holes |= len(block.parts) > 1 or bool(block.connectors)
    out.connectors |= block.connectors
    out.has_blocks = True
    out.validities.append(block.validity)
    out.validities += block.stored
    out.value_count += block.value_count
    out.expire_at(block.valid_until_s)
    for each in block.errors:
        index, *others = each.indexes
        indexes = (*out.indexes, start + index, *others)
        out.errors.append(FieldError(each.keys, indexes, each.error))
