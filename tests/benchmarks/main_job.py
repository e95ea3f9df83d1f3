"""The main job from an empty cache, and again with everything cached: seconds and peak memory of the process tree.

python tests/benchmarks/main_job.py [--keep=FOLDER] [maa-bench run options]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import nullcontext

from memory import watched

from maa_bench.environment import environment_info


def main() -> None:
    """Measure, print what was measured, and say with what machine."""
    arguments = sys.argv[1:]
    keep = arguments.pop(0).removeprefix("--keep=") if arguments and arguments[0].startswith("--keep=") else None
    command = [sys.executable, "-m", "maa_bench.cli", "run"]
    options = arguments or ["--method", "make_an_agent", "--split", "unseen"]
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(keep) as folder:
        place = ["--cache-dir", f"{folder}/cache", "--results-dir", f"{folder}/results"]
        cold, cold_mb = watched([*command, *options, *place])
        warm, warm_mb = watched([*command, *options, *place])
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
