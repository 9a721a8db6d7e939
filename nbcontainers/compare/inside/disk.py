"""Files: read and written in the page cache, and waited for until they are on the disk."""

from __future__ import annotations

import os
from pathlib import Path

from nbcontainers.compare.inside.step import MIB, kept, per, scratch, volume


def read_cached() -> tuple[float, str]:
    return _read(scratch()), "MiB/s"


def volume_read_cached() -> tuple[float, str]:
    return _read(volume()), "MiB/s"


def write_cached() -> tuple[float, str]:
    return _written(scratch()), "MiB/s"


def volume_write_cached() -> tuple[float, str]:
    return _written(volume()), "MiB/s"


def write_sync() -> tuple[float, str]:
    return _synced(scratch()), "ms"


def volume_write_sync() -> tuple[float, str]:
    return _synced(volume()), "ms"


def small_files() -> tuple[float, str]:
    """Make, look at and remove a file."""
    path = str(scratch() / "small")

    def step() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, b"x")
        os.close(descriptor)
        os.stat(path)
        os.unlink(path)

    return per(step) * 1e6, "µs"


def _read(folder: Path) -> float:
    """MiB a second."""
    path, buffer = folder / f"read-{os.getpid()}", bytearray(MIB)
    path.write_bytes(os.urandom(8 * MIB))

    def step() -> None:
        file.seek(0)
        while file.readinto(buffer):
            pass

    with open(path, "rb", buffering=0) as file:
        took = per(step)
    path.unlink()
    return 8 / took


def _written(folder: Path) -> float:
    """MiB a second."""
    path, data = folder / f"written-{os.getpid()}", os.urandom(MIB)

    def step() -> None:
        with open(path, "wb", buffering=0) as file:
            for _ in range(8):
                file.write(data)

    took = per(step)
    path.unlink()
    return 8 / took


def _synced(folder: Path) -> float:
    """Milliseconds for 4 KiB at a file's end to be on the disk."""
    path, data = kept(folder) / f"synced-{os.getpid()}", os.urandom(4096)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def step() -> None:
        os.write(descriptor, data)
        os.fsync(descriptor)

    took = per(step, 10)
    os.close(descriptor)
    path.unlink()
    return took * 1e3
