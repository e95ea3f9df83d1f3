"""What this process has used."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def restart_peak() -> None:
    """Let `peak_mb` forget what was freed, so that a job is not charged for what its process did before.

    Linux can (since 4.0); elsewhere the peak stays that of the process.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_mb() -> float:
    """Peak resident memory of this process since `restart_peak`, or else its start, in MB (10^6 bytes)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6, 1)
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)
