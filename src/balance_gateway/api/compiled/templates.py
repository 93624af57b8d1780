"""Keeps plans by template: documents that differ in string literals only share one plan.

Dashboards that write ids into the query text send a new document each time.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass

from balance_gateway.api.compiled.plan import Plans
from balance_gateway.api.execution.documents import PreparedOperation

#: Limits of all templates together. Each template keeps one parsed document, so the characters of
#: these documents are counted; see ``Limits.cached_document_characters``.
TEMPLATES_MAX = 1_000
TEMPLATE_CHARACTERS_MAX = 500_000

#: A string literal without escapes. Documents with other strings or comments get no template.
_STRING_LITERAL = re.compile(r'"([^"\\\n\r]*)"')


@dataclass(frozen=True, slots=True)
class Template:
    """The plans of all documents that differ in string literals only.

    Attributes:
        prepared: the operation of the first of these documents.
        plans: valid for all of them.
        characters: length of the first document.
    """

    prepared: PreparedOperation
    plans: Plans
    characters: int


class Templates:
    """The templates of this process; the least recently used are dropped first."""

    def __init__(self) -> None:
        self._templates: OrderedDict[str, Template] = OrderedDict()
        self._characters = 0

    def find(self, text: str) -> Template | None:
        """Return the template with this text."""
        template = self._templates.get(text)
        if template is not None:
            self._templates.move_to_end(text)
        return template

    def store(self, text: str, query: str, prepared: PreparedOperation) -> None:
        """Keep the plans of a document for all documents with the same template.

        Args:
            text: the text of the template.
            query: the text of the document.
            prepared: the operation in it.
        """
        plans = Plans(prepared.document, prepared.node, find_literals(query))
        self._templates[text] = Template(prepared, plans, len(query))
        self._characters += len(query)
        while len(self._templates) > TEMPLATES_MAX or self._characters > TEMPLATE_CHARACTERS_MAX:
            _, dropped = self._templates.popitem(last=False)
            self._characters -= dropped.characters

    def __len__(self) -> int:
        return len(self._templates)


def derive_template(query: str) -> tuple[str, list[str]] | None:
    """Separate a document's text from its string literals.

    Documents with the same template differ in string literals only.

    Returns:
        The text with all string literals empty, and the literals in order; None when the document
        has no string literals, or has escapes, comments or block strings.
    """
    if '"' not in query or "\\" in query or "#" in query or '"""' in query:
        return None
    parts = _STRING_LITERAL.split(query)
    template = '""'.join(parts[0::2])
    # A remaining quote belongs to an unterminated string, which is invalid in every document.
    if template.count('"') != 2 * (len(parts) // 2):
        return None
    return template, parts[1::2]


def find_literals(query: str) -> dict[int, tuple[int, int]]:
    """Return the number and the length of each string literal by its start offset."""
    return {
        match.start(): (number, len(match[1]))
        for number, match in enumerate(_STRING_LITERAL.finditer(query))
    }
