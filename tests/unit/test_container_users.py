"""Users and groups of an image: which identity a text means, and which files are refused."""

from __future__ import annotations

import os
import resource
import time

import pytest

from nbcontainers.container import users
from nbcontainers.errors import ImageError, InvalidArgument, NotFound

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
alice:x:1000:1000:Alice:/home/alice:/bin/bash
1001:x:7:8:a name of digits:/digits:/bin/sh
odd:x:1002:1002::relative/home:/bin/sh
broken:x:minus:0::/:/bin/sh
huge:x:4294967296:0::/:/bin/sh
negative:x:-1:0::/:/bin/sh
hex:x:0x0:0::/:/bin/sh
short:x:5
:x:0:0::/root:/bin/sh
"""
GROUP = """\
root:x:0:
daemon:x:1:alice
staff:x:50:alice,daemon
alice:x:1000:
wheel:x:10:alice
broken:x:ten:alice
"""


@pytest.fixture
def layer(tmp_path):
    """One layer with a passwd and a group file."""
    etc = tmp_path / "layer" / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(PASSWD)
    (etc / "group").write_text(GROUP)
    return tmp_path / "layer"


@pytest.mark.parametrize(
    ("text", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, (), "/root"),
        ("root", 0, 0, (), "/root"),
        ("0", 0, 0, (), "/root"),
        ("alice", 1000, 1000, (1, 50, 10), "/home/alice"),
        ("1000", 1000, 1000, (1, 50, 10), "/home/alice"),
        ("alice:staff", 1000, 50, (), "/home/alice"),
        ("alice:77", 1000, 77, (), "/home/alice"),
        ("1000:0", 1000, 0, (), "/home/alice"),
        ("root:0", 0, 0, (), "/root"),
        ("1001", 1001, 0, (), "/"),  # a uid, not the user of that name
        ("01000", 1000, 1000, (1, 50, 10), "/home/alice"),
        ("4294967294", 4294967294, 0, (), "/"),
        ("odd", 1002, 1002, (), "/"),
        ("2000:2000", 2000, 2000, (), "/"),
    ],
)
def test_identity(layer, text, uid, gid, groups, home):
    found = users.resolve(text, [str(layer)])
    assert (found.uid, found.gid, found.groups, found.home) == (uid, gid, groups, home)


@pytest.mark.parametrize(
    "text", ["0x0", "1e3", "+0", "-1", "nobody-here", "broken", "huge", "negative", "hex", "short", "٣", "1_0"]
)
def test_an_unknown_name_is_an_error_that_says_who_there_is(layer, text):
    with pytest.raises(NotFound) as caught:
        users.resolve(text, [str(layer)], image="the image mini")
    assert caught.value.message == f"the image mini has no user {text!r}"
    assert "root, daemon, alice" in caught.value.hint
    assert "as 1000" in caught.value.hint


@pytest.mark.parametrize("text", [":", ":0", "alice:", "root\n:0", "a b", "root :0", "\t"])
def test_a_text_that_is_no_user(layer, text):
    with pytest.raises(InvalidArgument, match="is no user") as caught:
        users.resolve(text, [str(layer)])
    assert "NAME:GROUP" in caught.value.hint


@pytest.mark.parametrize("text", ["4294967295", "99999999999999999999", "0:4294967295"])
def test_an_id_too_large(layer, text):
    with pytest.raises(InvalidArgument, match="above the largest"):
        users.resolve(text, [str(layer)])


def test_an_unknown_group(layer):
    with pytest.raises(NotFound, match="has no group 'nogroup'"):
        users.resolve("root:nogroup", [str(layer)])


def test_more_groups_by_name_and_number(layer):
    assert users.resolve("root", [str(layer)], ["staff", "77", "staff"]).groups == (50, 77)
    assert users.resolve("alice:50", [str(layer)], ["50", "wheel"]).groups == (10,)
    with pytest.raises(NotFound, match="has no group 'video'"):
        users.resolve("root", [str(layer)], ["video"])


def test_an_image_without_files(tmp_path):
    (tmp_path / "empty").mkdir()
    found = users.resolve("", [str(tmp_path / "empty")])
    assert found == users.Identity(0, 0, (), "/", "")
    with pytest.raises(NotFound) as caught:
        users.resolve("root", [str(tmp_path / "empty")])
    assert caught.value.hint == "any number works too, as 1000"


def test_the_top_layer_wins(layer, tmp_path):
    top = tmp_path / "top" / "etc"
    top.mkdir(parents=True)
    (top / "passwd").write_text("alice:x:5:6::/a:/bin/sh\n")
    assert users.resolve("alice", [str(tmp_path / "top"), str(layer)]).uid == 5


@pytest.mark.as_root
def test_a_whiteout_and_an_opaque_folder_hide_what_is_below(layer, tmp_path):
    removed = tmp_path / "removed" / "etc"
    removed.mkdir(parents=True)
    os.mknod(removed / "passwd", 0o020600, 0)
    opaque = tmp_path / "opaque" / "etc"
    opaque.mkdir(parents=True)
    try:
        os.setxattr(opaque, "trusted.overlay.opaque", b"y")
    except OSError:
        pytest.skip("this file system has no trusted xattrs")
    for hidden in ("removed", "opaque"):
        with pytest.raises(NotFound):
            users.look_up("alice", [str(tmp_path / hidden), str(layer)])


def _fifo(path):
    os.mkfifo(path)


def _link_to_zero(path):
    os.symlink("/dev/zero", path)


def _link_to_device_inside(path):
    (path.parent.parent / "dev").mkdir()
    os.mkfifo(path.parent.parent / "dev" / "zero")
    os.symlink("/dev/zero", path)


def _loop(path):
    os.symlink(path.name, path)


def _huge(path):
    with open(path, "wb") as file:
        file.truncate(1 << 30)


def _many(path):
    path.write_text("".join(f"user{n}:x:{n}:{n}::/:/bin/sh\n" for n in range(1_000_000)))


def _folder(path):
    path.mkdir()


@pytest.mark.parametrize("make", [_fifo, _link_to_zero, _link_to_device_inside, _loop, _huge, _many, _folder])
@pytest.mark.parametrize("name", ["passwd", "group"])
def test_hostile_files_are_refused_at_once(layer, make, name):
    """CVE-2024-9676, CVE-2026-47262: neither time nor memory is the image's to choose."""
    (layer / "etc" / name).unlink()
    make(layer / "etc" / name)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ImageError, match=f"/etc/{name} of the image"):
        users.look_up("root:root" if name == "group" else "root", [str(layer)], ())
    assert time.monotonic() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_link_never_leads_out_of_its_layer(layer, tmp_path):
    (tmp_path / "secret").write_text("mallory:x:0:0::/:/bin/sh\n")
    (layer / "etc" / "passwd").unlink()
    (layer / "etc" / "passwd").symlink_to("../../../../../.." + str(tmp_path / "secret"))
    with pytest.raises(ImageError, match="leads nowhere"):
        users.look_up("mallory", [str(layer)], ())


