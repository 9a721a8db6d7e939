"""The workloads on this host: one round, since it is that they measure what they say which is tested, and not the figures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import container, network, vm
from nbcontainers.compare import outside, rounds, running, workload
from nbcontainers.compare.report import Report
from nbcontainers.compare.rounds import Measured
from nbcontainers.compare.target import Limits, target
from nbcontainers.errors import HostNotCapable
from nbcontainers.network import members
from tests import peers
from tests.monitored import wait_for

ROOT = os.geteuid() == 0
AS_ROOT = pytest.mark.as_root
VOLATILE = "its root is a volatile overlay, where fsync does nothing; volume_write_sync is to be compared"


@pytest.fixture
def clean(engine: Any) -> Iterator[None]:
    containers = [row["id"] for row in container.ps(all=True)]
    yield
    assert list(engine.cache.glob("compare-*")) == []
    assert [row["id"] for row in container.ps(all=True)] == containers


@pytest.fixture
def reachable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An engine with networks: as root on a host of its own, of an ordinary user in its own namespace."""
    engine = request.getfixturevalue("ours" if ROOT else "engine")
    monkeypatch.delenv("NBCONTAINERS_NETWORK", raising=False)
    yield engine
    wait_for(lambda: not members.joined(str(engine.root), str(engine.run)))
    network.prune()


def measured(engine: Any, axes: str, on: str, image: str = "host") -> Measured:
    with running.planned(engine, image, Limits()) as plan:
        return rounds.measure(plan, [target(name) for name in on.split(",")], workload.named(axes), 1, 1)


def told(engine: Any, axes: str, name: str, image: str = "host") -> Report:
    """Of one execution."""
    with running.planned(engine, image, Limits()) as plan, target(name).opened(plan) as execute:
        return rounds.once(execute, workload.named(axes).command, on_host=plan.on_host).report


def figures(found: Measured, name: str) -> dict[str, tuple[float, str]]:
    return {row["axis"]: (row["value"], row["unit"]) for row in found.samples if row["target"] == name}


def test_every_axis_in_a_container(clean: None, engine: Any) -> None:
    """Each has its figure in its unit, but those that wait for a disk that is none."""
    found = told(engine, "all", "container")
    units = {axis.name: axis.unit for axis in workload.AXES if axis.name in workload.named("all").axes}
    assert found.absent.pop("write_sync") == VOLATILE
    reasons = {"fit": "Python here has no", "matmul": "Python here has no", "bandwidth": "Python here has no",
               "latency": "Python here has no", "sqlite": "it is in memory", "volume_write_sync": "it is in memory"}  # fmt: skip
    assert all(why.startswith(reasons[axis]) for axis, why in found.absent.items()), found.absent
    for name in ("write_sync", *found.absent):
        del units[name]
    assert {name: figure.unit for name, figure in found.figures.items()} == units
    assert all(figure.value > 0 for figure in found.figures.values())


def test_services_are_reached_on_the_host_and_in_a_container(reachable: Any) -> None:
    """By its own address only root's containers: an ordinary user's bridge is in a namespace."""
    found = measured(reachable, "reached,web", "host:unlimited,container")
    assert (found.absent, found.lost) == ({}, {})
    host, box = figures(found, "host:unlimited"), figures(found, "container")
    ways = ["published_round_trip", "published_throughput", *(["own_round_trip", "own_throughput"] if ROOT else [])]
    if shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        ways += ["nginx_published", *(["nginx"] if ROOT else [])]
    else:
        assert found.without["container", "nginx"] == "the image has no nginx (Debian: apt-get install nginx-light)"
    assert set(ways) <= set(host)
    assert set(ways) <= set(box)
    assert 1 < box["published_round_trip"][0] < 1e6
    if not ROOT:
        assert found.without["container", "own_round_trip"].startswith("the host does not reach ")
    assert found.facts["container"]["asked from"] == "the host"


def test_an_image_without_python_answers_too(reachable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "_MOST", 2)
    monkeypatch.setattr(outside, "_SETTLES_S", 0.2)
    axes = "start,published_round_trip,nginx_published,density,volume_write_cached,write_sync"
    found = measured(reachable, axes, "container", image="mini")
    told = figures(found, "container")
    assert found.without["container", "nginx_published"].startswith("the image has no nginx")
    assert found.without["container", "write_sync"] == VOLATILE
    assert {"start_warm", "footprint", "instances", "image_size", "volume_write_cached"} <= set(told)
    assert 0.1 < told["image_size"][0] < 100
    assert 0.2 < told["footprint"][0] < 100
    assert 2 < told["instances"][0] < 1e6
    assert found.facts["container"]["idle"].startswith("2 instances were started: the first takes ")
    assert "start_cold" in told or "pages stay in memory" in found.without["container", "start_cold"]
    if shutil.which("busybox"):
        assert told["published_round_trip"][1] == "µs"
    else:
        assert "neither Python nor a nc" in found.without["container", "published_round_trip"]


@AS_ROOT
@pytest.mark.parametrize(("program", "count"), [("runc", 1), ("podman", 2)])
def test_idle_instances_of_peers(clean: None, engine: Any, program: str, count: int) -> None:
    """runc's is one process; one of podman's is watched by conmon. They are there while the target is open."""
    peers.program(program)
    peers.program("runc")
    made = target(f"container:{program}")
    try:
        with running.planned(engine, "mini", Limits()) as plan:
            assert made.idle(plan) is None
            with made.opened(plan):
                instance = made.idle(plan)
                assert instance
                with instance as pids:
                    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]
                    assert outside._footprint(pids) > 10_000
                wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids))
            with pytest.raises(HostNotCapable, match=r"makes no network|would stay on this host"):
                made.opened(replace(plan, published=(1,))).__enter__()
    finally:
        peers.remove_parents()
    assert names == ["sleep", "conmon"][:count]


def test_an_idle_machine_ends_and_another_s_goes_on(clean: None, engine: Any) -> None:
    """One that somebody started meanwhile."""
    peers.program("linux.uml")
    peers.program("busybox")
    with running.planned(engine, "mini", Limits()) as plan, ExitStack() as rest:
        instance = target("vm:uml").idle(plan)
        assert instance
        with instance as pids:
            theirs = vm.run("mini", "sleep", "60", kind="uml", detach=True, engine=engine)
            rest.callback(vm.rm, theirs, force=True, engine=engine)
            assert outside._footprint(pids) > 10 << 20
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids))
        assert theirs.running


def test_a_machine_forgets_its_disk_and_says_so(clean: None, engine: Any) -> None:
    peers.program("linux.uml")
    found = told(engine, "write_sync,volume_write_sync", "vm:uml", image="mini")
    assert found.absent["write_sync"].startswith("what is written to its disk is thrown away with it")
    assert set(found.figures) == {"volume_write_sync"}


def test_what_the_host_itself_uses_is_never_cold(clean: None, engine: Any) -> None:
    found = measured(engine, "start_cold,image_size", "host:unlimited")
    assert {axis for _, axis in found.without} == {"start_cold", "image_size"}
