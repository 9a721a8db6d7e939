"""One crafted layer an attack class (reference: runtime.md 6.3) and one a case of build.md section 4.

Needs no root: whoever runs it unpacks with all owners squashed, and opaque folders marked as in a user namespace.

    class (runtime.md 6.3, 6.2; build.md 4)      test (here unless a module is named)
    absolute name, ../, a/../../b, re-entry      test_names_end_inside
    file through a link of the same layer        test_a_link_then_a_file_through_it_stays_inside
    … of a lower layer                           test_a_member_through_a_lower_link_makes_a_folder
    chain, loop, dangling parent                 test_a_chain_…, test_a_loop_…, test_a_dangling_link_as_parent_…
    folder replaced by a link, and reverse       test_a_folder_replaced_by_a_link_…, test_a_link_replaced_by_a_folder
    root as a link (CVE-2021-29136)              test_the_root_stays_a_folder
    hard link: missing, ../, itself, folder      test_hard_links_to_nothing, test_a_forward_hard_link_is_an_error
    … absolute, to a link, through a link        test_a_hard_link_to_the_host_…, …_to_a_link_…, …_through_a_link_…
    … to a lower layer's file, gone, with holes  test_a_hard_link_to_a_lower_file_…
    whiteouts: file, folder, absent, any order   test_whiteouts, test_a_new_file_wins_over_a_whiteout_wherever_it_stands
    … opaque first, last, root; aufs             test_opaque_folders, test_an_opaque_root, test_auf_s_own_marks_…
    … of nothing, .., through a link             test_whiteouts_that_name_nothing, test_a_whiteout_through_a_link_…
    … below folders nobody listed                test_a_whiteout_in_a_folder_nobody_listed
    device 0:0, overlay xattrs smuggled          test_character_device_0_0_…, test_overlay_xattrs_are_never_taken_over
    devices, owners, set-id, file capabilities   test_image_trust: test_what_only_root_can_make, test_devices_…_for_a_user
    file over folder, folder over file, twice    test_the_last_member_of_a_path_wins, test_a_replaced_file_…
    parents: missing, a file, a file below       test_folders_nobody_listed_…, test_a_file_as_a_parent_…, …_file_below
    mode 000, sticky, read-only; times           test_modes_and_times, test_squashed_files_lose_their_set_id_bits
    long, non-UTF-8, NUL, case, 4,096 bytes      test_names_of_any_bytes, test_names_no_file_system_takes, test_long_paths…
    sparse files of any size                     test_sparse_files_keep_their_holes; test_layer_tar
    PAX and GNU overrides, sizes, ids, checksum  test_layer_tar: test_defects_are_named, test_gnu_and_pax_must_agree, …
    many entries, folders, deep trees, paths     test_many_members_…, test_too_many_folders, test_folders_nobody_listed_
                                                 are_counted, test_deep_trees_…, test_remembered_paths_have_a_budget
    bombs: gzip, zstd, members, nested; garbage  test_bombs; test_layer_codec; test_image_trust: test_a_bomb_is_stopped
    digest, DiffID, media type lies              test_image_trust: test_lies_are_found
    at once, killed, full disk                   test_image_trust: test_everybody_asks_at_once, test_killed_at_any_moment;
                                                 test_a_full_disk_…; test_image_kill
    /etc/passwd as link, FIFO, huge              test_container_users; test_escape_links, test_escape_identity
    labels, names, users, volumes of an image    test_escape_image
    layers closed to other users                 test_escape_image: test_another_user_of_the_host_does_not_reach_a_layer
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.errors import ImageError
from nbcontainers.layer import codec, lower
from nbcontainers.layer.tar import Budget
from nbcontainers.layer.tree import clean
from nbcontainers.layer.unpack import Layer
from nbcontainers.linux.tree import remove as remove_tree
from tests import tarballs as t

CANARY = b"untouched"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Path]:
    """A folder with layers in `box/…` and files around it that must stay as they are."""
    outside = {tmp_path / name: CANARY for name in ("canary", "pwn", "etc_passwd")}
    for path, content in outside.items():
        path.write_bytes(content)
    (tmp_path / "outside").mkdir()
    (tmp_path / "layers").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    yield tmp_path / "layers"
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert list((tmp_path / "outside").iterdir()) == []
    for path, content in outside.items():
        assert path.read_bytes() == content


def unpack(box: Path, *members: bytes, below: tuple[Path, ...] = (), budget: Budget | None = None) -> Path:
    """Unpack a layer over others (top first); the folder it is in."""
    target = box / str(len(list(box.iterdir())))
    target.mkdir()
    mask = os.umask(0)
    try:
        with ExitStack() as stack:

            def directory(path: Path) -> int:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                return descriptor

            layer = Layer(directory(target), userxattr=True, squash=True, budget=budget)
            layer.extract(iter([t.archive(*members)]))
            layer.finish([directory(path) for path in below])
    finally:
        os.umask(mask)
    return target


def refused(box: Path, *members: bytes, below: tuple[Path, ...] = ()) -> str:
    with pytest.raises(ImageError) as caught:
        unpack(box, *members, below=below)
    return caught.value.message


def tree(folder: Path) -> dict[str, Any]:
    """path: content of a file, "-> target" of a link, None of a folder, "whiteout"."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(folder))
        if lower.is_whiteout(status):
            found[name] = "whiteout"
        elif stat.S_ISLNK(status.st_mode):
            found[name] = f"-> {os.readlink(path)}"
        elif stat.S_ISDIR(status.st_mode):
            found[name] = None
        else:
            found[name] = path.read_bytes()
    return found


def opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, lower.OPAQUE[1]) == b"y"
    except OSError:
        return False


# Names that try to leave.


@pytest.mark.parametrize(
    "name, inside",
    [
        ("/abs/file", "abs/file"), ("../pwn", "pwn"), ("../../../pwn", "pwn"), ("a/../../pwn", "pwn"),
        ("a/../../0/pwn", "0/pwn"), ("./x/./y", "x/y"), ("//x//y", "x/y"), ("..//../canary", "canary"),
        ("a/b/../../../../outside/pwn", "outside/pwn"),
    ],
)  # fmt: skip
def test_names_end_inside(box: Path, name: str, inside: str) -> None:
    assert tree(unpack(box, t.file(name, b"x")))[inside] == b"x"


def test_clean() -> None:
    cases = {b"a/b/": b"a/b", b"./": b"", b"/": b"", b"..": b"", b".hidden": b".hidden", b"a/.h": b"a/.h",
             b"a/...": b"a/...", b"..a": b"..a", b"./..": b""}  # fmt: skip
    assert {name: clean(name) for name in cases} == cases


@pytest.mark.parametrize("target", ["../../outside", "../../../../../../../../../../{outside}", "{outside}", "../.."])
def test_a_link_then_a_file_through_it_stays_inside(box: Path, target: str) -> None:
    target = target.format(outside=box.parent / "outside")
    found = unpack(box, t.symlink("link", target), t.file("link/pwn", b"x"))
    assert b"x" in tree(found).values()


def test_a_chain_of_links_stays_inside(box: Path) -> None:
    links = [t.symlink(f"l{n}", f"l{n + 1}/..") for n in range(5)] + [t.symlink("l5", "../../../..")]
    assert tree(unpack(box, *links, t.file("l0/pwn", b"x")))["pwn"] == b"x"


def test_a_loop_of_links_is_an_error(box: Path) -> None:
    message = refused(box, t.symlink("a", "b"), t.symlink("b", "a"), t.file("a/pwn", b"x"))
    assert "/a/pwn" in message
    assert "symbolic links" in message


def test_a_dangling_link_as_parent_makes_its_target_inside(box: Path) -> None:
    found = tree(unpack(box, t.symlink("var/run", "/run"), t.file("var/run/pid", b"1")))
    assert found["run/pid"] == b"1"
    assert found["var/run"] == "-> /run"


