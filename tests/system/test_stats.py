"""What is counted of real containers: gauges against the kernel's own figures, traffic, throttling, cards, DataFrames."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers import network
from nbcontainers.cgroups.detect import open_record
from nbcontainers.container import api, gauges, store, usage
from nbcontainers.container.container import Container
from nbcontainers.container.gauges import Gauges
from tests.monitored import wait_for
from tests.watched import rested, wakes_and_shrinks

BUSY = "while :; do :; done"
SERVE = "mkdir /srv; head -c 300000 /dev/zero > /srv/zeros; exec httpd -f -p 80 -h /srv"
FETCH = "for i in 1 2 3 4 5; do wget -q -O /dev/null http://{}/zeros && exit; sleep 0.1; done; exit 1"


def burner(name: str, **options: Any) -> Container:
    return nbcontainers.run("mini", "sh", "-c", BUSY, name=name, detach=True, **options)


@pytest.mark.limits
def test_a_gauge_says_what_the_kernel_says(engine: Any, name: str) -> None:
    container = burner(name, cpus=0.02, memory="64m", pids_limit=50)
    with Gauges(engine).watched() as watched:
        watched.read([container.id])
        time.sleep(1)
        gauge = watched.read([container.id])[container.id]
        point = gauge.point
        assert point
        assert 0 < (point.cpu or 0) < 0.2
        assert (point.throttled or 0) > 0
        assert point.pids == 1
        sampler = open_record(store.state(engine, container.id)["cgroup"]).sampler()
        sample = sampler.sample()
        sampler.close()
        for figure in ("cpu_ns", "throttled_ns", "memory", "pids", "oom_kills", "psi_cpu_ns", "io_read_bytes"):
            said, counted = gauge.counter(figure), getattr(sample, figure)
            assert (said is None) == (counted < 0), figure
            assert said is None or 0.5 * counted <= said <= counted + (1 << 20), figure
        assert gauge.limits["memory"]["limit"] == 64 << 20
        api.update(container, memory="80m")
        watched._looked = 0.0
        assert watched.read([container.id])[container.id].limits["memory"]["limit"] == 80 << 20
        container.kill()
        container.wait()
        wait_for(lambda: container.id not in watched.read())


@pytest.mark.limits
@pytest.mark.timeout(60)
def test_one_that_wakes_is_seen_at_that_look_and_what_is_taken_from_one_that_rests_soon(engine: Any, name: str) -> None:
    container = nbcontainers.run("mini", "sleep", "1000", name=name, detach=True, memory="64m")
    with Gauges(engine).watched() as watched:
        wakes_and_shrinks(watched, container)


@pytest.mark.timeout(60)
def test_one_that_is_started_again_removed_or_renamed(engine: Any, name: str) -> None:
    container = nbcontainers.run("mini", "sleep", "1000", name=name, detach=True)
    with Gauges(engine).watched() as watched:
        gauge = rested(watched, container.id)
        api.restart(name, time=0)
        time.sleep(gauges.FRESH_S)
        wait_for(lambda: container.id in watched.read())
        again = watched.read()[container.id]
        assert again is not gauge
        assert again.process["pid"] != gauge.process["pid"]
        api.rename(name, f"{name}-other")
        watched._looked = 0.0
        assert watched.read()[container.id].name == f"{name}-other"
        rested(watched, container.id)
        api.rm(f"{name}-other", force=True)
        time.sleep(gauges.FRESH_S)
        assert container.id not in watched.read()


@pytest.mark.limits
def test_stats_say_throttling_and_pressure(name: str) -> None:
    container = burner(name, cpus=0.02, memory="64m")
    shown = api.stats(container)
    row = shown[0]
    assert 0 < row["throttled"] <= 100
    assert (row["oom_kills"], row["pids"]) == (0, 1)
    if store.state(container.engine, container.id)["cgroup"].get("v2") and Path("/proc/pressure").exists():
        assert row["psi_cpu"] > 0
    assert [column.heading for column in shown.columns][-4:] == ["PSI CPU", "PSI MEM", "PSI I/O", "OOM KILLS"]
    bundle = shown._repr_mimebundle_()
    assert "as of " in bundle["text/html"]
    assert bundle["text/plain"].endswith(shown.when)
    assert repr(shown).count("\n") == 1, "a terminal has the table alone"
    assert shown._live_() == ("metrics", {"containers": [name]})
    assert api.stats()._live_() == ("metrics", {"containers": []})
    container.stop(0)
    ended = api.stats(container)[0]
    assert (ended["state"], ended.get("cpu")) == ("exited", None)


@pytest.fixture
def networked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An engine whose containers have networks: root's on a host of its own."""
    if os.geteuid() == 0:
        yield request.getfixturevalue("ours")
        return
    monkeypatch.delenv("NBCONTAINERS_NETWORK")
    yield request.getfixturevalue("engine")
    network.prune()


