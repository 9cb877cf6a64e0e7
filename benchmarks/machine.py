"""What the machine itself does: processor time of a server with all its children, and how long its disk takes.

Reads /proc, so it runs on Linux only.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def processor_seconds(*roots: int) -> float:
    """Processor time so far of these processes and all below them, those that ended included."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(folder.name)] = int(fields[1])
            spent[int(folder.name)] = sum(map(int, fields[11:15])) / _TICK  # own and reaped children's, user and system
    wanted = set(roots)
    size = 0
    while size != len(wanted):
        size = len(wanted)
        wanted |= {process for process, parent in parents.items() if parent in wanted}
    return sum(spent.get(process, 0.0) for process in wanted)


def sync_times(folder: Path, count: int = 200) -> tuple[float, float]:
    """Median and 99th percentile, in microseconds, of writing 4 KiB to a file in `folder` and forcing it to disk."""
    path = folder / "sync"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    times = []
    try:
        for number in range(count):
            began = time.perf_counter()
            os.pwrite(handle, b"x" * 4096, 4096 * number)
            os.fdatasync(handle)
            times.append(1e6 * (time.perf_counter() - began))
    finally:
        os.close(handle)
        path.unlink()
    return statistics.median(times), sorted(times)[count * 99 // 100]


def described() -> dict[str, object]:
    """The processor, how many of it, and the versions that matter."""
    names = [line.partition(":")[2].strip() for line in _read("/proc/cpuinfo").splitlines() if "model name" in line]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
