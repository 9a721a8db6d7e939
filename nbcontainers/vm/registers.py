"""What user-mode-linux needs on a processor with AMX: a shim for ptrace(2), see xstate.c; compiled once, by the host's cc."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from nbcontainers.engine import Engine
from nbcontainers.errors import HostNotCapable

_SOURCE = Path(__file__).parent / "xstate.c"
_ENOUGH = (6, 13)
"""The first kernel that asks the processor how large its state is."""


def shim(engine: Engine, release: str) -> str:
    """The path of the library to preload; "" where none is needed. Raises HostNotCapable where there is no compiler."""
    if not has_amx() or _version(release) >= _ENOUGH:
        return ""
    source = _SOURCE.read_bytes()
    path = engine.cache / "vm" / f"xstate-{hashlib.sha256(source).hexdigest()[:12]}.so"
    if not path.exists():
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            raise HostNotCapable(
                f"user-mode-linux {release} cannot run on a processor with AMX without a shim, and there is no C compiler",
                hint="apt-get install gcc libc6-dev",
            )
        path.parent.mkdir(mode=0o700, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", str(new), str(_SOURCE), "-ldl"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise HostNotCapable(
                f"{compiler} could not compile the shim: {done.stderr.strip()[-300:]}", hint="apt-get install libc6-dev"
            )
        os.rename(new, path)
    return str(path)


@cache
def has_amx() -> bool:
    """Whether this host's processor has tiles, 8 KiB of registers: proc_cpuinfo(5)."""
    return bool(re.search(r"^flags\b.*\bamx_tile\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE))


def _version(release: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