@pytest.mark.timeout(60)
def test_traffic_is_counted_the_same_everywhere(networked: Any, name: str) -> None:
    """In a gauge by the host's end of the cable, in the samples inside; and in the card, the figures and the plot."""
    server = nbcontainers.run("mini", "sh", "-c", SERVE, name=name, detach=True, network=["nbcontainers"])
    with gauges.of(networked).watched() as watched:
        gauge = watched.read([server.id])[server.id]
        assert gauge.cables
        fetching = [FETCH.format(name), "sleep 0.3"]
        client = nbcontainers.run("mini", "sh", "-c", "; ".join(fetching), name=f"{name}-c", network=["nbcontainers"])
        time.sleep(gauges.FRESH_S)
        watched.read([server.id])
        sent = gauge.counter("net_tx_bytes")
        assert sent
        assert 300_000 < sent < 400_000
    assert 300_000 < (client.usage["net_rx_bytes"] or 0) < 400_000
    assert "traffic    3" in usage.card(client).text()
    assert "kB received" in usage.card(client).html()
    row = api.stats(server)[0]
    assert row["net_sent"] >= sent
    frame = client.metrics()
    assert int(frame["net_rx_bytes"].max()) == client.usage["net_rx_bytes"]
    assert frame["net_rx_bytes_per_s"].max() > 0
    moment = usage.now(server, None)
    assert moment
    assert moment.net_tx_bytes >= sent


@pytest.mark.timeout(60)
def test_what_reaches_one_that_rests_is_seen(networked: Any, name: str) -> None:
    """Its kernel answers; nothing in it runs."""
    target = nbcontainers.run("mini", "sleep", "1000", name=name, detach=True, network=["nbcontainers"])
    with gauges.of(networked).watched() as watched:
        gauge = rested(watched, target.id)
        received, ran = gauge.counter("net_rx_bytes") or 0, gauge.counter("cpu_ns")
        ping = ["ping", "-c", "2", "-s", "8000", name]
        nbcontainers.run("mini", *ping, rm=True, network=["nbcontainers"], cap_add=["NET_RAW"])
        time.sleep(gauges.FRESH_S)
        point = watched.read()[target.id].point
        assert point
        assert (point.net_rx or 0) > 0
        assert (gauge.counter("net_rx_bytes") or 0) - received > 16_000
        assert gauge.counter("cpu_ns") == ran


@pytest.mark.timeout(60)
def test_traffic_is_counted_to_the_end_of_one_whose_monitor_slept(networked: Any, name: str) -> None:
    server = nbcontainers.run("mini", "sh", "-c", SERVE, name=name, detach=True, network=["nbcontainers"])
    with gauges.of(networked).watched() as watched:
        watched.read()
        nbcontainers.run("mini", "sh", "-c", FETCH.format(name), rm=True, network=["nbcontainers"])
        time.sleep(gauges.FRESH_S)
        sent = watched.read()[server.id].counter("net_tx_bytes")
    monitor = store.state(networked, server.id, "monitor.json")["pid"]
    wait_for(lambda: b"idle.main" in Path(f"/proc/{monitor}/cmdline").read_bytes(), 20)
    server.kill()
    server.wait()
    assert sent
    assert 300_000 < sent <= (server.usage["net_tx_bytes"] or 0) < 400_000


def test_a_container_without_a_network_has_no_traffic_and_one_with_the_hosts_is_not_counted(name: str) -> None:
    alone = nbcontainers.run("mini", "sleep", "0.2", name=name, network=["none"])
    assert (alone.usage["net_rx_bytes"], alone.usage["net_tx_bytes"]) == (0, 0)
    assert "traffic" not in usage.card(alone).text()
    shared = nbcontainers.run("mini", "sleep", "0.2", name=f"{name}-h", network=["host"])
    assert shared.usage["net_rx_bytes"] is None
    assert shared.metrics()["net_rx_bytes"].isna().all()


@pytest.mark.limits
def test_the_card_of_a_run_shows_how_it_went(name: str) -> None:
    script = "x=$(head -c 8000000 /dev/zero | tr '\\0' a); i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; sleep 0.2"
    container = nbcontainers.run("mini", "sh", "-c", script, name=name, memory="64m", cpus=0.5, detach=True)
    wait_for(lambda: len(usage.samples(container)) > 3)
    running = usage.card(container)
    assert running.trend
    assert " so far " in running.text()
    assert running.when in running.html()
    container.wait()
    card = usage.card(container)
    assert card.when == ""
    for one in card.trend.sparks() if card.trend else []:
        assert one.words in card.text()
        assert one.svg in card.html()
    words = {one.label: one.words for one in card.trend.sparks()} if card.trend else {}
    assert set(words) == {"cpu", "memory"}
    assert "limit 64 MiB" in words["memory"]
    assert "limit 0.5" in words["cpu"]
    assert len(card.html()) < 30_000


def test_the_card_is_painted_in_no_time(name: str) -> None:
    container = nbcontainers.run("mini", "sleep", "100", name=name, detach=True)
    usage.card(container)
    begun = time.perf_counter()
    container._repr_mimebundle_()
    assert time.perf_counter() - begun < 0.3


@pytest.mark.limits
def test_an_oom_kill_is_in_the_card_the_frame_and_the_plot(name: str) -> None:
    script = "sleep 0.3; x=a; while :; do x=$x$x; done"
    container = nbcontainers.run("mini", "sh", "-c", script, name=name, memory="16m", raise_error=False)
    card = usage.card(container)
    assert card.why == "its limit of 16 MiB had no more memory"
    assert card.trend
    assert len(card.trend.oom_moments()) == 1
    assert "1 OOM kill" in card.text()
    assert "OOM kill at" in repr(container.plot())
