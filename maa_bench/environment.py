"""What machine and software a run was made with."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from maa_bench.record import Environment, GitInfo
from maa_bench.software import RECORDED, software

CPUINFO = Path("/proc/cpuinfo")
DETAILS = {"cpu family": "family", "model": "model", "CPU implementer": "implementer", "CPU part": "part"}
"""Fields of `/proc/cpuinfo` that tell generations apart, those of x86 and those of ARM, and our words for them."""


def environment_info(device: str = "cpu", threads: int | None = None) -> Environment:
    """Describe this machine and its software without importing anything heavy.

    Args:
        device: the torch device that methods ran on; the GPU is named only if it was used.
        threads: threads that a process used for linear algebra; asked of torch where not given.
    """
    torch = sys.modules.get("torch")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpu = torch.cuda.get_device_name(device) if torch is not None and device.startswith("cuda") else None
    return Environment(
        python=platform.python_version(),
        packages=software(RECORDED),
        platform=platform.platform(),
        cpu=cpu_name(_cpuinfo()),
        cores=cores,
        gpu=gpu,
        threads=threads or (torch.get_num_threads() if torch is not None else cores),
        git=_git_info(Path(__file__).resolve().parent),
        mujoco_gl=os.environ.get("MUJOCO_GL"),
    )


def cpu_name(cpuinfo: str) -> str:
    """The first processor of the text of `/proc/cpuinfo`: its name, and what tells apart those of one name.

    Virtual machines often give no more than "AMD EPYC" as a name, but numpy, BLAS and torch choose their code by
    generation, and by AVX-512, which a host may hide: two of one name give other last bits.
    """
    first = cpuinfo.partition("\n\n")[0]
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    name = fields.get("model name") or platform.processor() or platform.machine() or "unknown"
    details = [f"{word} {fields[key]}" for key, word in DETAILS.items() if key in fields]
    if "avx512f" in fields.get("flags", "").split():
        details.append("AVX-512")
    return f"{name} ({', '.join(details)})" if details else name


def _cpuinfo() -> str:
    try:
        return CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return ""


def _git_info(package: Path) -> GitInfo | None:
    """Commit of the checkout that `package` is in; None if it is installed elsewhere, e.g. in a virtual
    environment."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(package), *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        root = Path(git("rev-parse", "--show-toplevel"))
        if not (root / "maa_bench" / "__init__.py").samefile(package / "__init__.py"):
            return None
        code = [name for name in ("maa_bench", "baselines", "tasks", "pyproject.toml") if (root / name).exists()]
        status = git("status", "--porcelain", "--", *(str(root / name) for name in code))
        return GitInfo(commit=git("rev-parse", "HEAD"), dirty=bool(status))
    except (OSError, subprocess.SubprocessError):
        return None
