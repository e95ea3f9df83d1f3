"""Memory of a process and all that it started."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path

INTERVAL = 2.0
"""Seconds between two looks at memory."""


def tree_mb(root: int) -> float:
    """Memory of a process and all its descendants, in MB (10^6 bytes): shared pages are shared out (Linux)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        waiting += parents.get(pid, [])
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(rollup.partition("\nPss:")[2].split()[0])
        except (OSError, IndexError, ValueError):
            continue
    return total * 1024 / 1e6


def watched(command: list[str]) -> tuple[float, float]:
    """Run a command to its end; returns its seconds and the peak memory of its process tree in MB.

    A command that fails ends this program with its exit code.
    """
    started = time.monotonic()
    process = subprocess.Popen(command)
    peak = 0.0
    while process.poll() is None:
        if platform.system() == "Linux":
            peak = max(peak, tree_mb(process.pid))
        time.sleep(INTERVAL)
    if process.returncode:
        sys.exit(process.returncode)
    return time.monotonic() - started, peak
