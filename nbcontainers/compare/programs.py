"""Running a program of the host to its end, its output handed on as it comes."""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from nbcontainers.compare.target import Sink
from nbcontainers.errors import Error, HostNotCapable

_CHUNK = 1 << 16
PRIVATE = ("unshare", "--mount", "--propagation", "private")
"""Other programs mount what they need in a namespace of their own: nothing stays, whatever becomes of them."""


def run(
    words: Sequence[str], stdout: Sink, stderr: Sink, *, environment: Mapping[str, str] | None = None, cwd: str = "/"
) -> int:
    """Its exit status; 128 and the signal's number where one ended it. It gets no input. An interrupt ends it."""
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
            env=None if environment is None else dict(environment), process_group=0,
        )  # fmt: skip
    except OSError as error:
        raise HostNotCapable.from_oserror(error, f"cannot run {words[0]}") from error
    with process:
        try:
            _pump(process, {process.stdout: stdout, process.stderr: stderr})
            status = process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            raise
    return status if status >= 0 else 128 - status


def _pump(process: subprocess.Popen[bytes], sinks: Mapping[object, Sink]) -> None:
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, sinks[pipe])
        while selector.get_map():
            for key, _ in selector.select():
                if data := os.read(key.fd, _CHUNK):
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)


def output(*words: str, environment: Mapping[str, str] | None = None, doing: str = "") -> str:
    """What a short program says on stdout. Raises HostNotCapable with what it said on stderr."""
    told: list[bytes] = []
    complaints: list[bytes] = []
    if status := run(words, told.append, complaints.append, environment=environment):
        said = b"".join(complaints).decode("utf-8", "replace").strip().splitlines()
        raise HostNotCapable(
            f"{doing or words[0]} failed with status {status}: {said[-1] if said else 'it said nothing'}"
        )
    return b"".join(told).decode("utf-8", "replace")


def version(*words: str) -> str:
    """The first line of what it says of itself; "" where it cannot."""
    try:
        return output(*words).partition("\n")[0].strip()
    except Error:
        return ""