def test_a_folder_replaced_by_a_link_and_then_written_through(box: Path) -> None:
    found = unpack(box, t.folder("d"), t.file("d/a", b"1"), t.symlink("d", "../../outside"), t.file("d/pwn", b"x"))
    assert tree(found)["outside/pwn"] == b"x"
    assert tree(found)["d"] == "-> ../../outside"


def test_a_link_replaced_by_a_folder(box: Path) -> None:
    found = tree(unpack(box, t.symlink("d", "../../outside"), t.folder("d"), t.file("d/f", b"x")))
    assert found == {"d": None, "d/f": b"x"}


def test_folder_attributes_do_not_go_through_a_link(box: Path) -> None:
    before = (box.parent / "outside").stat()
    unpack(box, t.folder("d", mode=0o777, mtime=1), t.symlink("d", str(box.parent / "outside")))
    after = (box.parent / "outside").stat()
    assert (before.st_mode, before.st_mtime_ns) == (after.st_mode, after.st_mtime_ns)


def test_the_root_stays_a_folder(box: Path) -> None:
    for name in ("./", "/", "..", "."):
        assert "root folder" in refused(box, t.symlink(name, "/etc"))  # CVE-2021-29136
    assert "root folder" in refused(box, t.file("./", b"x"))


def test_a_file_as_a_parent_is_an_error(box: Path) -> None:
    assert "/f" in refused(box, t.file("f"), t.file("f/x"))


# Hard links.


def test_hard_links(box: Path) -> None:
    found = unpack(box, t.file("d/a", b"1"), t.hardlink("b", "d/a"), t.hardlink("c", "/d/a"), t.hardlink("e", "../d/a"))
    assert {path.stat().st_ino for path in map(found.joinpath, ("d/a", "b", "c", "e"))} == {(found / "b").stat().st_ino}


def test_hard_links_between_more_folders_than_are_kept_open(box: Path) -> None:
    """Finding the target must not close the folder that the link is made in."""
    for count in range(508, 518):
        folders = [t.file(f"d{number}/a", str(number).encode()) for number in range(count)]
        found = unpack(box, *folders, t.hardlink("new/b", "d0/a"), t.hardlink("d1/b", "d2/a"))
        assert ((found / "new/b").read_bytes(), (found / "d1/b").read_bytes()) == (b"0", b"2"), count


@pytest.mark.parametrize("target", ["missing", "../../canary", "../outside", "d", "", "self"])
def test_hard_links_to_nothing(box: Path, target: str) -> None:
    message = refused(box, t.folder("d"), t.hardlink("self", target or "."))
    assert "/self" in message


def test_a_hard_link_to_the_host_stays_inside(box: Path) -> None:
    assert "not there" in refused(box, t.hardlink("x", str(box.parent / "canary")))


def test_a_hard_link_to_a_link_links_the_link(box: Path) -> None:
    found = unpack(box, t.symlink("l", "/etc/passwd"), t.hardlink("m", "l"))
    assert os.readlink(found / "m") == "/etc/passwd"


def test_a_hard_link_through_a_link_to_the_outside(box: Path) -> None:
    refused(box, t.symlink("l", str(box.parent)), t.hardlink("m", "l/canary"))


def test_a_forward_hard_link_is_an_error(box: Path) -> None:
    base = unpack(box, t.file("a", b"old"))
    assert "not there" in refused(box, t.hardlink("b", "a"), t.file("a", b"1"))
    assert "comes after it" in refused(box, t.hardlink("b", "a"), t.file("a", b"1"), below=(base,))


