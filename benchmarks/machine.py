"""What the figures were measured on, and what else the machine did meanwhile."""

import math
import os
import platform
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

from .process import TICKS

# Dense bfloat16 with float32 accumulation, by the makers' data sheets, in TFLOP/s: what model FLOP utilisation (MFU) is
# customarily taken of. The first that the device's name contains.
DATASHEET_BF16 = {
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "4090": 165.0,
    "5090": 209.0,
}
GPU_FIELDS = ("name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.draw", "temperature.gpu")


def description() -> dict[str, Any]:
    """CPU, cores, memory and system."""
    return {
        "cpu": cpu_name(),
        "cores": available_cores(),
        "cores_of_the_machine": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def cpu_name() -> str:
    """As Linux knows it, else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def available_cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_state() -> dict[str, str] | None:
    """Name, driver, clocks, power and temperature of the first GPU as nvidia-smi reads them; None without one."""
    query = f"--query-gpu={','.join(GPU_FIELDS)}"
    try:
        out = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    lines = out.strip().splitlines()
    return dict(zip(GPU_FIELDS, (value.strip() for value in lines[0].split(",")), strict=False)) if lines else None


def datasheet_bf16(name: str) -> float | None:
    """FLOP/s that the data sheet promises for a device of that name; None if it is not in the table."""
    return next((rate * 1e12 for key, rate in DATASHEET_BF16.items() if key in name), None)


class Pace:
    """Whether the machine runs at its own speed. A virtual one may be given a tenth of it for a minute, in all of its
    cores and without a trace in what it counts itself: what shows it is how long a fixed piece of work takes."""

    SLOW = 1.5  # times as long as it took when it took least

    def __init__(self) -> None:
        self.least = math.inf

    def is_slow(self) -> bool:
        now = min(_fixed_work() for _ in range(3))
        self.least = min(self.least, now)
        return now > self.SLOW * self.least


def _fixed_work() -> float:
    """How many seconds some arithmetic in Python takes, about a millisecond."""
    began, total = time.perf_counter(), 0
    for i in range(20_000):
        total += i
    return time.perf_counter() - began


class Watch:
    """The load from its making to `report`: before, after, and how much of the machine others used."""

    def __init__(self) -> None:
        self.began, self.busy, self.own = time.monotonic(), busy_s(), _own_s()
        self.load = _load()

    def report(self) -> dict[str, Any]:
        """``others_used`` is the share of all cores that was busy with what is not ours; processes of ours that still
        run count as others', so the contenders have to have ended."""
        wall, busy, own = time.monotonic() - self.began, busy_s(), _own_s()
        cores = os.cpu_count() or 1
        known = busy is not None and self.busy is not None
        others = (busy - self.busy - (own - self.own)) / (wall * cores) if known and wall > 0 else None  # type: ignore[operator]
        return {
            "seconds": wall,
            "load_before": self.load,
            "load_after": _load(),
            "others_used": None if others is None else max(0.0, others),
        }


def _load() -> list[float] | None:
    return list(os.getloadavg()) if hasattr(os, "getloadavg") else None


def busy_s() -> float | None:
    """Seconds that all cores together have been busy, since the machine started; None where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / TICKS


def _own_s() -> float:
    """Seconds of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return None
