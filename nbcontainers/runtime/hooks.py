"""Lifecycle hooks: programs named in the configuration, given the state on stdin (config.md, POSIX-platform Hooks)."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Mapping
from typing import Any

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import process


def run_hooks(config: Mapping[str, Any], kind: str, state: Mapping[str, Any]) -> None:
    """Run every hook of `kind` in order. The first failure raises CreateFailed."""
    for hook in (config.get("hooks") or {}).get(kind) or ():
        code = _run(hook, json.dumps(state).encode())
        if code:
            raise CreateFailed(f"{kind} hook {hook['path']} failed: {code}", stage=kind, exit_code=125)


def _run(hook: Mapping[str, Any], state: bytes) -> str:
    """Start, feed and await one hook; an empty text is success."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(hook, reader)
    os.close(reader)
    try:
        os.write(writer, state)
    except BrokenPipeError:
        pass
    finally:
        os.close(writer)
    return _await(pid, hook.get("timeout"))


def _become(hook: Mapping[str, Any], stdin: int) -> None:
    try:
        os.dup2(stdin, 0)
        process.close_on_exec()
        process.reset_signals()
        environment = dict(entry.split("=", 1) for entry in hook.get("env") or () if "=" in entry)
        os.execve(hook["path"], hook.get("args") or [hook["path"]], environment)
    finally:
        os._exit(127)


def _await(pid: int, timeout: float | None) -> str:
    pidfd = process.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        late = not poll.poll(None if timeout is None else max(0, timeout) * 1000)
        if late:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"no end after {timeout} s" if late else f"exit status {code}" if code else ""


def now() -> str:
    """UTC in RFC 3339 with nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
