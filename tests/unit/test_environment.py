"""The name of a processor, which has to tell apart those whose last bits differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from maa_bench.environment import cpu_name, environment_info

EPYC = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: {family}
model\t\t: {model}
model name\t: AMD EPYC
flags\t\t: fpu sse2 avx avx2 {more}

processor\t: 1
cpu family\t: 1
model\t\t: 1
model name\t: another core
flags\t\t: fpu
"""
"""What /proc/cpuinfo holds on virtual machines, whose host hides all of the name but this."""


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        (EPYC.format(family=26, model=2, more="avx512f"), "AMD EPYC (family 26, model 2, AVX-512)"),
        (EPYC.format(family=25, model=1, more="bmi2"), "AMD EPYC (family 25, model 1)"),
        (EPYC.format(family=26, model=2, more="bmi2"), "AMD EPYC (family 26, model 2)"),
        ("processor\t: 0\nmodel name\t: Virt\n", "Virt"),
    ],
)
def test_a_processor_is_named_by_what_decides_its_bits(cpuinfo: str, name: str) -> None:
    assert cpu_name(cpuinfo) == name


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("", "aarch64"),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n", "aarch64 (implementer 0x41, part 0xd40)"),
    ],
)
def test_a_processor_without_a_name_is_named_by_its_kind(
    cpuinfo: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert cpu_name(cpuinfo) == name


def test_a_record_has_that_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr("maa_bench.environment.CPUINFO", file)
    monkeypatch.setattr("platform.processor", lambda: "known without")
    assert environment_info().cpu == "known without", "no such file on other systems"
    file.write_text(EPYC.format(family=25, model=1, more=""))
    assert environment_info().cpu == "AMD EPYC (family 25, model 1)"
