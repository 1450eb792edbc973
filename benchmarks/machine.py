"""The machine that a benchmark runs on: its make, its load, and how much the same work varies on it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from statistics import median

BLOCKS = 9
WORK = 150_000


def measure_block() -> float:
    """Seconds that a fixed piece of work takes."""
    started = time.perf_counter()
    sum(number * number for number in range(WORK))
    return time.perf_counter() - started


def measure_spread() -> float:
    """(max - min) / median of a fixed piece of work."""
    seconds = [measure_block() for _ in range(BLOCKS)]
    return round((max(seconds) - min(seconds)) / median(seconds), 2)


def read_load() -> float:
    return round(os.getloadavg()[0], 2)


def read_memory() -> str:
    """The machine's memory in GiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    return f"{kilobytes / 1024**2:.0f} GiB"


def describe() -> str:
    """Processors, memory, Python."""
    return f"{os.cpu_count()} processors, {read_memory()} of memory, {platform.machine()}, Python {platform.python_version()}"
