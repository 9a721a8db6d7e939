"""Paths inside a root: links lead nowhere outside, and nothing is made outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbcontainers.linux import inroot, tree


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    descriptor = os.open(tmp_path / "root", os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def where(descriptor: int) -> str:
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    os.close(descriptor)
    return path


def test_a_missing_path_is_made_with_its_parents(root: int, tmp_path: Path) -> None:
    assert where(inroot.make_directory(root, "/a/b/c")) == f"{tmp_path}/root/a/b/c"
    assert where(inroot.make_file(root, "/x/y/file")) == f"{tmp_path}/root/x/y/file"
    assert (tmp_path / "root/x/y/file").read_bytes() == b""


def test_a_path_may_be_as_deep_as_the_kernel_allows(root: int, tmp_path: Path) -> None:
    try:
        os.close(inroot.make_directory(root, "/a" * 2000))
        os.close(inroot.open_path(root, "/a" * 2000))
    finally:
        tree.remove(str(tmp_path / "root"))  # pytest's own way of removing is recursive


@pytest.mark.parametrize("link", ["/outside", "../outside", "../../../../..{tmp}/outside", "{tmp}/outside"])
def test_links_are_followed_inside_the_root_only(root: int, tmp_path: Path, link: str) -> None:
    (tmp_path / "root/link").symlink_to(link.format(tmp=tmp_path))
    with pytest.raises(OSError, match="openat2"):
        os.close(inroot.make_directory(root, "/link/sub"))
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_to_something_inside_works_as_it_would_after_chroot(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/real").mkdir()
    (tmp_path / "root/link").symlink_to("/real")
    assert where(inroot.make_directory(root, "/link/sub")) == f"{tmp_path}/root/real/sub"


def test_dots_stop_at_the_root(root: int, tmp_path: Path) -> None:
    assert where(inroot.make_directory(root, "/../../../a/../b")) in (f"{tmp_path}/root/b", f"{tmp_path}/root/a/../b")
    assert list((tmp_path / "outside").iterdir()) == []


def test_magic_links_are_refused(root: int, tmp_path: Path) -> None:
    proc = os.open("/", os.O_PATH)
    with pytest.raises(OSError, match="openat2"):
        inroot.open_path(proc, "/proc/self/root/etc")
    os.close(proc)
