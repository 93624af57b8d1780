"""Defines the limits of a GraphQL document and its arguments."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a document and its arguments. All are inclusive.

    Attributes:
        document_characters: characters of the query text.
        tokens: lexical tokens in the document.
        comments: comments in the document.
        number_characters: characters of one number in the document. Converting a longer one takes
            quadratic time, or Python refuses it.
        exponent_digits: digits in the exponent of one number in the document.
        depth: levels of fields, fragments included.
        introspection_depth: levels of fields below ``__schema`` and ``__type``.
        introspection_fields: ``__schema`` and ``__type`` fields in an operation.
        fields: fields in the document, each fragment counted once.
        root_fields: root fields of a query, fragments included.
        mutation_root_fields: root fields of a mutation, fragments included.
        aliases: aliased fields in the document, each fragment counted once.
        repeated_pairs: pairs of fields with the same response name in one selection set;
            validation compares every pair.
        directives: directives in the document.
        fragments: fragment definitions in the document.
        fragment_spreads: fragment spreads in the document.
        operations: operations in the document.
        variables: variables of an operation.
        cost: fields in the response: each field counts one, times the sizes of the lists around it;
            of an operation with a compiled plan.
        cost_graphql_core: the same, of an operation that graphql-core executes: it takes about
            thirty times as long for a field.
        validation_errors: errors reported for one invalid document.
        cached_documents: parsed and validated documents in the cache.
        cached_document_characters: characters of all cached documents together; a parsed document
            takes about a hundred times as many bytes.
        page_size: the largest ``first`` of ``bankAccounts``.
        writes_page_size: the largest ``first`` of ``openingBalanceWrites``.
        plan_rows: rows of one ``planOpeningBalances``.
        plan_rows_page_size: the largest ``first`` of a plan's ``rows``.
        ids: items in one list argument.
        history_points: days in one ``balanceHistory``.
        inputs: inputs of one ``upsertOpeningBalances``.
        totals_accounts: accounts in one ``balanceTotals``.
        accounts: accounts of the largest company: no list of accounts costs more than these.
    """

    document_characters: int = 65_536
    tokens: int = 6_000
    comments: int = 1_000
    number_characters: int = 1_000
    exponent_digits: int = 3
    depth: int = 15
    introspection_depth: int = 25
    introspection_fields: int = 2
    fields: int = 2_000
    root_fields: int = 200
    mutation_root_fields: int = 20
    aliases: int = 200
    repeated_pairs: int = 400
    directives: int = 50
    fragments: int = 100
    fragment_spreads: int = 400
    operations: int = 10
    variables: int = 200
    cost: int = 1_000_000
    cost_graphql_core: int = 50_000
    validation_errors: int = 8
    cached_documents: int = 1_000
    cached_document_characters: int = 1_048_576
    page_size: int = 100_000
    writes_page_size: int = 1_000
    plan_rows: int = 1_000
    plan_rows_page_size: int = 1_000
    ids: int = 1_000
    history_points: int = 366
    inputs: int = 100
    totals_accounts: int = 100_000
    accounts: int = 1_000


#: The limits that the descriptions in the schema state.
DEFAULT_LIMITS = Limits()
