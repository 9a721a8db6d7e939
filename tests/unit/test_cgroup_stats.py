"""Samples, the metrics file, and the sum in exit.json."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbcontainers.cgroups import stats
from nbcontainers.cgroups.layout import Layout
from nbcontainers.cgroups.null import Null
from nbcontainers.cgroups.sampler import Sampler
from nbcontainers.cgroups.stats import COLUMNS, Sample
from nbcontainers.errors import InvalidArgument

NOTHING = Sample._make(-1 for _ in COLUMNS)


def limited(**limits: dict[str, int]) -> Any:
    return SimpleNamespace(limits=limits)


def metrics(path: Path, *samples: Sample) -> Path:
    path.write_bytes(stats.HEADER + b"".join(map(stats.pack, samples)))
    return path


def test_samples_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [Sample._make(range(start, start + len(COLUMNS))) for start in (0, 100, 2**62)]
    found = stats.read_metrics(metrics(tmp_path / "metrics", *rows))
    assert list(found) == rows
    assert (found[-1], found[::2], len(found)) == (rows[2], rows[::2], 3)


def test_a_record_cut_short_is_left_out(tmp_path: Path) -> None:
    path = metrics(tmp_path / "metrics", NOTHING, NOTHING)
    path.write_bytes(path.read_bytes()[:-5])
    assert list(stats.read_metrics(path)) == [NOTHING]


def test_an_empty_file_has_no_samples(tmp_path: Path) -> None:
    (tmp_path / "metrics").touch()
    assert list(stats.read_metrics(tmp_path / "metrics")) == []


@pytest.mark.parametrize("content", [b"hello\n", stats._MAGIC + b"[no newline"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics").write_bytes(content)
    with pytest.raises(InvalidArgument, match="is not a metrics file"):
        stats.read_metrics(tmp_path / "metrics")


def test_columns_of_another_version(tmp_path: Path) -> None:
    """A column we don't know is left out, one the file does not have is -1."""
    path = tmp_path / "metrics"
    header = stats._MAGIC + json.dumps(["time_ns", "dreams", "memory"]).encode() + b"\n"
    path.write_bytes(header + struct.pack("<3q", 5, 6, 7))
    (sample,) = stats.read_metrics(path)
    assert (sample.time_ns, sample.memory, sample.cpu_ns) == (5, 7, -1)


def test_usage_between_two_samples() -> None:
    first = NOTHING._replace(cpu_ns=10**9, io_reads=5, oom_kills=0)
    last = NOTHING._replace(cpu_ns=3 * 10**9, io_reads=8, oom_kills=2, memory_peak=4096, pids_peak=3, psi_cpu_ns=5000)
    used = stats.usage(first, last, limited(memory={"limit": 8192}, pids={"limit": -1}))
    assert used["cpu_s"] == 2.0
    assert used["io_reads"] == 3
    assert used["oom_kills"] == 2
    assert (used["memory_peak"], used["memory_limit"]) == (4096, 8192)
    assert (used["pids_peak"], used["pids_limit"]) == (3, None)
    assert used["psi_cpu_s"] == 5e-6
    assert used["throttled_s"] is None
    json.dumps(used, allow_nan=False)


def test_usage_since_the_beginning() -> None:
    assert stats.usage(None, NOTHING._replace(cpu_ns=5 * 10**8), limited())["cpu_s"] == 0.5


def test_without_a_cgroup_the_rusage_stands_in() -> None:
    rusage = SimpleNamespace(ru_utime=1.5, ru_stime=0.5, ru_maxrss=2048, ru_inblock=2, ru_oublock=4)
    cgroup = Null({"kind": "null", "rootless": True}, Layout({}, None))
    sampler = cgroup.sampler()
    used = stats.usage(None, sampler.sample(), cgroup, rusage)
    assert (used["cpu_s"], used["user_s"], used["memory_peak"]) == (2.0, 1.5, 2 << 20)
    assert (used["io_read_bytes"], used["io_write_bytes"]) == (1024, 2048)
    assert used["oom_kills"] is None


@pytest.mark.parametrize(
    ("used", "cause"),
    [
        ({"oom_kills": 0}, None),
        ({"oom_kills": None}, None),
        ({"oom_kills": 1, "memory_limit_hits": 7}, "limit"),
        ({"oom_kills": 1, "memory_limit_hits": 0, "memory_peak": 99, "memory_limit": 100}, "limit"),
        ({"oom_kills": 1, "memory_limit_hits": 0, "memory_peak": 50, "memory_limit": 100}, "host"),
        ({"oom_kills": 1, "memory_peak": 50, "memory_limit": None}, "host"),
    ],
)
def test_who_was_short_of_memory(used: stats.Usage, cause: str | None) -> None:
    assert stats.oom_cause(used) == cause


def test_a_sampler_of_nothing() -> None:
    sampler = Sampler()
    sample = sampler.sample()
    assert sample.time_ns > 10**18
    assert set(sample[1:]) == {-1}
    sampler.close()
    sampler.close()
