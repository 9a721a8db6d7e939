"""Kernels without their wrapping: what is in a bzImage, and whether QEMU can start it."""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable, InvalidArgument
from nbcontainers.vm import unpacking
from tests import peers


def elf(owner: bytes = b"Xen\0", kind: int = 18) -> bytes:
    """An ELF file of one segment: two notes, the second of which is this."""
    notes = struct.pack("<III", 4, 3, 1) + b"GNU\0abc\0" + struct.pack("<III", 4, 4, kind) + owner + b"\0" * 4
    head = b"\x7fELF\x02\x01" + b"\0" * 10 + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(notes), len(notes), 4) + notes


def bzimage(packed: bytes) -> bytes:
    head = bytearray(5 * 512)
    head[0x1F1] = 4
    head[0x202:0x206] = b"HdrS"
    head[0x248:0x250] = struct.pack("<II", 16, len(packed))
    return bytes(head) + b"\0" * 16 + packed


def by_program(name: str, *options: str) -> Callable[[bytes], bytes]:
    peers.program(name)
    return lambda data: subprocess.run([name, *options, "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("how", ["gzip", "xz", "lzma", "lz4", "zstd"])
def test_a_kernel_comes_out_as_it_was_packed(how: str) -> None:
    size = struct.pack("<I", len(elf()))
    packed = {
        "gzip": lambda: gzip.compress(elf()),
        "xz": lambda: lzma.compress(elf(), lzma.FORMAT_XZ) + size,
        "lzma": lambda: lzma.compress(elf(), lzma.FORMAT_ALONE) + size,
        "lz4": lambda: by_program("lz4", "-l")(elf()) + size,
        "zstd": lambda: by_program("zstd")(elf()) + size,
    }[how]()
    assert unpacking.content(bzimage(packed)) == elf()


def test_only_a_kernel_that_can_be_started_is_kept(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "root", tmp_path / "run", False).prepare()
    path = tmp_path / "vmlinuz"
    for damaged in (b"", b"short", bzimage(b"unknown"), bzimage(gzip.compress(elf(kind=1))),
                    bzimage(gzip.compress(elf(owner=b"GNU\0"))), bzimage(gzip.compress(b"\x7fELF\x02\x01")),
                    bzimage(gzip.compress(b"no kernel"))):  # fmt: skip
        path.write_bytes(damaged)
        assert unpacking.unpacked(engine, path) == path
    for damaged in (gzip.compress(elf())[:-9], lzma.compress(elf())[:40], b"\x1f\x8b\x08garbage"):
        path.write_bytes(bzimage(damaged))
        with pytest.raises(InvalidArgument, match=f"the kernel {path} is damaged"):
            unpacking.unpacked(engine, path)
    path.write_bytes(bzimage(gzip.compress(elf())))
    made = unpacking.unpacked(engine, path)
    assert made.read_bytes() == elf()
    os.utime(path, (1, 1))  # another version: what is made once is known by the file's time
    for number in range(6):
        os.utime(path, (number, number))
        made = unpacking.unpacked(engine, path)
    assert made.exists()
    assert len(list(made.parent.glob("*.vmlinux"))) == 4
    assert {one.suffix for one in made.parent.iterdir()} == {".vmlinux"}


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    engine = Engine(tmp_path / "root", tmp_path / "run", False).prepare()
    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(HostNotCapable, match=r"x\.cpio could not be written: No space left on device"):
        unpacking.keep(engine, engine.cache / "vm/x.cpio", b"data")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_two_sweeps_at_a_time_do_not_mind_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / f"{name}.vmlinux").touch()
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *words: [*glob(*words), tmp_path / "gone.vmlinux"])
    unpacking.sweep(tmp_path, kept=1)
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 1
