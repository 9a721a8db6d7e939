"""A container is who it was said to be: users, groups and capabilities (CVE-2016-3697, 2022-24769, 2022-36109, …)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.errors import Error, ImageError
from nbcontainers.linux import capabilities
from tests import inside
from tests.crafted import Images, entry, link

PODMAN = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
          "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}  # fmt: skip

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
app:x:1000:1000::/home/app:/bin/sh
1001:x:0:0:a name of digits:/root:/bin/sh
0x0:x:1002:1002::/:/bin/sh
1e3:x:1003:1003::/:/bin/sh
broken:x:notanumber:0::/:/bin/sh
short:x:5
negative:x:-1:-1::/:/bin/sh
huge:x:99999999999999999999:0::/:/bin/sh
minus2:x:4294967295:4294967295::/:/bin/sh
colon:x:1004:1004::/::/bin/sh
app:x:0:0:the second of the name::/bin/sh
:x:0:0:no name:/:/bin/sh
"""
GROUP = b"""root:x:0:
app:x:1000:
1001:x:0:
audio:x:29:app,other
video:x:44:other
wheel:x:27:app
broken:x:zero:app
negative:x:-1:app
"""


@pytest.fixture(scope="module")
def users(crafted: Images) -> str:
    return crafted(entry("etc/passwd", PASSWD), entry("etc/group", GROUP))


def status(done: inside.Done) -> dict[str, str]:
    lines = [line.split(":", 1) for line in done.stdout.splitlines() if ":" in line]
    return {key: " ".join(value.split()) for key, value in lines}


def mask(names: set[str]) -> int:
    available = capabilities.permitted() if os.geteuid() == 0 else (1 << 64) - 1
    return capabilities.mask(names) & available


# --- capabilities ---

STATUS = "cat /proc/self/status"


def test_roots_capabilities_are_podmans_eleven_and_none_is_inherited(users: str) -> None:
    with inside.running(users) as container:
        for done in (inside.shell(STATUS, users), inside.execute(container, "sh", "-c", STATUS),
                     inside.execute(container, "sh", "-c", "cat /proc/1/status")):  # fmt: skip
            found = status(done)
            assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
            assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == int(found["CapBnd"], 16) == mask(PODMAN)
            assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


