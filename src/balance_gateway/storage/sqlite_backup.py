"""Backs up the file of an SQLite database, also while gateways use it, and restores a backup.

Both write a complete and checked file beside its place first, and then rename it into its place.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from balance_gateway.storage import migrations
from balance_gateway.storage.sqlite_damage import describe_damage, find_foreign_log

#: Time in seconds to wait for another process's lock.
_LOCK_WAIT_S = 30
#: Pages copied at a time: Ctrl-C takes effect in between.
_PAGES = 4_096

#: The bytes by which SQLite locks a database: pending, reserved and all that are shared. Each
#: connection to a database in WAL mode locks one of the shared bytes while it is open.
#: Source: https://www.sqlite.org/src/file/src/os_unix.c, "PENDING_BYTE".
_LOCK_OFFSET, _LOCK_LENGTH = 0x4000_0000, 512

#: The bytes of the ``-shm`` file by which connections lock the log. Each holds the last one while
#: it is open, even if its process has lost the locks of the database itself.
#: Source: https://www.sqlite.org/src/file/src/os_unix.c, "UNIX_SHM_BASE" and "UNIX_SHM_DMS".
_LOG_LOCK_OFFSET, _LOG_LOCK_LENGTH = 120, 9

#: Tables that every release has created.
_OWN_TABLES = {"alembic_version", "writes", "write_audit"}


class BackupError(Exception):
    """Nothing was backed up or restored; the text is one line with what to do."""


class WrongTarget(BackupError):
    """The file for the backup exists, or cannot be one."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A checked copy of a database.

    Attributes:
        file: the absolute path of the copy.
        size_bytes: its size.
        version: the version of its tables, as ``migrations`` numbers them.
        paused_plans: the number of plans of a restored database that were being applied.
    """

    file: Path
    size_bytes: int
    version: str
    paused_plans: int = 0


def back_up(database: Path, target: Path, *, replace: bool) -> Backup:
    """Copy a database, as it is at one moment, to a file that is complete or not there at all.

    Args:
        database: the file of the database; gateways may be using it.
        target: the file of the backup, which only its owner can read.
        replace: whether an existing file may be replaced.

    Raises:
        WrongTarget: the target exists and may not be replaced.
        BackupError: the database is missing, damaged or not this product's; or the disk failed.
    """
    target = Path(os.path.realpath(target))
    _refuse_target(database, target, replace=replace)
    if not database.exists():
        raise BackupError(f"there is no database at {database}; check storage.url")
    problem = find_foreign_log(str(database))
    if problem is not None:
        raise BackupError(f"{database} was not backed up: {problem}")
    with _write_beside(target) as written:
        version = _copy_checked(f"{database.as_uri()}?mode=ro", written, database)
        _refuse_target(database, target, replace=replace)
        os.replace(written, target)
        _sync_directory(target.parent)
    return Backup(target, target.stat().st_size, version)


def restore(database: Path, source: Path, now: datetime) -> tuple[Backup, list[Path]]:
    """Put a backup in the place of a database that no process has open.

    Plans that were being applied are paused in it: what was sent of them since the backup is not
    known, so nothing is sent before a person has decided.
    A start after a crash in between finds the former file, or refuses the former log.

    Args:
        database: the file of the database; it may be missing.
        source: the backup, which is only read.
        now: the time, for the names of the former files.

    Returns:
        The restored database, and the former files under their new names.

    Raises:
        BackupError: the backup is missing, damaged, not this product's or of a newer release; a
            gateway has the database open; or the disk failed.
    """
    source = Path(os.path.realpath(source))
    if source == database or (database.exists() and source.samefile(database)):
        raise BackupError(f"{source} is the database itself; name a backup")
    if not source.is_file():
        raise BackupError(f"{source} is not a regular file; name a backup")
    problem = find_foreign_log(str(source))
    if problem is not None:
        raise BackupError(f"{source} was not restored: {problem}")
    with _hold_alone(database), _write_beside(database) as written:
        # Without a log nothing need be locked, and the backup may be on a read-only disk.
        mode = "mode=ro" if _has_content(f"{source}-wal") else "immutable=1"
        version = _copy_checked(f"{source.as_uri()}?{mode}", written, source)
        if not migrations.is_known(version):
            raise BackupError(
                f"{source} was made by a newer release of balance-gateway; upgrade this one"
            )
        paused = _pause_plans(written)
        _copy_owner(database, written)
        former = _keep_former(database, f"{now:%Y%m%dT%H%M%SZ}")
        _unlink(f"{database}-journal")
        os.replace(written, database)
        _sync_directory(database.parent)
        # Only now: without its log, the former file would have lacked what was written last.
        _unlink(f"{database}-wal")
        _unlink(f"{database}-shm")
        _sync_directory(database.parent)
    return Backup(database, database.stat().st_size, version, paused), former


def _pause_plans(copy: Path) -> int:
    """Pause the plans that are being applied; return their number."""
    has_plans = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'plans'"
    pause = "UPDATE plans SET state = 'paused', owner = NULL WHERE state = 'applying'"
    try:
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            # Earlier releases had none.
            if not connection.execute(has_plans).fetchall():
                return 0
            return connection.execute(pause).rowcount
    except sqlite3.Error as error:
        raise BackupError(f"cannot write {copy}: {error}") from None


def _refuse_target(database: Path, target: Path, *, replace: bool) -> None:
    if str(target).removeprefix(str(database)) in ("", "-wal", "-shm", "-journal"):
        raise WrongTarget(f"{target} is the database itself; name another file")
    if target.exists() and database.exists() and target.samefile(database):
        raise WrongTarget(f"{target} is the database itself; name another file")
    if not target.parent.is_dir():
        raise WrongTarget(f"there is no directory {target.parent}; create it")
    if target.exists() and not target.is_file():
        raise WrongTarget(f"{target} is not a regular file; name another one")
    if target.exists() and not replace:
        raise WrongTarget(f"{target} exists; name another file, or replace it with --force")
    for beside in (f"{target}-wal", f"{target}-journal"):
        if _has_content(beside):
            raise WrongTarget(f"{beside} exists and would be taken for the backup's; move it away")


@contextlib.contextmanager
def _write_beside(place: Path) -> Iterator[Path]:
    """Yield an empty file in the directory of a place; remove it unless it was renamed.

    Raises:
        BackupError: the disk failed, or is full.
    """
    written: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        os.close(descriptor)
        written = Path(name)
        yield written
    except OSError as error:
        raise BackupError(f"cannot write {place}: {error.strerror or error}") from None
    finally:
        if written is not None:
            for suffix in ("", "-wal", "-shm", "-journal"):
                _unlink(f"{written}{suffix}")


def _copy_checked(uri: str, copy: Path, original: Path) -> str:
    """Copy a database, check the copy, sync it to the disk, and return the tables' version."""
    try:
        version = _copy(uri, copy, original)
    except sqlite3.Error as error:
        raise BackupError(f"cannot copy {original}: {error}") from None
    descriptor = os.open(copy, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return version


def _copy(uri: str, copy: Path, original: Path) -> str:
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=_LOCK_WAIT_S)) as source,
        closing(sqlite3.connect(copy, isolation_level=None)) as target,
    ):
        # One transaction for all steps: otherwise each commit of a gateway would start them over.
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target, pages=_PAGES, progress=lambda *_counts: None)
        # A log that is ever found beside the copy is another file's.
        target.execute("PRAGMA journal_mode = DELETE").fetchall()
        damage = describe_damage(target, "integrity_check")
        if damage is not None:
            raise BackupError(f"{original} is damaged ({damage}); use an earlier backup")
        tables = target.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if not {name for (name,) in tables} >= _OWN_TABLES:
            raise BackupError(f"{original} is not a database of balance-gateway")
        versions = target.execute("SELECT version_num FROM alembic_version").fetchall()
        if len(versions) != 1:
            raise BackupError(f"{original} has no version of its tables")
        return str(versions[0][0])


