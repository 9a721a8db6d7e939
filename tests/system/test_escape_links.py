"""Links of an image, or of somebody who races with us, never lead a mount or a write out of the root.

CVE-2019-16884, 2019-19921, 2021-30465, 2023-27561, 2024-45310, 2025-31133, 2025-52565, 2025-52881, 2026-41579, …
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import inside, peers
from tests.crafted import Canary, Images, folder, link

PLACES = [
    "proc", "sys", "dev", "dev/pts", "dev/ptmx", "dev/shm", "dev/null", "dev/console", "dev/mqueue", "run",
    "etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/passwd", "etc/group", "etc/mtab", "proc/self", "sys/fs/cgroup",
    "volume", "volume/deep", "work",
]  # fmt: skip


def target(kind: str, canary: Canary, place: str) -> str:
    """Where the hostile link points."""
    up = "../" * 12
    return {
        "absolute": str(canary.folder), "relative": up + str(canary.folder)[1:], "file": f"{canary.folder}/file",
        "dangling": f"{canary.folder}/new/thing", "loop": os.path.basename(place), "root": "/", "proc": "/proc/self/fd",
    }[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["absolute", "relative", "file", "dangling", "loop", "root", "proc"])
def test_a_link_in_the_image_stays_in_the_image(crafted: Images, canary: Canary, kind: str, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    tried = []
    script = "head -1 /proc/self/status; echo x > /proc/sys/kernel/core_pattern && echo open; echo end"
    for place in PLACES:
        parents = [folder(place.split("/")[0])] if "/" in place and place.split("/")[0] not in ("etc",) else []
        image = crafted(*parents, link(place, target(kind, canary, place)))
        mounts: dict[str, Any] = {"volume": [f"{volume}:/volume"], "tmpfs": ["/volume/deep"], "workdir": "/work"}
        done = inside.explained(lambda image=image, mounts=mounts: inside.shell(script, image, **mounts))
        tried.append((place, done))
        canary.check()
        assert [path.name for path in volume.iterdir()] in ([], ["deep"]), place
        assert done is None or done.exit_code or done.stdout == "Name:\thead\nend\n"
    ran = [place for place, done in tried if done and not done.exit_code]
    assert len(ran) > len(PLACES) // 3, tried  # else the test tests nothing


@pytest.mark.parametrize("place", ["proc", "sys"])
def test_proc_and_sys_are_never_reached_through_a_link(crafted: Images, place: str) -> None:
    """A fake procfs would swallow what is written to it for our protection (CVE-2019-19921)."""
    done = inside.shell("true", crafted(folder("fake"), link(place, "/fake")))
    assert done.exit_code == 125


FLIP = r"""
one, two = sys.argv[1:3]
RENAME_EXCHANGE = 2
while not os.path.exists(sys.argv[3]):
    _libc.renameat2(-100, one.encode(), -100, two.encode(), RENAME_EXCHANGE)
report(flipped=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("goal", ["canary", "proc"])
def test_a_race_for_a_mount_point_cannot_be_won(crafted: Images, canary: Canary, goal: str, tmp_path: Path) -> None:
    """CVE-2021-30465: another container exchanges a folder of a shared volume and a link while we mount there."""
    shared, image = tmp_path / "shared", crafted()
    (shared / "folder/mount").mkdir(parents=True)
    (shared / "link").symlink_to(canary.folder if goal == "canary" else "/proc/self/../sys/kernel")
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    flip = [*inside.program(FLIP), "/shared/folder", "/shared/link", "/shared/stop"]
    outcomes: dict[str, int] = {}
    with inside.running("host", *flip, volume=[f"{shared}:/shared"]):
        wait_until(lambda: (shared / "folder").is_symlink())
        for _ in range(150):
            word = _mount_below(image, shared)
            outcomes[word] = outcomes.get(word, 0) + 1
            canary.check()
        (shared / "stop").touch()
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern
    assert set(outcomes) == {"protected", "refused"}, outcomes  # both: else there was no race


def wait_until(happens: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.001)


def _mount_below(image: str, shared: Path) -> str:
    script = """
        echo x > /proc/sys/kernel/core_pattern && echo written
        echo h > /proc/sysrq-trigger && echo written
        echo protected
    """
    mounts: dict[str, Any] = {"volume": [f"{shared}:/shared"], "tmpfs": ["/shared/folder/mount"]}
    done = inside.explained(lambda: inside.shell(script, image, **mounts))
    return done.stdout.strip() if done and done.exit_code == 0 else "refused"


# --- the same of the runtime alone, where no tmpfs covers /dev ---


def runtime_says(bundle: Path, state: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nbcontainers.runtime.program", "--root", str(state), "run", "--bundle"]
    return subprocess.run([*command, str(bundle), "box"], capture_output=True, text=True, timeout=30, check=False)


def configuration(**linux: Any) -> dict[str, Any]:
    kinds = ["pid", "mount", "ipc", "uts"]
    one = lambda host: [{"containerID": 0, "hostID": host, "size": 1}]  # noqa: E731
    if os.geteuid():
        kinds.append("user")
        linux |= {"uidMappings": one(os.getuid()), "gidMappings": one(os.getgid())}
    return {
        "ociVersion": "1.2.0", "root": {"path": "rootfs"},
        "process": {"args": ["cat", "/secret"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": kind} for kind in kinds], **linux},
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "folder"])
def test_a_masked_file_is_masked_by_the_null_device_or_not_at_all(tmp_path: Path, canary: Canary, kind: str) -> None:
    """CVE-2025-31133: the image's own /dev/null is something else."""
    bundle = tmp_path / "bundle"
    rootfs = peers.busybox_rootfs(bundle / "rootfs")
    null = rootfs / "dev/null"
    {
        "file": lambda: null.write_text("fake"), "folder": null.mkdir,
        "link": lambda: null.symlink_to(canary.folder / "null"), "dangling": lambda: null.symlink_to("/nowhere/at/all"),
    }[kind]()  # fmt: skip
    (rootfs / "secret").write_text("secret")
    (bundle / "config.json").write_text(json.dumps(configuration(maskedPaths=["/secret"])))
    done = runtime_says(bundle, tmp_path / "state")
    assert "secret" not in done.stdout
    assert "fake" not in done.stdout
    if os.geteuid() == 0 or kind != "file":  # an ordinary user's null device is the host's, bound over the file
        assert done.returncode != 0


@pytest.mark.parametrize("path", ["/link/file", "/link", "/dev/../link/file"])
def test_masks_and_write_protection_follow_links_only_inside(tmp_path: Path, canary: Canary, path: str) -> None:
    bundle = tmp_path / "bundle"
    rootfs = peers.busybox_rootfs(bundle / "rootfs")
    (rootfs / "link").symlink_to(canary.folder)
    config = configuration(maskedPaths=[path], readonlyPaths=[path])
    config["process"]["args"] = ["true"]
    (bundle / "config.json").write_text(json.dumps(config))
    assert runtime_says(bundle, tmp_path / "state").returncode == 0
