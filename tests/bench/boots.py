"""Boot to first command: `vm run` beside the same kernel started by hand with a bare initramfs.

By hand is what one would type: the kernel's file as Debian ships it, the same memory, no disk, no way to speak to the
guest, an init of four lines. Ours mounts the image and carries the command's input, output and status. Both in turn, in
an order that changes; all files are warm (the page cache, the image's disk, the unpacked kernel) after a first boot,
whose time is said too.
"""

from __future__ import annotations

import os
import select
import signal
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import peers, vm
from tests.bench.sampling import Samples, alternate, table

GOAL = 1.2
MEMORY_MIB = 256
_ROUNDS = 8
_PATIENCE_S = 60
_INIT = b"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox echo first >/dev/console
/bin/busybox poweroff -f
"""


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds from the call to the first byte of the command's output, ours and by hand, for each kind."""
    found = {}
    for kind, targets in (("uml", _user_mode(folder)), ("tcg", _emulated(folder))):
        cold = {name: target() * 1000 for name, target in targets.items()}  # files that are made once are there
        samples = alternate(targets, min(rounds, _ROUNDS), warm_up=0)
        print(f"\n{kind}: the first boot of each, {', '.join(f'{name} {ms:.0f} ms' for name, ms in cold.items())}")
        found[kind] = _compare(kind, samples)
    return found


def _compare(kind: str, samples: Samples) -> dict[str, Any]:
    medians = {name: statistics.median(values) for name, values in samples.items()}
    ratio = medians[f"vm run ({kind})"] / medians[f"by hand ({kind})"]
    print(f"\nboots: {__doc__.splitlines()[0]}\n{table(samples)}")
    print(f"  {ratio:6.3f} x by hand  {'ok' if ratio <= GOAL else 'MISSED'}  (goal {GOAL})", flush=True)
    return {"samples_ms": samples, "ratio": ratio, "goal": GOAL}


def _user_mode(folder: Path) -> dict[str, Callable[[], float]]:
    from nbcontainers.engine import default_engine
    from nbcontainers.vm import kernel, registers

    found = kernel.user_mode()
    shim = registers.shim(default_engine().prepare(), found.release)
    initrd = _bare(folder / "uml.cpio")
    command = [
        str(found.path), f"mem={MEMORY_MIB}M", f"initrd={initrd}", "rdinit=/init", "con=null", "con0=null,fd:1", "ssl=null",
        f"uml_dir={folder}/", "quiet", "panic=-1",
    ]  # fmt: skip
    environment = {"TMPDIR": "/dev/shm", "PATH": os.environ["PATH"], **({"LD_PRELOAD": shim} if shim else {})}
    return {"by hand (uml)": lambda: _until_first(command, environment), "vm run (uml)": lambda: _ours("uml", "")}


def _emulated(folder: Path) -> dict[str, Callable[[], float]]:
    kernel, _ = vm._kernel()
    command = [
        peers.program("qemu-system-x86_64"), "-M", "q35,accel=tcg", "-cpu", "max", "-m", str(MEMORY_MIB), "-nodefaults",
        "-no-user-config", "-display", "none", "-no-reboot", "-kernel", str(kernel),
        "-initrd", str(_bare(folder / "tcg.cpio")), "-append", f"console=ttyS0 quiet panic=-1 rdinit=/init {vm.CLOCK}",
        "-serial", "stdio",
    ]  # fmt: skip
    return {
        "by hand (tcg)": lambda: _until_first(command, dict(os.environ)),
        "vm run (tcg)": lambda: _ours("tcg", str(kernel)),
    }


def _bare(path: Path) -> Path:
    """busybox, a folder for devices, and an init of four lines."""
    from nbcontainers.vm.initramfs import Entry, archive

    busybox = Path(peers.program("busybox")).read_bytes()
    folders = [Entry(name, 0o40755) for name in ("bin", "dev", "proc")]
    path.write_bytes(archive([*folders, Entry("bin/busybox", 0o100755, busybox), Entry("init", 0o100755, _INIT)]))
    return path


def _until_first(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    machine = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
        start_new_session=True,
    )  # fmt: skip
    assert machine.stdout is not None
    said, found = b"", 0.0
    while not found and time.perf_counter() - began < _PATIENCE_S:
        if select.select([machine.stdout], [], [], 1)[0]:
            data = os.read(machine.stdout.fileno(), 1 << 16)
            said += data
            if b"first" in said:
                found = time.perf_counter() - began
            if not data:
                break
    os.killpg(machine.pid, signal.SIGKILL)  # user-mode-linux has processes of its own
    machine.communicate()
    assert found, said[-2000:]
    return found


def _ours(kind: str, kernel: str) -> float:
    from nbcontainers import vm as machines

    first: list[float] = []
    began = time.perf_counter()
    given = {"kernel": kernel} if kernel else {}
    machines.run(
        "mini", "echo", "first", kind=kind, memory=f"{MEMORY_MIB}m", stdout=lambda data: first.append(time.perf_counter()),
        **given,
    )  # fmt: skip
    return first[0] - began