def test_a_hard_link_to_a_lower_file_copies_it_up(box: Path) -> None:
    base = unpack(box, t.folder("d", mode=0o711), t.file("d/a", b"data", mode=0o640, mtime=99))
    top = unpack(box, t.hardlink("x/b", "d/a"), t.hardlink("c", "d/a"), below=(base,))
    assert tree(top) == {"c": b"data", "d": None, "d/a": b"data", "x": None, "x/b": b"data"}
    assert len({(top / name).stat().st_ino for name in ("d/a", "x/b", "c")}) == 1
    assert (top / "c").stat().st_mtime == 99
    assert stat.S_IMODE((top / "c").stat().st_mode) == 0o640
    assert stat.S_IMODE((top / "d").stat().st_mode) == 0o711
    assert (base / "d/a").stat().st_nlink == 1


def test_a_hard_link_to_a_lower_file_with_holes_keeps_them(box: Path) -> None:
    """A terabyte of holes below would be a terabyte of zeros, for one block of tar."""
    records = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": f"4096,3,{(1 << 40) - 5},2", "GNU.sparse.name": "s"}
    base = unpack(box, t.pax(records), t.file("x", b"abcde"))  # type: ignore[arg-type]
    top = unpack(box, t.hardlink("l", "s"), below=(base,))
    status = (top / "l").stat()
    assert (status.st_size, status.st_blocks < 100) == (1 << 40, True)
    with (top / "s").open("rb") as file:
        assert os.pread(file.fileno(), 5, (1 << 40) - 5) == b"de\0\0\0"


def test_a_hard_link_to_a_lower_file_that_is_gone(box: Path) -> None:
    base = unpack(box, t.file("d/a", b"data"))
    hidden = unpack(box, t.file("d/.wh.a"), below=(base,))
    assert "not there" in refused(box, t.hardlink("b", "d/a"), below=(hidden, base))
    assert "not there" in refused(box, t.file("d/.wh.a"), t.hardlink("b", "d/a"), below=(base,))


# Whiteouts.


