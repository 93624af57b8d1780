"""Commands with standard streams that are full, closed, or of another encoding."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.processes import COMMAND

_NEW_KEY = ("keys", "new", "n", "--tenant", "caf\u00e9 \U0001f600", "--scope", "audit:read")
_FULL = "Error: The output cannot be written: No space left on device.\n"


@pytest.mark.parametrize(
    ("redirection", "arguments", "expected"),
    [
        ("> /dev/full", _NEW_KEY, (1, "", _FULL)),
        ("> /dev/full", ("--help",), (1, "", _FULL)),
        ("> /dev/full", ("profiles", "list", "--format", "csv"), (1, "", _FULL)),
        (">&- 2>&- <&-", ("profiles", "list", "--format", "csv"), (0, "", "")),
        (">&-", ("whoami", "--url", "https://a..b", "--key", "env:HOME"), (2, "", "Error: --url")),
    ],
)
def test_streams_that_cannot_be_written_end_without_a_traceback(
    redirection: str, arguments: tuple[str, ...], expected: tuple[int, str, str], tmp_path: Path
) -> None:
    """A full disk below the output, and closed streams, ended in tracebacks."""
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    # Without it what a failed write leaves is written once more at the exit.
    environment.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )

    assert (done.returncode, done.stdout) == expected[:2]
    assert done.stderr.startswith(expected[2])
    assert done.stderr.count("\n") <= 1


def test_characters_that_the_output_lacks_are_escapes() -> None:
    done = subprocess.run(
        [*COMMAND, *_NEW_KEY],
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )

    assert done.returncode == 0, done.stderr
    assert "caf\u00e9 \\U0001f600".encode("latin-1") in done.stdout
