"""How a suite's layout file was made, so that anybody can make it again.

`python -m maa_bench.simulators.freeze SUITE OUT.npz [OLDER_SUITE]` writes it, and prints its hash for the suite's TOML.

Tasks of an older suite keep its very layouts, whatever the simulator would draw today.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

from maa_bench.errors import MaaBenchError
from maa_bench.simulators import simulator_of
from maa_bench.suite import LAYOUT_SETS, Suite, load_suite


def freeze(suite: Suite, older: Suite | None = None) -> bytes:
    """The layout file of a suite, with the same bytes whenever it is made; tasks of `older` keep its layouts."""
    simulator = simulator_of(suite)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for task in suite.tasks.values():
            for layout_set in LAYOUT_SETS:
                if older is not None and task.name in older.tasks:
                    layouts = older.layouts(task.name, layout_set)
                else:
                    layouts = simulator.draw_layouts(task, layout_set, suite.layout_counts[layout_set])
                array = io.BytesIO()
                np.save(array, layouts)
                # A fixed date: np.savez would write today's.
                entry = zipfile.ZipInfo(f"{task.name}/{layout_set}.npy", date_time=(2020, 1, 1, 0, 0, 0))
                archive.writestr(entry, array.getvalue())
    return buffer.getvalue()


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0, or 2 after one line that says what cannot be done."""
    if len(arguments) not in (2, 3):
        print("usage: python -m maa_bench.simulators.freeze SUITE OUT.npz [OLDER_SUITE]", file=sys.stderr)
        return 2
    suite, out, *older = arguments
    try:
        made = freeze(load_suite(suite), load_suite(older[0]) if older else None)
        Path(out).write_bytes(made)
    except (MaaBenchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f'sha256 = "{hashlib.sha256(made).hexdigest()}"')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
