"""The main job from an empty cache, and again with everything cached: seconds and peak memory of the process tree.

python tests/benchmarks/main_job.py [--keep=FOLDER] [maa-bench run options]
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from maa_bench.environment import environment_info

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


def timed(arguments: list[str]) -> tuple[float, float]:
    """Run the command; returns its seconds and the peak memory of its process tree in MB."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "maa_bench.cli", "run", *arguments])
    peak = 0.0
    while process.poll() is None:
        if platform.system() == "Linux":
            peak = max(peak, tree_mb(process.pid))
        time.sleep(INTERVAL)
    if process.returncode:
        sys.exit(process.returncode)
    return time.monotonic() - started, peak


def main() -> None:
    """Measure, print what was measured, and say with what machine."""
    arguments = sys.argv[1:]
    keep = arguments.pop(0).removeprefix("--keep=") if arguments and arguments[0].startswith("--keep=") else None
    options = arguments or ["--method", "make_an_agent", "--split", "unseen"]
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(keep) as folder:
        place = ["--cache-dir", f"{folder}/cache", "--results-dir", f"{folder}/results"]
        cold, cold_mb = timed([*options, *place])
        warm, warm_mb = timed([*options, *place])
    machine = environment_info()
    result = {
        "options": options,
        "empty_cache_seconds": round(cold, 1),
        "cached_seconds": round(warm, 1),
        "peak_mb": round(max(cold_mb, warm_mb)),
        "cpu": machine.cpu,
        "cores": machine.cores,
        "load_before": round(os.getloadavg()[2], 2),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
