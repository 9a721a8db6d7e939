"""The tables of system call numbers, against libseccomp's and the kernel headers of this machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nbcontainers.linux import libc, syscalls
from tests import bpf

HEADERS = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h"}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_number_is_libseccomps(machine: str) -> None:
    table = syscalls.numbers(machine)
    known = {name: bpf.resolve(name, machine) for name in table}
    assert {name: number for name, number in known.items() if number >= 0 and number != table[name]} == {}
    unknown = [name for name, number in known.items() if number < 0 and table[name] < 440]
    assert set(unknown) <= {"uretprobe", "uprobe"}  # newer than libseccomp 2.5, though the number is low


@pytest.mark.may_skip("the header is of linux-libc-dev, and for x86_64 only")
def test_every_number_is_the_kernel_headers() -> None:
    header = Path("/usr/include") / HEADERS["x86_64"]
    if not header.exists():
        pytest.skip(f"no {header}")
    lines = re.findall(r"#define __NR_(\w+)\s+(\d+)", header.read_text())
    table = syscalls.numbers("x86_64")
    assert {name: int(number) for name, number in lines if table.get(name) != int(number)} == {}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_no_number_is_given_twice(machine: str) -> None:
    table = syscalls.numbers(machine)
    assert len(set(table.values())) == len(table) > 290
    assert max(table.values()) == table["rseq_slice_yield"] == 471


def test_the_funnel_uses_the_same_numbers() -> None:
    import os

    table = syscalls.numbers(os.uname().machine)
    assert {name: number for name, number in libc.NUMBERS.items() if table[name] != number} == {}