def test_whiteouts(box: Path) -> None:
    base = unpack(box, t.file("a"), t.file("d/b"), t.file("d/keep"), t.folder("gone"))
    top = unpack(box, t.file(".wh.a"), t.file("d/.wh.b"), t.file(".wh.gone"), t.file(".wh.never"), below=(base,))
    assert tree(top) == {"a": "whiteout", "d": None, "d/b": "whiteout", "gone": "whiteout"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_new_file_wins_over_a_whiteout_wherever_it_stands(box: Path, order: int) -> None:
    base = unpack(box, t.file("a", b"old"), t.file("d/x"))
    members = [t.file("a", b"new"), t.file(".wh.a"), t.folder("d"), t.file("d/y", b"new"), t.file(".wh.d")][::order]
    top = unpack(box, *members, below=(base,))
    assert tree(top) == {"a": b"new", "d": None, "d/y": b"new"}
    assert opaque(top / "d")


@pytest.mark.parametrize("order", [1, -1])
def test_opaque_folders(box: Path, order: int) -> None:
    base = unpack(box, t.file("d/old"), t.file("d/sub/x"))
    members = [t.file("d/.wh..wh..opq"), t.file("d/new", b"1"), t.file("d/.wh.old"), t.file("d/sub/.wh.x")][::order]
    top = unpack(box, *members, below=(base,))
    assert opaque(top / "d")
    assert "whiteout" not in tree(top).values()
    assert tree(top)["d/new"] == b"1"


def test_an_opaque_root(box: Path) -> None:
    base = unpack(box, t.file("old"))
    top = unpack(box, t.file(".wh..wh..opq"), t.file("new"), t.file(".wh.old"), below=(base,))
    assert opaque(top)
    assert list(tree(top)) == ["new"]


def test_a_whiteout_in_a_folder_nobody_listed(box: Path) -> None:
    base = unpack(box, t.folder("d", mode=0o711), t.folder("d/e", mode=0o700), t.file("d/e/f"))
    top = unpack(box, t.file("d/e/.wh.f"), below=(base,))
    assert tree(top) == {"d": None, "d/e": None, "d/e/f": "whiteout"}
    assert [stat.S_IMODE((top / name).stat().st_mode) for name in ("d", "d/e")] == [0o711, 0o700]


def test_auf_s_own_marks_are_passed_over(box: Path) -> None:
    assert tree(unpack(box, t.file(".wh..wh.aufs"), t.folder(".wh..wh.plnk"), t.file(".wh..wh.orph"))) == {}


@pytest.mark.parametrize("name", [".wh.", "d/.wh.", ".wh..", ".wh...", "d/.wh..."])
def test_whiteouts_that_name_nothing(box: Path, name: str) -> None:
    assert "whiteout" in refused(box, t.file(name))


def test_a_whiteout_through_a_link_stays_inside(box: Path) -> None:
    base = unpack(box, t.file("outside/canary"))
    found = unpack(box, t.symlink("l", "../../outside"), t.file("l/.wh.canary"), below=(base,))
    assert tree(found) == {"l": "-> ../../outside"}


def test_character_device_0_0_is_no_smuggled_whiteout(box: Path) -> None:
    base = unpack(box, t.file("a", b"1"))
    assert tree(unpack(box, t.header("a", type=b"3", major=0, minor=0), below=(base,))) == {}


def test_overlay_xattrs_are_never_taken_over(box: Path) -> None:
    records = {f"SCHILY.xattr.{kind}.overlay.{name}": "/etc" for kind in ("user", "trusted")
               for name in ("redirect", "opaque", "metacopy", "whiteout", "overlay.opaque")}  # fmt: skip
    records["SCHILY.xattr.user.kept"] = "yes"
    found = unpack(box, t.pax(records), t.folder("d"), t.pax(records), t.file("f"))  # type: ignore[arg-type]
    for name in ("d", "f"):
        assert os.listxattr(found / name) == ["user.kept"]


# The merged view.


def test_folders_nobody_listed_look_like_those_below(box: Path) -> None:
    base = unpack(box, t.folder("./", mode=0o751), t.folder("tmp", mode=0o1777, mtime=7), t.file("tmp/a"))
    top = unpack(box, t.file("tmp/b"), t.file("new/c"), below=(base,))
    assert stat.S_IMODE((top / "tmp").stat().st_mode) == 0o1777
    assert (top / "tmp").stat().st_mtime == 7
    assert stat.S_IMODE((top / "new").stat().st_mode) == 0o755
    assert stat.S_IMODE(top.stat().st_mode) == 0o751


def test_a_folder_nobody_listed_that_is_a_file_below(box: Path) -> None:
    base = unpack(box, t.file("d", b"1", mode=0o600))
    top = unpack(box, t.file("d/x"), below=(base,))
    assert stat.S_IMODE((top / "d").stat().st_mode) == 0o755


def test_a_member_through_a_lower_link_makes_a_folder(box: Path) -> None:
    base = unpack(box, t.folder("dir"), t.symlink("lnk", "dir"))
    assert tree(unpack(box, t.file("lnk/new", b"1"), below=(base,))) == {"lnk": None, "lnk/new": b"1"}


def test_finding_in_layers(box: Path) -> None:
    base = unpack(box, t.file("a/b/c", b"base"), t.file("x", b"base"), t.file("o/1"), t.symlink("link", "/a/b"))
    top = unpack(box, t.file("a/.wh.b"), t.file("o/.wh..wh..opq"), t.file("o/2"), t.file("y", b"top"), below=(base,))
    with ExitStack() as stack:
        layers = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (top, base)]
        for descriptor in layers:
            stack.callback(os.close, descriptor)
        there = {name: lower.find(layers, name.encode()) is not None
                 for name in ("a", "a/b", "a/b/c", "x", "y", "o/1", "o/2", "x/y")}  # fmt: skip
        assert there == {"a": True, "a/b": False, "a/b/c": False, "x": True, "y": True, "o/1": False, "o/2": True,
                         "x/y": False}  # fmt: skip
        found = lower.follow(layers, "x")
        assert found
        assert (found.layer, found.path) == (layers[1], b"x")
        found = lower.follow(layers[1:], "link/../b/c")
        assert found
        assert found.path == b"a/b/c"
        assert lower.follow(layers, "link/c") is None


