"""What Linux tells of processes (CPU, memory, descriptors), and which core they run on."""

import contextlib
import os
import platform
import socket
from collections.abc import Iterator
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SERVER_CORE = 0
LOAD_CORE = 1


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keeps processes that are started meanwhile on this core, where there are two to choose."""
    if not can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def can_pin() -> bool:
    """Whether servers and load can be kept on cores of their own."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    return {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0)


def members(group: int) -> list[int]:
    """The processes of a group: a server started with one of its own, and its workers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                if int(_stat(int(entry.name))[2]) == group:
                    found.append(int(entry.name))
    return found


def cpu_s(group: int) -> float:
    """User and system time of a group's processes, in seconds."""
    ticks = 0
    for pid in members(group):
        with contextlib.suppress(OSError, IndexError):
            stat = _stat(pid)
            ticks += int(stat[11]) + int(stat[12])
    return ticks / TICKS_PER_S


def peak_rss_mb(group: int) -> float:
    """The most memory that a group's processes have held, in MiB."""
    return sum(memory_mb(pid, "VmHWM") for pid in members(group))


def memory_mb(pid: int, name: str = "VmRSS") -> float:
    """A line of /proc/PID/status in MiB; 0 when the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def descriptors(pid: int) -> int:
    """How many files and sockets a process holds open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def description() -> str:
    """The machine in one line."""
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    pinning = f"server on core {SERVER_CORE}, load on core {LOAD_CORE}" if can_pin() else "unpinned"
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, {pinning}"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state is [0], group [2], utime [11]."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
