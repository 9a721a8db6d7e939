"""The leak check itself: it finds what is left behind and forgives what is not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests import host


def test_a_process_left_behind_is_named() -> None:
    before = host.snapshot()
    child = subprocess.Popen(["sleep", "30"])
    try:
        left = host.leaked(before, settle=0.1)
    finally:
        child.kill()
        child.wait()
    assert any(line.startswith(f"{child.pid} ") and line.endswith("sleep") for line in left["processes"])


def test_a_zombie_of_ours_is_named() -> None:
    before = host.snapshot()
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    left = host.leaked(before, settle=0.1)
    child.wait()
    assert any(line.endswith("(zombie)") for line in left["processes"])


def test_a_file_of_the_engine_is_named() -> None:
    before = host.snapshot()
    folder = Path(os.environ["NBCONTAINERS_ROOT"], "containers", "left-behind")
    folder.mkdir(parents=True)
    left = host.leaked(before, settle=0.1)
    folder.rmdir()
    assert left == {"engine files": {str(folder)}}


def test_what_goes_in_time_is_forgiven() -> None:
    before = host.snapshot()
    child = subprocess.Popen(["sleep", "0.2"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    child.wait()
    assert host.leaked(before) == {}


def test_a_damaged_device_node_would_be_named() -> None:
    nodes = host.devices()
    assert f"/dev/null 1:3 {oct(os.stat('/dev/null').st_mode)} 0:0" in nodes
    damaged = {name.replace("/dev/null 1:3", "/dev/null no device") for name in nodes}
    assert host.difference({"device nodes": nodes}, {"device nodes": damaged})


def test_the_machines_own_mount_table_is_stable() -> None:
    assert host.mounts() == host.mounts()
