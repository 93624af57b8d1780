"""A connector's secrets are read again at most once in a few seconds."""

from balance_gateway.config.file_secrets import FileSecret
from balance_gateway.domain.secret import Secret
from balance_gateway.providers.http.credentials import REREAD_PAUSE_S, Credentials


def test_secrets_are_read_again_after_a_pause() -> None:
    now_s = 0.0
    contents = iter(["a", "b", "c"])
    secret = FileSecret("a", lambda: next(contents))
    credentials = Credentials(secret, Secret("fixed"), monotonic=lambda: now_s)

    unchanged = credentials.reread()
    now_s = REREAD_PAUSE_S - 0.1
    too_soon = credentials.reread()
    now_s = REREAD_PAUSE_S
    changed = credentials.reread()

    assert (unchanged, too_soon, changed) == (False, False, True)
    assert [one.reveal() for one in credentials.secrets] == ["b", "fixed"]


def test_a_file_without_a_usable_secret_changes_nothing() -> None:
    def fail() -> str:
        raise ValueError

    missing, broken = FileSecret("a", fail), FileSecret("a", lambda: "two lines\nof text")

    assert missing.reread() is missing
    assert broken.reread() is broken