def test_a_link_inside_the_layer_is_followed(layer):
    (layer / "etc" / "passwd").rename(layer / "etc" / "real")
    (layer / "etc" / "passwd").symlink_to("/etc/real")
    assert users.look_up("alice", [str(layer)], ()).uid == 1000


def test_a_link_from_one_layer_into_another_is_followed(layer, tmp_path):
    """As in images of Nix, whose /etc/passwd is a link into a store that is a layer of its own."""
    top = tmp_path / "top"
    (top / "store").mkdir(parents=True)
    (layer / "etc" / "passwd").rename(top / "store" / "passwd")
    (layer / "etc" / "passwd").symlink_to("/store/passwd")
    assert users.look_up("alice", [str(top), str(layer)], ()).uid == 1000


def test_a_link_that_a_running_container_puts_there_is_not_followed(layer, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("mallory:x:0:0::/:/bin/sh\n")
    given = users.lower.follow

    def follow(layers, path):
        found = given(layers, path)
        (layer / path).unlink()
        (layer / path).symlink_to(tmp_path / "secret")
        return found

    monkeypatch.setattr(users.lower, "follow", follow)
    with pytest.raises(ImageError, match="cannot be opened"):
        users.look_up("mallory", [str(layer)], ())


def test_a_control_character_in_a_home_is_not_believed(layer):
    (layer / "etc" / "passwd").write_text("a:x:5:5::/home/\x1b[2J:/bin/sh\n")
    assert users.look_up("a", [str(layer)], ()).home == "/"
