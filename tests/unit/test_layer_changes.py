"""What an upper folder of overlayfs says was changed, and the merged view of layers. Folders as the kernel leaves
them are made by hand; the system tests let the kernel make them and compare with Docker and podman."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.errors import ImageError
from nbcontainers.layer.changes import changes, merged, total
from nbcontainers.layer.lower import opened
from nbcontainers.layer.pack import Packer
from nbcontainers.layer.unpack import Layer
from tests.uppers import grow


def diff(upper: Path, *lowers: Path, **options: Any) -> list[str]:
    with ExitStack() as stack:
        one, *below = opened(stack, [upper, *lowers])
        found = [
            f"{change.kind} {os.fsdecode(change.path)}" for change in changes(one, below, userxattr=True, **options)
        ]
    if found[:1] == ["C "] and not lowers and os.geteuid():
        found = found[1:]  # nothing below, and a root folder that is not root's
    return found


BASE = {
    "etc": {"passwd": "root", "group": "root", "deep": {"x": "1", "y": "2"}},
    "usr": {"bin": {"sh": "#!"}},
    "f": "f",
}


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        ({}, []),
        ({"etc": {"new": "1"}}, ["C etc", "A etc/new"]),
        ({"etc": {"passwd": "changed"}}, ["C etc", "C etc/passwd"]),
        ({"etc": {"passwd": "toor"}}, ["C etc", "C etc/passwd"]),  # same size, same time: contents are read
        ({"etc": {"passwd": "root"}}, []),  # opened for writing, and not written
        ({"etc": {"deep": {}}}, []),  # a folder that overlayfs copied up
        ({"etc": {"passwd": None}}, ["C etc", "D etc/passwd"]),
        ({"etc": {"never": None}}, []),
        ({"etc": None}, ["D etc"]),
        ({"etc": {"!": "", "new": "1", "group": "root"}}, ["C etc", "D etc/deep", "D etc/passwd", "A etc/new"]),
        ({"etc": {"!": "", "deep": {"y": "2"}}},
         ["C etc", "D etc/group", "D etc/passwd", "C etc/deep", "D etc/deep/x"]),
        ({"etc": "a file now"}, ["C etc"]),
        ({"etc": Path("/usr")}, ["C etc"]),
        ({"f": {"!": "", "x": "1"}}, ["C f", "A f/x"]),
        ({"a": {"b": {}, "c": "1"}}, ["A a", "A a/c", "A a/b"]),
    ],
)  # fmt: skip
def test_kinds(tmp_path: Path, upper: dict[str, Any], expected: list[str]) -> None:
    base = grow(tmp_path / "base", BASE)
    assert diff(grow(tmp_path / "upper", upper), base) == expected


def test_several_layers_below(tmp_path: Path) -> None:
    base = grow(tmp_path / "base", BASE)
    middle = grow(tmp_path / "middle", {"etc": {"passwd": None, "deep": {"!": "", "z": "3"}}, "usr": None})
    assert diff(grow(tmp_path / "1", {"etc": {"passwd": "root"}}), middle, base) == ["C etc", "A etc/passwd"]
    assert diff(grow(tmp_path / "2", {"etc": {"deep": None}}), middle, base) == ["C etc", "D etc/deep"]
    assert diff(grow(tmp_path / "3", {"etc": {"deep": {"x": None, "z": None}}}), middle, base) == [
        "C etc", "C etc/deep", "D etc/deep/z"
    ]  # fmt: skip
    assert diff(grow(tmp_path / "4", {"usr": {"bin": {}}}), middle, base) == ["A usr", "A usr/bin"]


@pytest.mark.parametrize(
    "change",
    [lambda p: p.chmod(0o700), lambda p: os.setxattr(p, "user.x", b"1"), lambda p: os.utime(p, (5, 5))],
)
def test_attributes_alone(tmp_path: Path, change: Callable[[Path], None]) -> None:
    base = grow(tmp_path / "base", BASE)
    upper = grow(tmp_path / "upper", {"etc": {"passwd": "root"}})
    change(upper / "etc/passwd")
    assert diff(upper, base) == ["C etc", "C etc/passwd"]


def test_times_of_a_folder_are_no_change_and_its_mode_is(tmp_path: Path) -> None:
    base = grow(tmp_path / "base", BASE)
    upper = grow(tmp_path / "upper", {"etc": {}, "usr": {}})
    os.utime(upper / "etc", (5, 5))
    (upper / "usr").chmod(0o700)
    assert diff(upper, base) == ["C usr"]


def test_the_root_folder(tmp_path: Path) -> None:
    base, upper = grow(tmp_path / "base", {}), grow(tmp_path / "upper", {})
    base.chmod(0o751)
    upper.chmod(0o755)
    assert diff(upper, base) == ([] if os.geteuid() == 0 else ["C "])  # as a container begins
    upper.chmod(0o700)
    assert diff(upper, base) == ["C "]


def test_mount_points_are_the_runtime_s_own(tmp_path: Path) -> None:
    base = grow(tmp_path / "base", {"etc": {}})
    upper = grow(tmp_path / "upper", {"etc": {"hosts": ""}, "proc": {}, "data": {"vol": {}}, "dev": {}})
    mounts = [b"etc/hosts", b"proc", b"data/vol", b"dev"]
    if os.geteuid() == 0:
        assert diff(upper, base, skip=mounts) == []
        (upper / "data/own").write_text("1")
        assert diff(upper, base, skip=mounts) == ["A data", "A data/own"]
    (upper / "etc/hosts").write_text("written before it was mounted over")
    assert "A etc/hosts" in diff(upper, base, skip=mounts)


@pytest.mark.parametrize("name", ["redirect", "metacopy"])
def test_what_another_mount_left_is_refused(tmp_path: Path, name: str) -> None:
    base = grow(tmp_path / "base", BASE)
    upper = grow(tmp_path / "upper", {"etc": {"passwd": ""}})
    os.truncate(upper / "etc/passwd", 5)
    os.setxattr(upper / "etc/passwd" if name == "metacopy" else upper / "etc", f"user.overlay.{name}", b"/x")
    with pytest.raises(ImageError, match=f"{name}.*no layer can express"):
        diff(upper, base)


def test_a_container_cannot_make_its_folders_opaque_itself(tmp_path: Path) -> None:
    """As root the kernel's mark is trusted.*, and user.overlay.opaque an attribute like any other."""
    base = grow(tmp_path / "base", BASE)
    upper = grow(tmp_path / "upper", {"etc": {"!": "", "new": "1"}})
    with ExitStack() as stack:
        one, *below = opened(stack, [upper, base])
        assert [change.kind for change in changes(one, below, userxattr=False)] == ["C", "A"]


