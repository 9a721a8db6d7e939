"""Which files COPY's sources mean (builder/selection.py)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbcontainers.builder.context import Context
from nbcontainers.builder.selection import Match, Root, select
from nbcontainers.dockerfile import ignore
from nbcontainers.errors import BuildError, InvalidArgument, NotFound


@pytest.fixture
def root(tmp_path: Path) -> Root:
    for name in ("a", "b.txt", "d/x", "d/y.txt", "d/deep/z", "other/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("d/x")
    (tmp_path / "dlink").symlink_to("d")
    (tmp_path / "out").symlink_to("/etc/passwd")
    (tmp_path / "up").symlink_to("../../a")
    (tmp_path / "loop").symlink_to("loop")
    return Root(str(tmp_path))


def paths(found: list[Match]) -> list[str]:
    return [match.path for match in found]


@pytest.mark.parametrize(
    "source, expected",
    [
        ("a", ["a"]), ("/a", ["a"]), ("../../a", ["a"]), ("./d/./x", ["d/x"]), ("d/../a", ["a"]),
        ("*.txt", ["b.txt"]), ("d/*", ["d/deep", "d/x", "d/y.txt"]), ("*/x", ["d/x", "d/x", "other/x"]), ("[ab]*", ["a", "b.txt"]),
        ("no*", []), ("link", ["d/x"]), ("dlink/x", ["d/x"]), ("up", ["a"]), ("?", ["a", "d"]), (r"\a", ["a"]),
    ],
)  # fmt: skip
def test_sources(root: Root, source: str, expected: list[str]) -> None:
    assert paths(select(root, source)) == expected


def test_a_folder_and_its_members(root: Root) -> None:
    [match] = select(root, "d")
    assert match == Match("d", "d", True, ("deep", "deep/z", "x", "y.txt"))
    [match] = select(root, "dlink/")
    assert (match.path, match.name) == ("d", "dlink")


def test_a_link_keeps_its_name(root: Root) -> None:
    assert select(root, "link") == [Match("d/x", "link", False)]


def test_nothing_outside_is_ever_seen(root: Root, tmp_path: Path) -> None:
    for source in ("out", "loop", "up/x", "a/x", "../../../etc/passwd"):
        with pytest.raises(NotFound):
            select(root, source)
    assert paths(select(root, "*o*")) == ["other"], "of a wildcard what leads nowhere is left out"


def test_what_is_near_is_named(root: Root) -> None:
    with pytest.raises(NotFound, match="'d/xx' is not there") as caught:
        select(root, "d/xx")
    assert "did you mean d/x" in caught.value.hint
    with pytest.raises(NotFound) as caught:
        select(root, "d/nothing/of/it")
    assert "d/deep" in caught.value.hint


def test_exclude(root: Root) -> None:
    assert select(root, "d", exclude=["*.txt", "deep/z"])[0].members == ("deep", "x")
    assert select(root, "d", exclude=["**", "!x"])[0].members == ("x",)
    assert paths(select(root, "*", exclude=["*.txt", "*link", "d"])) == ["a", "other", "a"]


def test_parents(root: Root) -> None:
    [match] = select(root, "d/deep/z", parents=True)
    assert (match.name, match.above) == ("d/deep/z", (("d", "d"), ("d/deep", "d/deep")))
    [match] = select(root, "./d/./deep/z", parents=True)
    assert (match.name, match.above) == ("deep/z", (("deep", "d/deep"),))
    assert [match.name for match in select(root, "**/x", parents=True)] == ["d/x", "other/x"]
    for source, names in [("oth*/./x", ["x"]), ("d/d*/./z", ["z"]), ("**/deep/./z", ["z"]), ("no*/./x", [])]:
        assert [match.name for match in select(root, source, parents=True)] == names


def test_what_is_ignored_is_not_there(tmp_path: Path, root: Root) -> None:
    inside = Root(root.path, ignore.parse("d\n!d/deep\n*.txt\nother/*\n"))
    assert [match.members for match in select(inside, ".")] == [
        ("a", "d", "d/deep", "d/deep/z", "dlink", "link", "loop", "other", "out", "up")
    ]
    with pytest.raises(NotFound) as caught:
        select(inside, "d/x")
    assert ".dockerignore" in caught.value.hint
    assert paths(select(inside, "*.txt")) == []


@pytest.mark.parametrize("source", ["[", "a[", "*\\", "[a-"])
def test_a_bad_pattern(root: Root, source: str) -> None:
    with pytest.raises(InvalidArgument, match="the pattern"):
        select(root, source)


def test_sockets_are_files_like_others(root: Root) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(f"{root.path}/d", os.O_PATH)
        one.bind(f"/proc/self/fd/{here}/s")
        os.close(here)
        assert "s" in select(root, "d")[0].members


def test_what_goes_while_it_is_read_is_told(root: Root) -> None:
    context = Context("context", root.path)
    [match] = select(root, "/")
    with pytest.raises(BuildError, match=r"gone/x in the context changed .* No such file"):
        context.digest([Match(match.path, match.name, match.is_folder, (*match.members, "gone/x"))])
