"""image diff and image tree: layers and images compared by their snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbcontainers.container import api as containers
from nbcontainers.container.committing import oci_type
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import api
from nbcontainers.oci.image import LAYER, LAYER_GZIP, LAYER_ZSTD
from tests import tarballs as t

ONE = t.archive(
    t.folder("etc"), t.file("etc/a", b"aa"), t.file("etc/b", b"b"), t.file("etc/same", b"s", mtime=1), t.folder("gone"),
    t.file("gone/x", b"xxx"), t.symlink("link", "etc"), t.folder("kind"), t.file("kind/y", b"y"), t.folder("mode"),
)  # fmt: skip
TWO = t.archive(
    t.file("etc/a", b"AA"), t.file("etc/.wh.b"), t.file("etc/same", b"s", mtime=2), t.file(".wh.gone"), t.file("new/n", b"n"),
    t.symlink("link", "mode"), t.file("kind", b"a file"), t.folder("mode", mode=0o700),
)  # fmt: skip


@pytest.fixture
def two(fresh_engine: Engine, tmp_path: Path) -> None:
    api.load(str(t.docker_archive(tmp_path / "one.tar", [ONE], "one:1")))
    api.load(str(t.docker_archive(tmp_path / "two.tar", [ONE, TWO], "two:1")))


def test_diff(two: None) -> None:
    rows = [(row["kind"], row["path"], row["before"], row["after"]) for row in api.diff("one:1", "two:1")]
    assert rows == [
        ("C", "/etc/a", 2, 2), ("D", "/etc/b", 1, None), ("D", "/gone", 0, None), ("D", "/gone/x", 3, None),
        ("C", "/kind", 0, 6), ("D", "/kind/y", 1, None), ("C", "/link", 0, 0), ("C", "/mode", 0, 0), ("A", "/new", None, 0),
        ("A", "/new/n", None, 1),
    ]  # fmt: skip
    assert list(api.diff("two:1", "two:1")) == []
    assert {row["kind"] for row in api.diff("two:1", "one:1")} == {"A", "C", "D"}


def test_diff_of_images_made_apart(two: None, tmp_path: Path) -> None:
    """The same files in other layers, at another time: no difference."""
    later = t.archive(
        t.folder("etc", mtime=9), t.file("etc/a", b"aa", mtime=9), t.file("etc/b", b"b"), t.file("etc/same", b"s"),
        t.folder("gone"), t.file("gone/x", b"xxx"), t.symlink("link", "etc"), t.folder("kind"), t.file("kind/y", b"y"),
        t.folder("mode", mtime=9),
    )  # fmt: skip
    api.load(
        str(
            t.docker_archive(
                tmp_path / "later.tar", [t.archive(t.file("z")), later, t.archive(t.file(".wh.z"))], "later:1"
            )
        )
    )
    assert list(api.diff("one:1", "later:1")) == []


def test_host_is_compared_with_what_lies_on_it_alone(fresh_engine: Engine) -> None:
    with pytest.raises(InvalidArgument, match="host lies on this machine's folders"):
        api.diff("host", "mini")
    assert list(api.diff("host", "host")) == []


def test_tree(two: None) -> None:
    [one, other] = api.tree("two:1")
    counts = ("added", "changed", "removed")
    assert [one[key] for key in counts] == [6, 0, 0]
    assert [other[key] for key in counts] == [1, 4, 2]
    assert (one["images"], other["images"]) == ([], ["two:1"])
    assert not any(drawn in other["layer"] for drawn in "├└")


def test_tree_of_all(two: None) -> None:
    """Shared layers stand once; where images part, the tree branches."""
    with containers.run("mini", "touch", "/1") as first, containers.run("mini", "touch", "/2") as second:
        containers.commit(first, "first:1")
        containers.commit(second, "second:1")
    rows = list(api.tree())
    assert {name for row in rows for name in row["images"]} == {"one:1", "two:1", "mini", "first:1", "second:1"}
    assert len(rows) == 6
    assert sorted(row["layer"][:3] for row in rows if row["layer"][0] in "├└") == ["└─ ", "├─ "]
    assert [row["images"] for row in rows if row["layer"][0] not in "├└"][-1] == ["mini"]
    assert "host" not in repr(api.tree())


@pytest.mark.parametrize(
    ("docker", "oci"),
    [
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", LAYER_GZIP), (LAYER_ZSTD, LAYER_ZSTD), (LAYER, LAYER),
        ("application/vnd.docker.image.rootfs.diff.tar", LAYER), ("application/vnd.docker.image.rootfs.diff.tar.zstd", LAYER_ZSTD),
    ],
)  # fmt: skip
def test_media_types_of_a_new_manifest(docker: str, oci: str) -> None:
    assert oci_type(docker) == oci