# Attributes.


def test_the_last_member_of_a_path_wins(box: Path) -> None:
    found = unpack(
        box, t.file("a", b"1"), t.file("a", b"2"), t.file("d/x"), t.file("d", b"3"), t.file("e"), t.folder("e")
    )
    assert tree(found) == {"a": b"2", "d": b"3", "e": None}


def test_a_replaced_file_is_not_written_through_its_links(box: Path) -> None:
    found = unpack(box, t.file("a", b"1"), t.hardlink("b", "a"), t.file("a", b"2"))
    assert tree(found) == {"a": b"2", "b": b"1"}


def test_modes_and_times(box: Path) -> None:
    found = unpack(
        box, t.folder("ro", mode=0o555, mtime=5), t.file("ro/f", b"x", mode=0o4755), t.folder("none", mode=0, mtime=3),
        t.pax({"mtime": "123.456789012"}), t.file("ns"), t.pax({"mtime": "-86400.5"}), t.file("old"),
        t.pax({"mtime": "99999999999999999"}), t.file("future"), t.symlink("l", "x", mtime=77), t.header("p", type=b"6"),
    )  # fmt: skip
    assert stat.S_IMODE((found / "ro").stat().st_mode) == 0o555
    assert stat.S_IMODE((found / "none").stat().st_mode) == 0
    assert (found / "ro").stat().st_mtime == 5
    assert stat.S_IMODE((found / "ro/f").stat().st_mode) == 0o4755
    assert (found / "ns").stat().st_mtime_ns == 123_456_789_012
    assert (found / "old").stat().st_mtime == -86400.5
    assert (found / "future").stat().st_mtime > time.time()
    assert (found / "l").lstat().st_mtime == 77
    assert stat.S_ISFIFO((found / "p").stat().st_mode)
    (found / "none").chmod(0o700)


def test_squashed_files_lose_their_set_id_bits(box: Path) -> None:
    found = unpack(box, t.file("theirs", mode=0o6755, uid=33), t.file("root", mode=0o4755))
    assert stat.S_IMODE((found / "theirs").stat().st_mode) == 0o755
    assert stat.S_IMODE((found / "root").stat().st_mode) == 0o4755


def test_sparse_files_keep_their_holes(box: Path) -> None:
    records = {"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": f"4096,3,{(1 << 40) - 5},2", "GNU.sparse.name": "s"}
    found = unpack(box, t.pax(records), t.file("x", b"abcde"))  # type: ignore[arg-type]
    status = (found / "s").stat()
    assert (status.st_size, status.st_blocks < 100) == (1 << 40, True)
    with (found / "s").open("rb") as file:
        assert os.pread(file.fileno(), 5, 4095) == b"\0abc\0"
        assert os.pread(file.fileno(), 5, (1 << 40) - 5) == b"de\0\0\0"


def test_names_of_any_bytes(box: Path) -> None:
    found = unpack(box, t.file(b"\xff\xfe \n"), t.file("A"), t.file("a"))
    assert set(os.listdir(os.fsencode(found))) == {b"\xff\xfe \n", b"A", b"a"}


# Limits.


@pytest.mark.parametrize("name", ["n" * 256, "/".join(["d" * 200] * 30)])
def test_names_no_file_system_takes(box: Path, name: str) -> None:
    assert "File name too long" in refused(box, t.pax({"path": name}), t.file("x"))


def test_long_paths_that_fit(box: Path) -> None:
    name = "/".join(["d" * 250] * 8)
    found = unpack(box, t.pax({"path": name}), t.file("x", b"1"))
    assert (found / name).read_bytes() == b"1"


def test_too_many_folders(box: Path) -> None:
    with pytest.raises(ImageError, match="more than 3 folders"):
        unpack(box, *[t.folder(f"d{n}") for n in range(4)], budget=Budget(directories=3))


