"""Running a program of the host to its end, its output handed on as it comes."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from nbcontainers.compare.target import Sink
from nbcontainers.errors import Error, HostNotCapable, TimedOut

_CHUNK = 1 << 16
_LONGEST_S, _ANSWERS_S, _TIDIES_S = 300.0, 10.0, 10.0
"""For a program to import an image; to say its version, which a daemon that hangs never does; to take away what it mounted."""
_WATCH = 'group=0; while read -r next; do group=$next; done; [ "$group" = 0 ] || kill -9 "-$group"'
PRIVATE = ("unshare", "--mount", "--propagation", "private")
"""Other programs mount what they need in a namespace of their own: nothing stays, whatever becomes of them."""


def run(
    words: Sequence[str], stdout: Sink, stderr: Sink, *, environment: Mapping[str, str] | None = None, cwd: str = "/",
    seconds: float | None = None, watch: Callable[[int], object] = lambda group: None,
) -> int:  # fmt: skip
    """Its exit status; 128 and the signal's number where one ended it. It gets no input. An interrupt ends it, and what it
    leaves in its process group goes with it; `watch` is told that group, and 0 afterwards. Raises TimedOut after `seconds`,
    HostNotCapable where it cannot be started."""
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
            env=None if environment is None else dict(environment), process_group=0,
        )  # fmt: skip
    except OSError as error:
        raise HostNotCapable.from_oserror(error, f"cannot run {words[0]}") from error
    with process:
        try:
            watch(process.pid)
            _pump(process, {process.stdout: stdout, process.stderr: stderr}, seconds)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            watch(0)
        status = process.wait()
    return status if status >= 0 else 128 - status


def late(seconds: float) -> TimedOut:
    """Of an execution that was ended because it took longer."""
    return TimedOut(f"it did not end within {seconds:g} s", hint="a longer --timeout waits on")


def _pump(process: subprocess.Popen[bytes], sinks: Mapping[object, Sink], seconds: float | None) -> None:
    """Until it has ended and all it wrote was read: another that holds its pipes is not waited for."""
    end = os.pidfd_open(process.pid)
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(end, selectors.EVENT_READ)
            for pipe in (process.stdout, process.stderr):
                assert pipe is not None
                selector.register(pipe, selectors.EVENT_READ, sinks[pipe])
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                running = end in selector.get_map()
                ready = selector.select(left if running else 0)
                if not ready and not running:
                    return
                if seconds is not None and not left and running:
                    raise late(seconds)
                for key, _ in ready:
                    if key.fd != end and (data := os.read(key.fd, _CHUNK)):
                        key.data(data)
                    else:
                        selector.unregister(key.fileobj)
    finally:
        os.close(end)


@contextmanager
def watched() -> Iterator[Callable[[int], object]]:
    """For `run`: a process that outlives us, and ends what we ran when we were killed."""
    with subprocess.Popen(["/bin/sh", "-c", _WATCH], stdin=subprocess.PIPE, process_group=0) as process:
        assert process.stdin
        told = process.stdin.fileno()

        def watch(group: int) -> None:
            with suppress(BrokenPipeError):
                os.write(told, b"%d\n" % group)

        try:
            yield watch
        finally:
            process.stdin.close()


@contextmanager
def held(words: Sequence[str], problem: str) -> Iterator[list[str]]:
    """What comes before a command that is to run in the mount namespace of another program. That one says `ready`, and holds
    the namespace until its input ends, as it does with us. Raises HostNotCapable, `problem` before what it said."""
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stderr
        try:
            if holder.stdout.readline() != b"ready\n":
                said = holder.stderr.read().decode("utf-8", "replace").strip().splitlines()
                raise HostNotCapable(f"{problem}: {said[-1] if said else 'mount failed'}")
            yield [shutil.which("nsenter") or "nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
        finally:
            holder.stdin.close()
            try:
                holder.wait(_TIDIES_S)
            except subprocess.TimeoutExpired:
                holder.kill()


def output(
    *words: str, environment: Mapping[str, str] | None = None, doing: str = "", seconds: float = _LONGEST_S
) -> str:
    """What a short program says on stdout. Raises HostNotCapable with what it said on stderr, TimedOut."""
    told: list[bytes] = []
    complaints: list[bytes] = []
    if status := run(words, told.append, complaints.append, environment=environment, seconds=seconds):
        said = b"".join(complaints).decode("utf-8", "replace").strip().splitlines()
        raise HostNotCapable(
            f"{doing or words[0]} failed with status {status}: {said[-1] if said else 'it said nothing'}"
        )
    return b"".join(told).decode("utf-8", "replace")


def version(*words: str) -> str:
    """The first line of what it says of itself; "" where it cannot."""
    try:
        return output(*words, seconds=_ANSWERS_S).partition("\n")[0].strip()
    except Error:
        return ""
