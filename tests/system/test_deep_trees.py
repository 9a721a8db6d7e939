"""Trees deeper than a path is long and than Python recurses: made by an image or a program, measured, removed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import nbcontainers
from nbcontainers.image import api as images
from nbcontainers.linux import tree
from nbcontainers.system import usage

DEPTH = 1100


def deep(path: Path) -> Path:
    """A tar whose only file lies DEPTH folders deep, and which then has a file in place of the first of them."""
    with tarfile.open(path, "w") as archive:
        for name in ("a/" * DEPTH + "file", "b/" * DEPTH + "file", "b"):
            member = tarfile.TarInfo(name)
            member.size = 4096
            archive.addfile(member, io.BytesIO(bytes(4096)))
    return path


def test_an_image_with_a_deep_tree_comes_and_goes(fresh_engine: Any, tmp_path: Path) -> None:
    images.import_(deep(tmp_path / "deep.tar"), "deep")
    sizes = {row["type"]: row["size"] for row in nbcontainers.system.df()}
    assert sizes["images"] > 4096
    images.rm("deep")
    assert not list(fresh_engine.snapshots.glob("[0-9a-f]*"))


def test_the_size_of_a_tree_deeper_than_a_path_is_long(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    script = "cd /top; for n in $(seq 1500); do mkdir abc; cd abc; done; head -c 1000000 /dev/zero >file"
    try:
        nbcontainers.run("mini", "sh", "-c", script, volume=[f"{top}:/top"], rm=True)
        assert usage.size(str(top)) >= 1_000_000
    finally:
        tree.remove(str(top))
