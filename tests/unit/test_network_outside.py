"""What leads to and from an ordinary user's networks, where its other end does not do its part."""

from __future__ import annotations

import errno
import os
import time
from typing import Any

import pytest

from nbcontainers.network import forwarder, userhost


def test_a_slirp4netns_that_never_is_ready_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def start(run: str, made: Any, words: list[str], first: Any) -> int:
        (number,) = [word.partition("=")[2] for word in words if word.startswith("--ready-fd=")]
        held.append(os.dup(int(number)))
        return 1

    monkeypatch.setattr(userhost, "_start", start)
    monkeypatch.setattr(userhost, "_PATIENCE_S", 0.01)
    assert not userhost._lead_by_slirp("/run", {}, "slirp4netns", "/run/ns")
    os.close(held[0])


def test_without_a_free_descriptor_a_port_waits_and_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listener:
        def setblocking(self, blocking: bool) -> None: ...
        def fileno(self) -> int:
            return 0

        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

    class Loop:
        def add(self, descriptor: int, events: int, handler: Any) -> None:
            self.handler = handler

    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    loop: Any = Loop()
    listener: Any = Listener()
    forwarder.Streams(loop, forwarder.Target(None, None), listener)  # type: ignore[arg-type]
    loop.handler(0)
    assert waited == [forwarder._FULL_S]
