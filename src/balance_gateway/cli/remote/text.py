"""Makes text from other systems safe for terminals and for spreadsheets."""

import re
import unicodedata

#: Joiners that letters of some scripts and emoji need; they move no other text.
_JOINERS = "\u200c\u200d"
#: Control, format, surrogate, line and paragraph separator characters.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
# A program that separates cells by semicolons begins a cell after each of them.
_FORMULA = re.compile(r"(^|;)(\s*)(?=[=+\-@＝＋－＠])")


def escape(text: str) -> str:
    r"""Return the text with each control or format character as an escape, such as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in _UNSAFE_CATEGORIES and char not in _JOINERS
        else char
        for char in text
    )


def to_csv_cell(text: str) -> str:
    """Return the text as a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    # Escaped first: a tab or a line break at the beginning also makes a formula.
    text = escape(text)
    return text if _PLAIN_NUMBER.fullmatch(text) else _FORMULA.sub(r"\1\2'", text)