def test_names_of_any_bytes_and_links_that_lead_out(tmp_path: Path) -> None:
    upper = grow(tmp_path / "upper", {"root": Path("/"), "up": Path("../../.."), "new\nline": "1"})
    Path(os.fsdecode(os.fsencode(upper) + b"/\xff\xfe")).write_text("1")
    assert diff(upper) == ["A new\nline", "A root", "A up", "A \udcff\udcfe"]


def test_a_tree_deeper_than_a_path_is_long_is_an_error(tmp_path: Path) -> None:
    upper = grow(tmp_path / "upper", {})
    here = os.open(".", os.O_PATH)
    try:
        os.chdir(upper)
        for _ in range(18):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
    finally:
        os.fchdir(here)
        os.close(here)
    with pytest.raises(ImageError, match="deeper than the 4096 bytes"):
        diff(upper)


def test_few_descriptors_for_a_deep_and_wide_tree(tmp_path: Path) -> None:
    upper = grow(tmp_path / "upper", {})
    folder = upper
    for _ in range(300):
        folder /= "d"
        folder.mkdir()
        (folder / "f").touch()
    before = len(os.listdir("/proc/self/fd"))
    most = 0
    with ExitStack() as stack:
        [root] = opened(stack, [upper])
        for _ in changes(root, []):
            most = max(most, len(os.listdir("/proc/self/fd")))
    assert most - before <= 4


def test_what_vanishes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    upper = grow(tmp_path / "upper", {"a": {"x": "1"}, "b": {"x": "1"}, "c": {"x": "1"}})
    found = []
    with ExitStack() as stack:
        [root] = opened(stack, [upper])
        for change in changes(root, []):
            found += [os.fsdecode(change.path)] if change.path else []
            if change.path == b"a":
                (upper / "b/x").unlink()
                (upper / "b").rmdir()
                (upper / "c/x").unlink()
                (upper / "c").rmdir()
                (upper / "c").symlink_to("/etc")
    assert found == ["a", "a/x"]


def test_merged(tmp_path: Path) -> None:
    base = grow(tmp_path / "base", BASE)
    top = grow(tmp_path / "top", {"etc": {"passwd": None, "deep": {"!": "", "z": "3"}}, "usr": {"bin": Path("x")}})
    with ExitStack() as stack:
        layers = opened(stack, [top, base])
        found = [os.fsdecode(change.path) for change in merged(layers)]
    assert found == ["", "f", "etc", "etc/group", "etc/deep", "etc/deep/z", "usr", "usr/bin"]


def test_total(tmp_path: Path) -> None:
    base = grow(tmp_path / "base", BASE)
    upper = grow(tmp_path / "upper", {"etc": None})
    with ExitStack() as stack:
        one, *below = opened(stack, [upper, base])
        [change] = changes(one, below)
        assert total(change.below) == (4, 10)


def test_a_layer_of_the_changes_gives_the_same_folder_again(tmp_path: Path) -> None:
    """upper -> tar -> unpacked over the same base: the same changes, whatever the kernel's marks were."""
    base = grow(tmp_path / "base", BASE)
    upper = grow(tmp_path / "upper", {
        "etc": {"!": "", "new": "1", "deep": {"y": "2", "z": "3"}}, "f": {"!": "", "in": "1"}, "usr": {"bin": None},
        "l": Path("/etc"),
    })  # fmt: skip
    again = tmp_path / "again"
    again.mkdir()
    mask = os.umask(0)
    try:
        with ExitStack() as stack:
            one, target, below = opened(stack, [upper, again, base])
            layer = Layer(target, userxattr=True, squash=True)
            layer.extract(Packer().pieces(changes(one, [below], userxattr=True)))
            layer.finish([below])
    finally:
        os.umask(mask)
    assert diff(again, base) == diff(upper, base)
    assert {path.name for path in again.rglob("*") if not path.is_dir()} >= {"passwd", "group", "x"}  # whiteouts
