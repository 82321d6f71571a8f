"""What a process has used: CPU time, memory, file descriptors. A process here is itself and its children, as nginx and
nghttpx do their work in a child."""

import os
import time
from pathlib import Path


def family(pid):
    """`pid` and the processes it has started, and theirs."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def cpu_seconds(pid):
    """User and system time of all its threads. The same as utime + stime of /proc/PID/stat, which counts in steps of
    10 ms only."""
    total = 0
    for member in family(pid):
        for task in Path(f"/proc/{member}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0])
    return total / 1e9


def resident_bytes(pid):
    pages = sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files(pid):
    return sum(len(os.listdir(f"/proc/{member}/fd")) for member in family(pid))


def settled(value, step=0.2, same=3, timeout=10.0):
    """The first value of `value()` that stays for `same` looks, or the last one after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    last, seen = value(), 1
    while seen < same and time.monotonic() < deadline:
        time.sleep(step)
        now = value()
        seen = seen + 1 if now == last else 1
        last = now
    return last
