"""The file by which ``reload`` finds the running gateway.

The gateway holds a lock on the file, which ends with the process however it ends. So a number that
a former process left in it is never signalled.
"""

import fcntl
import os
from pathlib import Path

#: The descriptors of locked files stay open until the process ends.
_locked: list[int] = []


class Unusable(Exception):
    """The file cannot be written, or a running gateway has it; the message names it."""


class NotRunning(Exception):
    """No running gateway has the file; the message names it."""


def lock_pid_file(path: Path) -> None:
    """Lock the file and write this process's id into it.

    Raises:
        Unusable: the file cannot be written, or a running gateway has it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unusable(f"The pid file {path} cannot be written: {error.strerror}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except OSError as error:
        os.close(descriptor)
        reason = "another gateway has it" if isinstance(error, BlockingIOError) else error.strerror
        raise Unusable(f"The pid file {path} cannot be used: {reason}.") from None
    _locked.append(descriptor)


def read_pid(path: Path) -> int:
    """Return the process id of the gateway that has the file.

    Raises:
        NotRunning: no running gateway has it.
    """
    message = f"No running gateway has the pid file {path}; is it serving with this --config?"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise NotRunning(message) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32)
    else:
        raise NotRunning(message)
    finally:
        os.close(descriptor)
    if not text.strip().isdigit():
        # It is being started: the lock comes before the number.
        raise NotRunning(message)
    return int(text)
