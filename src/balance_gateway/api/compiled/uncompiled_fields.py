"""Lists the fields that are left to graphql-core, and why.

Every field that a query can reach is in the tables of this package or is listed here;
``tests/api/compiled/test_completeness.py`` compares them with the schema. An entry covers
everything below its field.
"""

from collections.abc import Mapping

#: The reason for each field, as ``Type.field``.
UNCOMPILED_FIELDS: Mapping[str, str] = {
    "Query.openingBalancePlan": "A tool asks for it while it works on the plan.",
    "Query.openingBalanceWrite": "A person asks for it, seldom; it is read from the journal.",
    "Query.openingBalanceWrites": "As for openingBalanceWrite.",
    "Query.auditLog": "As for openingBalanceWrite.",
    "Query.explainBalance": "A person asks for it, seldom; it reads from the provider each time.",
}
