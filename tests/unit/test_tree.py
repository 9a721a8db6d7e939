"""Removing trees: links, depth, hostile permissions."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nbcontainers.linux import room, tree


def test_a_tree_goes_and_what_its_links_point_at_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/file").write_text("y")
    (top / "link").symlink_to(outside)
    (top / "a/b/up").symlink_to("../../..")
    tree.remove(str(top))
    assert not top.exists()
    assert (outside / "kept").read_text() == "x"


def test_what_is_not_there_is_fine(tmp_path: Path) -> None:
    tree.remove(str(tmp_path / "nothing"))


def test_several_may_remove_one_tree_at_once(tmp_path: Path) -> None:
    for n in range(600):
        (tmp_path / f"top/{n % 30}/{n}").mkdir(parents=True)
        (tmp_path / f"top/{n % 30}/{n}/file").write_text("x")
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(tree.remove, str(tmp_path / "top")) for _ in range(4)]:
            done.result()
    assert not (tmp_path / "top").exists()


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        tree.remove(str(tmp_path / "link"))


def test_folders_without_permissions_are_opened_up(tmp_path: Path) -> None:
    (tmp_path / "top/work").mkdir(parents=True)
    (tmp_path / "top/work/inner").write_text("")
    (tmp_path / "top/work").chmod(0)
    tree.remove(str(tmp_path / "top"))
    assert not (tmp_path / "top").exists()


def test_depth_costs_neither_descriptors_nor_recursion(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    tree.remove(str(top))
    assert not top.exists()


def test_the_size_of_a_tree_is_seen_within_a_time(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"folder{number}").mkdir()
        (tmp_path / f"folder{number}" / "file").write_bytes(b"x" * 5000)
    everything = room.size(str(tmp_path))
    assert everything >= 15000
    assert room.size_within(str(tmp_path), 60) == (everything, True)
    some, whole = room.size_within(str(tmp_path), -1)
    assert some < everything
    assert not whole
