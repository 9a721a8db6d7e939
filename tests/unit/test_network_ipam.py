"""Leases: an address is given once, and comes back whatever dies."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.errors import InvalidState, NotFound
from nbcontainers.linux import process
from nbcontainers.network import ipam, store


def record(name: str = "net", subnet: str = "10.77.0.0/29", **more: Any) -> dict[str, Any]:
    return {"name": name, "subnets": [{"subnet": subnet, "gateway": subnet.replace(".0/29", ".1")}], **more}


@pytest.fixture
def root(tmp_path: Path) -> str:
    store.create(str(tmp_path), record())
    return str(tmp_path)


def monitor(root: str, id: str, *, alive: bool = True) -> str:
    """A run folder as a living or a killed monitor leaves it."""
    folder = Path(root, "run", id)
    folder.mkdir(parents=True)
    pid = os.getpid()
    start = process.start_time(pid) if alive else "1"
    (folder / "monitor.json").write_text(json.dumps({"pid": pid, "start_time": start}))
    return id


def take(root: str, id: str, *wanted: str) -> str:
    return ipam.take(root, f"{root}/run", record(), {"container": id, "names": [id]}, wanted)[0]


def test_addresses_come_in_order_and_never_the_gateway(root: str) -> None:
    assert [take(root, monitor(root, f"c{n}")) for n in range(5)] == [f"10.77.0.{n}" for n in range(2, 7)]
    with pytest.raises(InvalidState, match=r"no free address left in 10\.77\.0\.0/29"):
        take(root, monitor(root, "late"))


def test_one_that_was_given_back_is_given_again(root: str) -> None:
    for name in ("a", "b"):
        take(root, monitor(root, name))
    ipam.give_back(root, "net", "b", ["10.77.0.2", "10.77.0.3"])
    assert sorted(ipam.leases(root, "net")) == ["10.77.0.2"], "that of a is not b's to give back"
    assert take(root, monitor(root, "c")) == "10.77.0.3"


def test_the_dead_keep_theirs_until_it_is_needed(root: str) -> None:
    for n in range(5):
        take(root, monitor(root, f"dead{n}", alive=False))
    assert take(root, monitor(root, "a")) == "10.77.0.2"
    assert take(root, monitor(root, "b"), "10.77.0.6") == "10.77.0.6"
    assert ipam.sweep(root, f"{root}/run", "net") == ["10.77.0.3", "10.77.0.4", "10.77.0.5"]
    assert sorted(ipam.leases(root, "net")) == ["10.77.0.2", "10.77.0.6"]


def test_one_asked_for_is_the_asked_ones_or_an_error(root: str) -> None:
    assert take(root, monitor(root, "db"), "10.77.0.5") == "10.77.0.5"
    with pytest.raises(InvalidState, match="belongs to container db") as caught:
        take(root, monitor(root, "web"), "10.77.0.5")
    assert "container rm -f db" in caught.value.hint
    with pytest.raises(InvalidState, match="is the gateway"):
        take(root, "web", "10.77.0.1")


def test_a_lease_half_written_is_nobodys(root: str) -> None:
    Path(store.folder(root, "net"), "leases", "10.77.0.2").write_text('{"contai')
    assert ipam.leases(root, "net") == {"10.77.0.2": {}}
    assert take(root, monitor(root, "a"), "10.77.0.2") == "10.77.0.2"


def test_of_two_subnets_both_or_none(root: str) -> None:
    both = record()
    both["subnets"].append({"subnet": "fd00::/64", "gateway": "fd00::1"})
    lease = {"container": monitor(root, "a"), "names": ["a"]}
    assert ipam.take(root, f"{root}/run", both, lease) == ["10.77.0.2", "fd00::2"]
    with pytest.raises(InvalidState):
        ipam.take(root, f"{root}/run", both, lease | {"container": monitor(root, "b")}, ["fd00::2"])
    assert sorted(ipam.leases(root, "net")) == ["10.77.0.2", "fd00::2"]


def test_many_at_once_get_one_each(tmp_path: Path) -> None:
    root, big = str(tmp_path), record(subnet="10.77.0.0/24")
    big["subnets"][0]["gateway"] = "10.77.0.1"
    store.create(root, big)
    found: list[str] = []

    def some(number: int) -> None:
        for n in range(20):
            found.extend(ipam.take(root, f"{root}/run", big, {"container": f"{number}.{n}", "names": []}))

    threads = [threading.Thread(target=some, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == len(found) == 80


def test_a_network_that_has_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no network 'net'"):
        take(str(tmp_path), "a")
    assert ipam.leases(str(tmp_path), "net") == {}
    assert ipam.sweep(str(tmp_path), str(tmp_path), "net") == []