def test_folders_nobody_listed_are_counted(box: Path) -> None:
    with pytest.raises(ImageError, match="more than 100 folders"):
        unpack(box, t.pax({"path": "/".join("d" * 101) + "/f"}), t.file("x"), budget=Budget(directories=100))


@pytest.mark.parametrize("form", ["folders", "whiteouts", "links"])
def test_remembered_paths_have_a_budget(box: Path, form: str) -> None:
    above = "/".join(["d" * 200] * 4)
    makers = {"folders": lambda n: t.folder(f"{n}"), "whiteouts": lambda n: t.file(f".wh.{n}"),
              "links": lambda n: t.hardlink(f"{n}", f"lower{n}")}  # fmt: skip
    members = [t.pax({"path": f"{above}/{'.wh.' * (form == 'whiteouts')}{n}"}) + makers[form](n) for n in range(200)]
    with pytest.raises(ImageError, match="have more than 100000 bytes"):
        unpack(box, *members, budget=Budget(names=100_000))


@pytest.mark.parametrize("listed", [False, True])
def test_deep_trees_take_little_time(box: Path, listed: bool) -> None:
    """1,000 folders, also where whiteouts and the layer below make it look at every one of them."""
    names = ["/".join("d" * count) for count in range(1, 1000)]
    folders = [t.pax({"path": name}) + t.folder("x") for name in names] if listed else []
    below = unpack(box, *folders, t.pax({"path": f"{names[-1]}/f"}), t.file("x"))
    start = time.process_time()
    top = unpack(box, *folders, t.pax({"path": f"{names[-1]}/.wh.f"}), t.file("x"), t.file(".wh.x"), below=(below,))
    assert time.process_time() - start < 4  # it is 0.2; looking at every path from the root again took minutes
    assert stat.S_ISCHR(os.lstat(top / names[-1] / "f").st_mode)
    remove_tree(str(box))
    box.mkdir()


def zeros(count: int) -> bytes:
    return t.file("zeros", bytes(count)) + t.END


@pytest.mark.parametrize("form", ["gzip", "zstd", "xz", "bzip2", "gzip members", "zstd frames", "gzip in gzip"])
def test_bombs(box: Path, form: str) -> None:
    """Bytes out for bytes in are counted over the whole stream, whatever it is made of."""
    content = zeros(8 << 20)
    if form == "gzip in gzip":
        stream = gzip.compress(gzip.compress(content))  # inside it is a file like any other
        assert len(b"".join(codec.chunks(io.BytesIO(stream)))) < len(content) / 100
        return
    word, _, many = form.partition(" ")
    pack = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress,
            "zstd": lambda data: b"".join(codec.compress([data], "zstd"))}[word]  # fmt: skip
    cuts = [content[at : at + (1 << 20)] for at in range(0, len(content), 1 << 20)] if many else [content]
    file = io.BytesIO(b"".join(pack(cut) for cut in cuts))
    budget, count = Budget(free=1 << 20, ratio=50), 0
    with pytest.raises(ImageError, match="decompression bomb"):
        for piece in codec.chunks(file):
            count += len(piece)
            budget.check_bytes(count, file.tell())
    assert count < 4 << 20


@pytest.mark.parametrize("count, compressed, ok", [(10, 1, True), (1001, 0, False), (900, 800, True), (900, 1, False)])
def test_budget_of_bytes_and_ratio(count: int, compressed: int, ok: bool) -> None:
    budget = Budget(bytes=1000, free=100, ratio=10)
    if ok:
        budget.check_bytes(count, compressed)
    else:
        with pytest.raises(ImageError, match=r"more than 1000 bytes|decompression bomb"):
            budget.check_bytes(count, compressed)


def test_many_members_take_little_time(box: Path) -> None:
    members = [t.folder(f"d{n}") for n in range(200)] + [t.file(f"d{n % 200}/f{n}", b"x") for n in range(5000)]
    start = time.monotonic()
    unpack(box, *members)
    assert time.monotonic() - start < 5


def test_a_full_disk_is_not_the_layers_fault(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(box, t.file("a", b"x"))