@pytest.mark.as_root
def test_another_user_has_no_capabilities(users: str) -> None:
    """CVE-2018-10856: also in `exec`, whose user may be another than the container's."""
    with inside.running(users) as container:
        for done in (inside.shell(STATUS, users, user="app"),
                     inside.execute(container, "sh", "-c", STATUS, user="1000")):  # fmt: skip
            found = status(done)
            assert {int(found[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
            assert int(found["CapBnd"], 16) == mask(PODMAN)
            assert found["Uid"].split() == ["1000"] * 4


def test_capabilities_can_be_dropped_and_added(users: str) -> None:
    found = status(inside.shell(STATUS, users, cap_drop=["ALL"]))
    assert {int(found[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")} == {0}
    found = status(inside.shell(STATUS, users, cap_drop=["ALL"], cap_add=["CHOWN"]))
    assert int(found["CapEff"], 16) == int(found["CapBnd"], 16) == mask({"CAP_CHOWN"})


@pytest.mark.as_root
def test_a_set_user_id_file_gives_nothing(crafted: Images) -> None:
    image = crafted(
        entry("bin/busybox-suid", Path("/bin/busybox").read_bytes(), mode=0o4755), link("bin/id2", "busybox")
    )
    found = status(inside.run(image, "/bin/busybox-suid", "cat", "/proc/self/status", user="1000"))
    assert found["Uid"].split() == ["1000"] * 4


# --- users and groups ---

GOOD = [
    ("", 0, 0, []), ("0", 0, 0, []), ("root", 0, 0, []), ("root:0", 0, 0, []),
    ("app", 1000, 1000, [27, 29]), ("1000", 1000, 1000, [27, 29]), ("app:0", 1000, 0, []), ("app:video", 1000, 44, []),
    ("1000:1000", 1000, 1000, []), ("1001", 1001, 0, []), ("1001:1001", 1001, 1001, []), ("5000", 5000, 0, []),
    ("5000:6000", 5000, 6000, []), ("0x0", 1002, 1002, []), ("1e3", 1003, 1003, []),
]  # fmt: skip
BAD = [":", "app:", ":app", "nobody-here", "app:nobody-here", "broken", "negative", "huge", "short", "-1", "+1", "1 000",
       "4294967295", "4294967296", "99999999999999999999", "app:4294967295", "app:-1", "app:0:0", "\n", "../etc",
       "root\n", "٣", "1_000"]  # fmt: skip


@pytest.mark.as_root
@pytest.mark.parametrize(("text", "uid", "gid", "groups"), GOOD)
def test_a_user_is_who_the_image_says(users: str, text: str, uid: int, gid: int, groups: list[int]) -> None:
    done = inside.shell("id -u; id -g; id -G", users, user=text)
    own, group, every = done.stdout.splitlines()
    assert (int(own), int(group)) == (uid, gid)
    assert sorted(int(one) for one in every.split()) == sorted({gid, *groups})


@pytest.mark.as_root
@pytest.mark.parametrize(("text", "uid", "gid", "groups"), [row for row in GOOD if row[0]])
def test_a_user_of_exec_is_who_the_image_says(users: str, text: str, uid: int, gid: int, groups: list[int]) -> None:
    with inside.running(users) as container:
        done = inside.execute(container, "sh", "-c", "id -u; id -g; id -G", user=text)
    own, group, every = done.stdout.splitlines()
    assert (int(own), int(group), sorted(int(one) for one in every.split())) == (uid, gid, sorted({gid, *groups}))


@pytest.mark.parametrize("text", BAD)
def test_a_user_the_image_does_not_have_is_an_error(users: str, text: str) -> None:
    with pytest.raises(Error) as caught:
        inside.shell("id -u", users, user=text)
    assert caught.value.hint


def test_a_bad_user_of_the_image_is_an_error(crafted: Images) -> None:
    with pytest.raises(Error):
        inside.shell("id -u", crafted(config={"User": "nobody-here"}))


@pytest.mark.as_root
def test_groups_are_added_and_the_hosts_never_are(users: str) -> None:
    before = os.getgroups()
    os.setgroups([0, 4, 20, 24, 12345])
    try:
        nbcontainers.launcher.client.close()  # the next launcher starts with these groups
        done = inside.shell("id -G", users, user="app", group_add=["video", "777"])
        assert sorted(map(int, done.stdout.split())) == [27, 29, 44, 777, 1000]
        assert inside.shell("id -G", users).stdout.split() == ["0"]
        listed = (
            "grep Groups: /proc/self/status"  # also without a set-group-id program's help it stays (CVE-2022-36109)
        )
        assert inside.shell(listed, users, user="4000:50").stdout.split() == ["Groups:", "50"]
        assert "1000" in inside.shell(listed, users, user="app", group_add=["777"]).stdout.split()
        assert inside.shell("id -G", users, user="4000").stdout.split() == ["0"]
    finally:
        os.setgroups(before)
        nbcontainers.launcher.client.close()


# --- a passwd that is a trap: CVE-2024-9676, CVE-2026-47262 ---

import tarfile  # noqa: E402

TRAPS: dict[str, Any] = {
    "a FIFO": lambda name: entry(name, type=tarfile.FIFOTYPE),
    "a link to a FIFO": lambda name: link(name, "/tmp/fifo"),
    "a link to itself": lambda name: link(name, os.path.basename(name)),
    "a link to /dev/zero": lambda name: link(name, "/dev/zero"),
    "a link to the host's": lambda name: link(name, "../../../../../../etc/shadow"),
    "a link to /proc": lambda name: link(name, "/proc/self/mem"),
    "a folder": lambda name: entry(name, type=tarfile.DIRTYPE),
    "64 MiB of one line": lambda name: entry(name, b"a" * (64 << 20)),
    "a million entries": lambda name: entry(name, b"".join(b"g%d:x:%d:app\n" % (i, i) for i in range(10**6))),
    "binary": lambda name: entry(name, bytes(range(256)) * 16),
}


@pytest.mark.parametrize("name", ["etc/passwd", "etc/group"])
@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_in_the_place_of_a_small_file(crafted: Images, trap: str, name: str) -> None:
    image = crafted(entry("tmp/fifo", type=tarfile.FIFOTYPE), TRAPS[trap](name))
    resident = memory()
    start = time.monotonic()
    user = "root:audio" if os.geteuid() else "app:audio"
    done = inside.explained(lambda: inside.shell("id -u", image, user=user))
    assert done is None or done.exit_code == 0
    assert time.monotonic() - start < 4
    assert memory() - resident < 100 << 20


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_trap_is_named(crafted: Images) -> None:
    with pytest.raises(ImageError, match="/etc/passwd of the image is no regular file"):
        inside.shell("true", crafted(TRAPS["a FIFO"]("etc/passwd")), user="app")
