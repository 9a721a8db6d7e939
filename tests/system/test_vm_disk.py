"""The disk of a virtual machine holds the very files of the image, whatever file system it has."""

from __future__ import annotations

from typing import Any

import pytest

from nbcontainers import vm as machines
from tests import peers
from tests.crafted import Images, entry, folder, link

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

LOOK = """
grep ' / ' /proc/mounts | cut -d' ' -f1-3
cd /made; stat -c '%n %F %a %u %g %Y' . * a/*; stat -c '%n %s %N' c d a/b; cat a/b; echo more >>a/b; echo new >/etc/new; cat a/b /etc/new
rm c; ls
"""


@pytest.fixture(scope="module")
def image(crafted: Images) -> str:
    return crafted(
        folder("made", mode=0o2755, uid=5, gid=6, mtime=1_000_000_000), folder("made/a", mode=0o1777),
        entry("made/a/b", b"text\n", mode=0o4711, uid=7, gid=8, mtime=1_100_000_000), entry("made/c", b"\0" * 10_000),
        link("made/d", "/nowhere"), entry("made/é ü", b"x"),
    )  # fmt: skip


def test_three_file_systems_show_the_same(engine: Any, image: str) -> None:
    found = {}
    for name, program in (("image", "mke2fs"), ("squashfs", "mksquashfs"), ("erofs", "mkfs.erofs")):
        peers.program(program)
        said: list[bytes] = []
        machines.run(
            image, "sh", "-c", LOOK, kind="uml", memory="96m", root=name, stdout=said.append, stderr=said.append
        )
        mounted, _, found[name] = b"".join(said).decode().partition("\n")
        assert mounted == ("/dev/ubda / ext4" if name == "image" else "overlay / overlay")
    assert found["squashfs"] == found["image"]
    assert found["erofs"] == found["image"]
    lines = found["image"].splitlines()
    assert lines[0] == ". directory 2755 5 6 1000000000"
    assert {"a/b regular file 4711 7 8 1100000000", "c 10000 c", "d 8 'd' -> '/nowhere'"} <= set(lines)
    assert lines[-7:-1] == ["text", "text", "more", "new", "a", "d"]
