"""What to say of a container that did not succeed: the cause, the evidence, and what to type next.

Exit status: 125 the runtime, 126 not executable, 127 not found, 128 + n ended by signal n (as in a shell and Docker).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from signal import Signals
from typing import Any

from nbcontainers.errors import ContainerFailed, CreateFailed, InvalidState, TimedOut

_MEANINGS = {
    "SIGSEGV": "it touched memory that is not its own",
    "SIGABRT": "it gave up by itself: abort(3), a failed assertion",
    "SIGBUS": "a memory access with nothing behind it: a truncated file, a full /dev/shm (--shm-size)",
    "SIGILL": "an instruction this processor does not have: built for another machine?",
    "SIGFPE": "an arithmetic error: a division by zero",
    "SIGSYS": "a system call its seccomp filter kills for",
    "SIGPIPE": "it wrote where nobody reads any more",
    "SIGXCPU": "its --ulimit cpu is used up",
    "SIGTERM": "it was told to stop",
    "SIGINT": "it was interrupted",
}
_NOT_STARTED: dict[int | str | None, str] = {
    "cwd": "write -w with a folder the user may enter",
    errno.ENOTDIR: "a folder can be mounted on a folder and a file on a file: look at what {image} has there",
    127: "{name} is not in the image: type container run {image} ls /bin /usr/bin to see what is",
    126: "it must be an executable file for this machine; a script needs a first line such as #!/bin/sh",
}
_MIB = 2**20


def container_failed(
    record: Mapping[str, Any], ended: Mapping[str, Any], last_words: bytes = b"", *, kept: bool = True
) -> ContainerFailed:
    """The error for an exit record with a status other than 0. `kept` is whether the container is still there."""
    code, name = ended.get("exit_code", -1), str(record.get("name", ""))
    what, why, advice = cause(ended)
    where = f"all it wrote: container logs {name}" if kept else ""
    return ContainerFailed(
        f"container {name} {what}{_after(ended)}{why}{evidence(last_words)}",
        hint="; ".join(part for part in (advice, where) if part),
        exit_code=code,
        signal=ended.get("signal"),
        oom_killed=bool(ended.get("oom_killed")),
        id=record.get("id", ""),
        name=name,
    )


def cause(ended: Mapping[str, Any]) -> tuple[str, str, str]:
    """(what happened, why, what to do about it)."""
    code, number = ended.get("exit_code", -1), ended.get("signal")
    if ended.get("oom_killed") or ended.get("reason") == "oom":
        return _out_of_memory(ended, code)
    if number is not None or 128 < code < 128 + 65:
        return _by_signal(ended, number if number is not None else code - 128, code, by_itself=number is None)
    if code == 127:
        advice = "is that program in the image, and in its PATH?"
        return "failed with exit status 127", ": a program it called was not found", advice
    if code == 126:
        return (
            "failed with exit status 126",
            ": a file it called is not executable",
            "chmod +x it, or call its interpreter",
        )
    return f"failed with exit status {code}", "", ""


def _out_of_memory(ended: Mapping[str, Any], code: int) -> tuple[str, str, str]:
    usage = ended.get("usage") or {}
    limit, peak = usage.get("memory_limit"), usage.get("memory_peak")
    what = "was killed for lack of memory"
    if limit and usage.get("memory_limit_hits", 1):
        reached = f"peak {mebibytes(peak)}, " if peak else ""
        why = f": it reached its limit of {mebibytes(limit)} ({reached}exit {code})"
        return what, why, f"give it more, as -m {max(1, round(2 * limit / _MIB))}m, or have it need less"
    return what, f": the whole host ran out of it (exit {code})", "free memory on the host, or give it a limit with -m"


def _by_signal(ended: Mapping[str, Any], number: int, code: int, *, by_itself: bool) -> tuple[str, str, str]:
    name = signal_name(number)
    what = f"{'failed: a process in it' if by_itself else ''} was ended by {name} (exit {code})".strip()
    if name != "SIGKILL":
        meaning = _MEANINGS.get(name, "")
        return what, f": {meaning}" if meaning else "", ""
    usage = ended.get("usage") or {}
    peak, limit = usage.get("memory_peak"), usage.get("memory_limit")
    room = f": its memory peak was {mebibytes(peak)}{f' of {mebibytes(limit)}' if limit else ''}" if peak else ""
    return what, f", not for lack of memory{room}", "somebody killed it: container kill, or stop after its time-out"


def _after(ended: Mapping[str, Any]) -> str:
    wall = ended.get("wall_s")
    return f" after {wall:.3g} s" if isinstance(wall, (int, float)) else ""


def evidence(last_words: bytes) -> str:
    """The last line of stderr."""
    lines = [line for line in last_words.decode("utf-8", "replace").splitlines() if line.strip()]
    shown = "".join(c for c in lines[-1].strip() if c.isprintable())[:200] if lines else ""
    return f". It last wrote: {shown}" if shown else ""


def signal_name(number: int) -> str:
    """`SIGKILL` for 9: signal(7)."""
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def mebibytes(number: float) -> str:
    text = f"{number / _MIB:.1f}".removesuffix(".0")
    return f"{text} MiB"


def not_started(error: CreateFailed, record: Mapping[str, Any]) -> CreateFailed:
    """The runtime's error with what to type, where it does not say so itself, and the container it is about."""
    code = error.details.get("exit_code", 125)
    key = code if error.details.get("stage") == "exec" else error.details.get("stage")
    command = record.get("command") or [""]
    if key == "mounts" and error.details.get("errno") in (errno.ENOTDIR, errno.EINVAL):
        key = errno.ENOTDIR
    hint = error.hint or _NOT_STARTED.get(key, "").format(name=command[0], image=record.get("image", "IMAGE"))
    details = {**error.details, "exit_code": code, "id": record.get("id"), "name": record.get("name")}
    return CreateFailed(f"the container could not start: {error.message}", hint=hint, **details)


def not_running(name: str, status: str) -> InvalidState:
    """What to say where only a running container will do."""
    hints = {
        "paused": f"container unpause {name} lets it go on",
        "dead": "type system prune to tidy it up",
        "restarting": f"wait until it runs: container wait --condition running {name}",
    }
    hint = hints.get(status, f"container start {name} starts it")
    return InvalidState(f"container {name} is not running: it is {status}", hint=hint, status=status)


def too_late(name: str, how: str) -> TimedOut:
    """What to say where a container is not as one wants it after the time one had for it."""
    hint = f"container logs {name} shows what it is at; a longer timeout waits on, container stop {name} ends it"
    return TimedOut(f"container {name} {how}", hint=hint, name=name)
