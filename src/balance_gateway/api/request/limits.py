"""What one request may cost: every limit of the GraphQL layer in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a document and of the arguments in it. All are inclusive.

    Attributes:
        document_characters: characters of the query text.
        tokens: lexical tokens of the document.
        comments: comments in the document.
        depth: levels of fields, fragments followed.
        introspection_depth: the same below ``__schema`` and ``__type``.
        introspection_fields: how often ``__schema`` and ``__type`` may stand in an operation.
        fields: fields written in the document.
        root_fields: root fields of a query, fragments followed.
        mutation_root_fields: root fields of a mutation, fragments followed.
        aliases: aliased fields written in the document.
        repeated_pairs: pairs of fields with one response name in one selection; each pair has to
            be compared when the document is validated.
        directives: directives in the document.
        fragments: fragment definitions.
        fragment_spreads: spreads of fragments.
        operations: operations in the document.
        variables: variables of an operation.
        cost: fields to be answered: every field counts one, times the sizes of the lists around.
        validation_errors: errors told of one invalid document.
        cached_documents: documents kept parsed and validated.
        cached_document_characters: of all kept documents together; parsed they take some hundred
            times as many bytes.
        page_size: largest ``first`` of a connection.
        ids: ids in one list argument.
        history_points: days of one ``balanceHistory``.
        inputs: inputs of one ``upsertOpeningBalances``.
        totals_accounts: accounts that one ``balanceTotals`` adds up.
    """

    document_characters: int = 65_536
    tokens: int = 6_000
    comments: int = 1_000
    depth: int = 15
    introspection_depth: int = 25
    introspection_fields: int = 2
    fields: int = 2_000
    root_fields: int = 200
    mutation_root_fields: int = 20
    aliases: int = 200
    repeated_pairs: int = 400
    directives: int = 50
    fragments: int = 50
    fragment_spreads: int = 400
    operations: int = 10
    variables: int = 200
    cost: int = 50_000
    validation_errors: int = 8
    cached_documents: int = 1_000
    cached_document_characters: int = 1_048_576
    page_size: int = 1_000
    ids: int = 1_000
    history_points: int = 366
    inputs: int = 100
    totals_accounts: int = 5_000


#: What the descriptions in the schema tell.
DEFAULT_LIMITS = Limits()
