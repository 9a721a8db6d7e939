"""When to sample a container's counters, and the file that keeps the samples."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence

from nbcontainers.cgroups.cgroup import Cgroup
from nbcontainers.cgroups.sampler import Sampler
from nbcontainers.cgroups.stats import HEADER, Sample, pack
from nbcontainers.linux import netdev
from nbcontainers.monitor.files import Files

_FIRST_S, _FIRST_INTERVAL_S = 1.0, 0.05
_PART, _LONGEST_S = 0.01, 10.0
_MADE = "network.json"


def interval(age_s: float) -> float:
    """Twenty a second at first, then every hundredth of the container's age, at least every ten seconds.

    So a plot has enough points whatever its length, and a day costs some 9,000 samples of 208 bytes.
    """
    return _FIRST_INTERVAL_S if age_s < _FIRST_S else min(max(0.1, age_s * _PART), _LONGEST_S)


class Sampling:
    """The counters' files, open, and `metrics`. `due` is the monotonic time of the next sample."""

    def __init__(self, cgroup: Cgroup, path: str, started: float, sampler: Sampler | None = None) -> None:
        self.cgroup = cgroup
        self.started = started
        self.due = started
        self._sampler = sampler or cgroup.sampler()
        self._file = open_metrics(path)

    def begin_network(self, mode: str) -> None:
        """Before the program of a container whose `network` is this runs, there was no traffic, unless the namespace is
        another container's; the host's is not counted at all."""
        if not mode.startswith(("host", "container:")):
            self._sampler.net = lambda: (0, 0)

    def count_network(self, mode: str, pid: int, files: Files) -> None:
        """Its traffic from now on: inside, or, where the program has ended meanwhile, by the host's ends of its cables."""
        if mode == "none":
            self._sampler.net = lambda: (0, 0)
        elif mode != "host" and not self._sampler.count_network(pid):
            cables = [
                str(one.get("link") or "").encode() for one in (files.read_state(_MADE).get("networks") or {}).values()
            ]
            if all(cables):
                self._sampler.net = lambda: _by_cables(files.run, cables)

    def take(self) -> Sample:
        """One sample, appended to the file; a full disk loses it there."""
        sample = self._sampler.sample()
        now = time.monotonic()
        self.due = now + interval(now - self.started)
        try:
            os.write(self._file, pack(sample))
        except OSError:
            pass  # ENOSPC: the figures of exit.json don't need the file
        return sample

    def close(self) -> None:
        self._sampler.close()
        os.close(self._file)


def _by_cables(run: str, cables: Sequence[bytes]) -> netdev.Traffic:
    """What went over these; unknown where one of them, or whoever holds their namespace, is gone."""
    try:
        text = netdev.of(_holder(run))
    except OSError:
        return -1, -1
    return netdev.other_ends(text, cables) or (-1, -1)


def _holder(run: str) -> int:
    """The process in whose network namespace the cables' ends are: an ordinary user's has a keeper (network.userhost)."""
    try:
        with open(f"{run}/.host/host.json", "rb") as file:
            return int(json.load(file)["processes"][0]["pid"])
    except (FileNotFoundError, IndexError, KeyError):
        return os.getpid()


def open_metrics(path: str) -> int:
    """The file, with its header if it is new, or of an earlier version with other columns."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.pread(descriptor, len(HEADER), 0) != HEADER:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, HEADER)
    return descriptor
