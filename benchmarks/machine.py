"""Reads CPU time, memory and descriptors of processes, and pins processes to cores."""

import contextlib
import ctypes
import os
import platform
import socket
import time
from collections.abc import Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None)
SERVER_CORE = 0
LOAD_CORE = 1


def find_free_port() -> int:
    """Find a free TCP port; another process may take it before the caller does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def pin_processes(core: int) -> Iterator[None]:
    """Pin processes that are started in this context to a core, if ``can_pin``."""
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
    """Whether the server and the load generator can have a core each."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    return {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0)


def list_processes(group: int) -> list[int]:
    """List the process ids of a process group and of its leader's children: a server's workers."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                _, parent, its_group, *_ = _read_stat(int(entry.name))
                if group in (int(parent), int(its_group)):
                    pids.append(int(entry.name))
    return pids


def get_cpu_s(group: int) -> float:
    """Return the user and system time of a process group, in seconds."""
    return sum(get_process_cpu_s(pid) for pid in list_processes(group))


def get_process_cpu_s(pid: int) -> float:
    """Return the CPU time of a process and its threads; 0 when it has ended.

    Its clock counts nanoseconds; /proc/PID/stat counts ticks of 10 ms, too coarse for one request.
    """
    clock = ctypes.c_int()
    if _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)):
        return 0.0
    try:
        return time.clock_gettime(clock.value)
    except OSError:
        return 0.0


def get_peak_rss_mb(group: int) -> float:
    """Return the sum of the peak resident memory of a group's processes, in MiB."""
    return sum(get_memory_mb(pid, "VmHWM") for pid in list_processes(group))


def get_memory_mb(pid: int, name: str = "VmRSS") -> float:
    """Return a memory figure of /proc/PID/status in MiB; 0 when the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def count_descriptors(pid: int) -> int:
    """Count the open files and sockets of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def describe() -> str:
    """Describe the machine in one line."""
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    pinning = f"server on core {SERVER_CORE}, load on core {LOAD_CORE}" if can_pin() else "unpinned"
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, {pinning}"


def _read_stat(pid: int) -> list[str]:
    """Read the fields of /proc/PID/stat after the name: state, parent, group, …"""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