@contextlib.contextmanager
def _hold_alone(database: Path) -> Iterator[None]:
    """Hold SQLite's locks of a database, which may be damaged or missing.

    Raises:
        BackupError: another process has the database open.
    """
    try:
        descriptor = os.open(database, os.O_RDWR)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise BackupError(f"cannot open {database}: {error.strerror}") from None
    # The process must not open a file again meanwhile: closing it would end the lock.
    descriptors = [descriptor]
    try:
        _lock(descriptor, _LOCK_LENGTH, _LOCK_OFFSET, database)
        with contextlib.suppress(FileNotFoundError):
            descriptors.append(os.open(f"{database}-shm", os.O_RDWR))
            _lock(descriptors[1], _LOG_LOCK_LENGTH, _LOG_LOCK_OFFSET, database)
        yield
    finally:
        for each in descriptors:
            os.close(each)


def _lock(descriptor: int, length: int, offset: int, database: Path) -> None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, offset)
    except OSError:
        raise BackupError(
            f"a gateway or another program has {database} open; stop it and run the command again"
        ) from None


def _keep_former(database: Path, time: str) -> list[Path]:
    """Give the files of a database second names, under which SQLite can open them too."""
    kept = _find_free_name(f"{database}.replaced-{time}")
    former = []
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.link(f"{database}{suffix}", f"{kept}{suffix}")
            former.append(Path(f"{kept}{suffix}"))
    _sync_directory(database.parent)
    return former


def _find_free_name(name: str) -> str:
    number, free = 1, name
    while any(os.path.lexists(f"{free}{suffix}") for suffix in ("", "-wal", "-shm", "-journal")):
        number += 1
        free = f"{name}-{number}"
    return free


def _copy_owner(database: Path, written: Path) -> None:
    """Let those use the restored file who could use the former one, or the directory's owner."""
    exists = database.exists()
    like = os.stat(database if exists else database.parent)
    if exists:
        shutil.copymode(database, written)
    if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(written, like.st_uid, like.st_gid)


def _has_content(path: str) -> bool:
    return os.path.exists(path) and os.path.getsize(path) > 0


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
