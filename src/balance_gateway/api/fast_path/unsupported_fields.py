"""Lists the fields below an account that the fast path leaves to graphql-core, and why.

Every field of the schema below ``BankAccount`` is served by the tables of ``account_projection``
and ``field_writers`` or is listed here; ``tests/api/fast_path/test_completeness.py`` compares them
with the schema. An entry covers everything below its field.
"""

from collections.abc import Mapping

_HISTORY = (
    "It has up to hundreds of values with validities of their own, and a dashboard does not poll "
    "it."
)

#: The reason for each field, as ``Type.field``.
UNSUPPORTED_FIELDS: Mapping[str, str] = {
    "BankAccount.bankFeed": (
        "It has a lifetime of its own and may need a call that figures must not wait for."
    ),
    "BankAccount.latestBank": ("As for bankFeed; and its sign may need another call."),
    "Freshness.sourcedAt": (
        "It comes from the bank feed, whose lifetime differs from the value's."
    ),
    "BankAccount.balanceHistory": _HISTORY,
    "BankAccount.balanceSeries": _HISTORY,
    "BankAccount.unsettledWrite": (
        "It is read from the journal each time: another process can record or settle a write."
    ),
    "BankAccount.connector": (
        "Its health and call budget change with every call, so its JSON is not valid for any time."
    ),
}
