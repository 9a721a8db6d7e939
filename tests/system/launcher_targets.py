"""Functions for the launcher's children in test_launcher."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nbcontainers.errors import InvalidArgument
from nbcontainers.monitor.protocol import STARTED, frame


def environment() -> dict[str, str]:
    """Also what execve(2) left on the stack, which os.environ no longer tells."""
    told = dict(entry.partition("=")[::2] for entry in Path("/proc/self/environ").read_text().split("\0"))
    return {**told, **os.environ}


def output(command: list[str]) -> str:
    import subprocess

    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def echo(value: Any) -> Any:
    return value


def write_to(fds: Sequence[int], text: str) -> None:
    os.write(fds[0], text.encode())


def count(to: int, on_event: Callable[[dict[str, int]], None]) -> str:
    for n in range(to):
        on_event({"n": n})
    return "counted"


def count_slowly(to: int, on_event: Callable[[dict[str, int]], None]) -> None:
    for n in range(to):
        on_event({"n": n})
        time.sleep(0.05)


def refuse(message: str) -> None:
    raise InvalidArgument(message, hint="type something else", path="/x")


def divide(by: int) -> float:
    return 1 / by


def die() -> None:
    os.kill(os.getpid(), 9)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def sleep_and_tidy(seconds: float, path: str) -> None:
    try:
        time.sleep(seconds)
    finally:
        time.sleep(0.2)
        Path(path).write_text("tidied")


def stubborn(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
        except KeyboardInterrupt:
            continue


def greet(channel: int) -> None:
    os.write(channel, frame(STARTED, b"{}"))


class slow_to_leave:
    """What a prepared child has, and half a second's work to let go of it."""

    name = "slow"

    def __init__(self, path: str) -> None:
        self.path = path
        self.ends = os.pidfd_open(os.getppid())

    def discard(self) -> None:
        Path(self.path).touch()
        time.sleep(0.5)
