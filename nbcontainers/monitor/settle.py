"""A monitor with nothing to do sleeps in a small process: an idle container costs its host less than 4 MB.

CPython never gives back the memory of what it imported. So an idle monitor replaces itself, by execve(2), with a
bare interpreter that runs `idle` and nothing else; pid, children, mount namespace and descriptors stay. It gets `idle`
compiled, in a memory file: where no bytecode is cached, compiling takes a megabyte that stays. At the first sign of
life (output, the end, a new peer, a signal, CPU use) that one replaces itself with the whole program, which finds what
it needs in a memory file. Each waking doubles the quiet time before the next sleep. What is to be done at times does
not wake it: it starts the checks of a container's health as processes of their own. The time before a container is
started again is slept through in the same way, and then it does wake up.
"""

from __future__ import annotations

import json
import marshal
import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbcontainers.monitor.running import Running

#: Quiet seconds before a monitor sleeps, at first and at most; and the part of a processor that counts as busy.
PATIENCE_S, MOST_PATIENCE_S, BUSY = 1.0, 64.0, 0.01
SIGNALS = (signal.SIGTERM, signal.SIGINT)
PACKAGE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_IDLE = (
    "import marshal, posix, sys; idle = type(sys)('idle'); code = int(sys.argv[1]); "
    "exec(marshal.loads(posix.read(code, 1 << 20)), vars(idle)); posix.close(code); idle.main(sys.argv[2:])"
)
_WAKE = "import sys; sys.path.append(sys.argv[1]); from nbcontainers.monitor import settle; settle.wake(sys.argv[2:])"


def sleep(running: Running) -> None:
    """Become the small process. Returns only if that cannot be: then the monitor goes on as it is."""
    code = prepare()
    if code is None:
        return
    state = running.freeze()
    state["patience"] = min(running.patience * 2, MOST_PATIENCE_S)
    descriptors = [state["start"][1], *(fd for fd, _ in state["outputs"])]
    descriptors += [state["listener"]] if state["listener"] is not None else []
    become_idle(code, state, descriptors + running.waking, cpu_file(state["cgroup"]), running.checks.duty())


def prepare() -> int | None:
    """The descriptor that `become_idle` needs; None where the package was removed meanwhile: nothing could wake up."""
    try:
        return memory_file(idle_code())
    except (OSError, ImportError):
        return None


def become_idle(
    code: int, state: dict[str, Any], descriptors: Sequence[int], cpu: Sequence[str],
    duty: tuple[float, float, Sequence[str]] | None,
) -> None:  # fmt: skip
    """Sleep until one of `descriptors` has something or a duty is due: (when, seconds to the next, the command for it).

    Returns, with signals let through, only where the interpreter was removed meanwhile, or may not be executed any more.
    """
    due, every, check = (repr(duty[0]), repr(duty[1]), duty[2]) if duty else ("", "", ())
    memory = memory_file(json.dumps(state).encode())
    arguments = [",".join(map(str, descriptors)), *cpu, due, every, str(len(check)), *check]
    arguments += command(_WAKE, PACKAGE_ROOT, str(memory))
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        os.execv("/proc/self/exe", command(_IDLE, str(code), *arguments))
    except OSError:
        os.close(memory)
        os.close(code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def memory_file(content: bytes) -> int:
    """memfd_create(2): a descriptor that survives execve(2), to be read from the start."""
    descriptor = os.memfd_create("nbcontainers-monitor", 0)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def idle_code() -> bytes:
    """The module `idle`, compiled for this very interpreter. Raises OSError or ImportError where it is no longer there."""
    found = find_spec("nbcontainers.monitor.idle")
    if found is None:
        raise ImportError("nbcontainers.monitor.idle")
    return marshal.dumps(found.loader.get_code(found.name))  # type: ignore[union-attr]


def command(code: str, *arguments: str) -> list[str]:
    """A Python without site and environment, so that nothing but what is named is imported."""
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


def cpu_file(record: dict[str, object]) -> list[str]:
    """A file whose first number is the container's CPU time, and how many of its units are a second."""
    v1 = record.get("v1")
    if isinstance(v1, dict) and "cpuacct" in v1:
        return [f"{v1['cpuacct']}/cpuacct.usage", "1000000000"]
    return [f"{record['v2']}/cpu.stat", "1000000"] if "v2" in record else ["", "1"]


def wake(arguments: list[str]) -> None:
    """Become the whole program again, in the fresh interpreter that `idle` executed: descriptor of the state, words."""
    from nbcontainers.monitor import program

    with open(int(arguments[0]), "rb") as memory:
        state = json.load(memory)
    words = dict(word.partition("=")[::2] for word in arguments[1:])
    if "stop" in words:
        os.kill(os.getpid(), signal.SIGTERM)  # still blocked: it arrives when the loop is ready for it
    state["due"], state["check"] = float(words.get("due", 0)), int(words.get("check", 0))
    program.resume(state)
