"""The pictures in the documents are those that the browser tests take."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_picture_of_the_documents_is_taken_by_a_test():
    """A picture that no test takes any more would show an old page."""
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "web").glob("test_page_*.py"))
    taken = set(re.findall(r'take_picture\(page, f?"([\w{}-]+)"\)', tests))
    taken |= {"phone-light", "phone-dark"} if "phone-{scheme}" in taken else set()
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "".join(path.read_text() for path in documents)
    shown = set(re.findall(r"pictures/([\w-]+)\.png", text))

    assert shown >= {"first-view", "account", "outage", "gone", "phone-dark"}
    assert shown <= taken
    assert {path.stem for path in (ROOT / "docs" / "pictures").glob("*")} == taken - {
        "phone-{scheme}"
    }
