"""A disk without room, of inodes or of bytes: one clear error or a container that ends as it should, nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.as_root  # it mounts a small file system

_COMMON = """
import os, subprocess, sys, time
disk = sys.argv[1]
os.environ["NBCONTAINERS_ROOT"], os.environ["NBCONTAINERS_RUN"] = disk + "/root", disk + "/run"
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "small", disk], check=True)
import nbcontainers
from nbcontainers.errors import Error
nbcontainers.run("mini", "true", rm=True)

def resize(words):
    subprocess.run(["mount", "-o", "remount," + words, disk], check=True)

def ahead(name):  # the launcher's next one, begun ahead
    return name.endswith(".claim") and os.path.exists(f"/proc/{name.split('.')[2]}")

def left():
    for _ in range(200):  # a monitor removes what nobody sees any more after its answer
        found = [name for folder in ("root/containers", "root/names", "run") for name in os.listdir(f"{disk}/{folder}")]
        found = [name for name in found if not ahead(name)]
        if not any(name.endswith((".gone", ".removed")) for name in found):
            break
        time.sleep(0.01)
    return found
"""

_SWEEP = """
def inodes(more):
    usage = os.statvfs(disk)
    return f"nr_inodes={usage.f_files - usage.f_ffree + more}"

def size(more):
    usage = os.statvfs(disk)  # anew each time: the events take a little more
    return f"size={(usage.f_blocks - usage.f_bfree) * usage.f_frsize // 1024 + 4 * more}k"

for form, more in [(inodes, n) for n in range(32)] + [(size, n) for n in range(16)]:
    resize(words := form(more))
    for remove in (True, False):
        try:
            ended = nbcontainers.run("mini", "sh", "-c", "exit 3", rm=remove, name="x", raise_error=False)
            print("exit", ended.exit_code)
        except (OSError, Error) as error:
            print("error", error)
        for row in nbcontainers.ps(all=True):
            nbcontainers.rm("x", force=True)
        if left():
            sys.exit(f"{words}: left {left()}")
resize("nr_inodes=100000,size=40m")
assert nbcontainers.run("mini", "true", rm=True).exit_code == 0
"""

_FLOOD = """
from nbcontainers.system import api
resize("size=8m")
ended = nbcontainers.run("mini", "sh", "-c", "yes | head -c 20000000; exit 3", name="x", raise_error=False,
                         stdout=lambda data: None)
print("exit", ended.exit_code, ended.status)
with open(disk + "/fill", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
command = [sys.executable, "-m", "nbcontainers"]
done = subprocess.run([*command, "run", "--rm", "mini", "true"], capture_output=True, text=True)
print(done.returncode, done.stderr)
done = subprocess.run([*command, "system", "prune"], capture_output=True, text=True)
print(done.returncode, done.stderr)
nbcontainers.rm("x")
print(left())
"""


def carry_out(script: str, disk: Path) -> str:
    """What `script` printed, in a mount namespace of its own, with `disk` a small file system."""
    words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", _COMMON + script, str(disk)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wherever_the_room_ends_nothing_is_left(tmp_path: Path) -> None:
    lines = carry_out(_SWEEP, tmp_path).splitlines()
    assert "exit 3" in lines
    assert any(line.startswith("error") and "No space left on device" in line for line in lines)
    assert {line for line in lines if line.startswith("exit")} <= {"exit 3", "exit 125"}


def test_a_log_that_fills_the_disk_costs_neither_the_exit_status_nor_the_tidying(tmp_path: Path) -> None:
    out = carry_out(_FLOOD, tmp_path)
    assert out.startswith("exit 3 exited\n")
    assert "\n125 Error: No space left on device" in out
    assert "hint: make room: type nbcontainers system prune, " in out
    assert "\n0 \n" in out  # prune
    assert out.endswith("['.prune.lock']\n")
