"""What a cell shows of a network, from the disk alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine, default_engine
from nbcontainers.linux import process
from nbcontainers.network.network import Network


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """One network with a container that runs (this process is its monitor) and one that does not."""
    from dataclasses import replace

    found = replace(default_engine(), root=tmp_path / "root", run=tmp_path / "run")
    record = {
        "id": "ab" * 32, "name": "lab", "driver": "bridge", "internal": True, "bridge": "nbc-ababababab", "mtu": 1400,
        "subnets": [{"subnet": "10.77.0.0/24", "gateway": "10.77.0.1", "range": ""}], "labels": {"who": "<b>"},
    }  # fmt: skip
    write(found.root / "networks/lab/network.json", record)
    for id, name in (("1" * 64, "web"), ("2" * 64, "old")):
        write(
            found.root / f"containers/{id}/container.json", {"id": id, "name": name, "networks": [{"network": "lab"}]}
        )
    pid = os.getpid()
    write(found.run / f"{'1' * 64}/monitor.json", {"pid": pid, "start_time": process.start_time(pid)})
    entry = {"interface": "eth0", "link": "nbcv1", "addresses": ["10.77.0.2"], "gateways": [], "mac": "02:00"}
    forward = {"protocol": "tcp", "host": "", "host_port": 8080, "target": "10.77.0.2", "target_port": 80}
    write(found.run / f"{'1' * 64}/network.json", {"networks": {"lab": entry}, "ports": [forward]})
    return found


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_the_card(engine: Engine) -> None:
    found = Network(engine, "lab")._repr_mimebundle_()
    assert found["text/plain"].splitlines() == [
        "network lab  bridge  1 container on it",
        "  subnet    10.77.0.0/24  gateway 10.77.0.1",
        "  bridge    nbc-ababababab",
        "  internal  no way in or out: its containers reach each other",
        "  mtu       1400",
        "  labels    who=<b>",
        "  web  eth0  10.77.0.2  *:8080→80/tcp",
        "  made for it, not running: old",
    ]
    html = found["text/html"]
    assert "who=&lt;b&gt;" in html
    for words in ("lab", "10.77.0.0/24", "nbc-ababababab", "web", "*:8080→80/tcp", "not running: old"):
        assert words in html


def test_of_many_ports_the_card_has_the_first_and_their_number(engine: Engine) -> None:
    path = engine.run / f"{'1' * 64}/network.json"
    made = json.loads(path.read_text())
    made["ports"] = [{**made["ports"][0], "host_port": port} for port in range(8000, 9000)]
    write(path, made)
    shown = Network(engine, "lab")._repr_mimebundle_()["text/plain"]
    assert "  web  eth0  10.77.0.2  *:8000→80/tcp, *:8001→80/tcp, and 998 more" in shown.splitlines()


def test_built_in_and_removed_networks(engine: Engine) -> None:
    assert "a loopback alone" in Network(engine, "none")._repr_mimebundle_()["text/plain"]
    gone = Network(engine, "gone")._repr_mimebundle_()["text/plain"]
    assert gone.startswith("<Network gone removed>")
