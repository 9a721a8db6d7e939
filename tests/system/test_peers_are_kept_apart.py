"""Foreign runtimes run where they can damage neither /dev nor the mount table of this host."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import host, peers

pytestmark = pytest.mark.as_root


def test_a_peer_sees_its_own_dev_and_cannot_change_ours() -> None:
    before = host.devices()
    done = peers.run("sh", "-c", "chown 1000:1000 /dev/null && chmod 600 /dev/null && stat -c %u:%a /dev/null")
    assert (done.returncode, done.stdout) == (0, "1000:600\n"), done.stderr
    assert host.devices() == before


def test_a_peer_cannot_leak_mounts() -> None:
    done = peers.run("sh", "-c", "mount -t tmpfs leak /mnt && grep -c ' /mnt ' /proc/self/mountinfo")
    assert done.stdout == "1\n", done.stderr
    assert not any("leak" in line for line in host.mounts())


def test_every_peer_is_there(peer: Callable[[str], str]) -> None:
    names = ("crun", "runc", "podman", "dockerd", "buildah", "skopeo", "umoci", "busybox", "newuidmap", "nft")
    assert all(peer(name) for name in names)
