"""What layers do to each other: crafted folders in overlay form, read as they lie on the disk; and the trees and views."""

from __future__ import annotations

import os
import random
import re
import stat
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, Wasteful
from nbcontainers.image import card, growing, indexing, thrift
from nbcontainers.image.image import Image
from nbcontainers.image.layerview import Layer, Layers
from nbcontainers.image.merging import CHANGES, Entry, Merged, Waste
from nbcontainers.image.progress import Progress
from nbcontainers.image.reading import Reading
from nbcontainers.layer.changes import merged as seen_by_overlay
from nbcontainers.layer.lower import opened
from nbcontainers.option import part
from tests.uppers import OPAQUE, grow

Read = tuple[Merged, list[list[Entry]]]


def read(*folders: Path) -> Read:
    with ExitStack() as stack:
        found = opened(stack, folders)
        merged, every = Merged(), []
        reading = Reading(found, merged, [], lambda files: None)
        for number in range(1, len(found) + 1):
            every.append(list(reading.entries(number)))
            merged.apply(number, every[-1])
        return merged, every


def layers(tmp_path: Path, *trees: dict[str, Any]) -> Read:
    return read(*(grow(tmp_path / str(number), tree) for number, tree in enumerate(trees)))


def done(entries: list[Entry]) -> dict[str, str]:
    """path: change."""
    return {one.path: one.change for one in entries}


# What is wasted.


def test_of_three_copies_two_are_wasted(tmp_path: Path) -> None:
    merged, every = layers(tmp_path, {"a": "1" * 10}, {"a": "2" * 10}, {"a": "3" * 10, "b": "4" * 70})
    assert (merged.stored, merged.wasted, merged.efficiency) == (100, 20, 0.8)
    assert merged.waste() == [Waste("a", 3, 20, True)]
    assert done(every[2]) == {"a": "changed", "b": "added"}


def test_of_two_copies_of_different_size_the_hidden_one_is_wasted(tmp_path: Path) -> None:
    merged, _ = layers(tmp_path, {"a": "1" * 10}, {"a": "2" * 30})
    assert (merged.stored, merged.wasted) == (40, 10)


def test_a_file_that_was_removed_is_wasted_and_its_whiteout_is_no_copy(tmp_path: Path) -> None:
    merged, every = layers(tmp_path, {"a": "1" * 10, "b": "2" * 30}, {"a": None})
    assert (merged.stored, merged.wasted, merged.efficiency) == (40, 10, 0.75)
    assert merged.waste() == [Waste("a", 1, 10, False)]
    assert every[1] == [every[0][0]._replace(change="removed")]
    assert every[1][0].size == 10


def test_a_folder_that_was_removed_counts_once_for_all_that_was_in_it(tmp_path: Path) -> None:
    tree = {"cache": {"x": "1" * 10, "deep": {"y": "2" * 20}}, "z": "3" * 70}
    merged, every = layers(tmp_path, {"var": tree}, {"var": {"cache": None}})
    assert (merged.wasted, merged.efficiency) == (30, 0.7)
    assert merged.waste() == [Waste("var/cache", 2, 30, False)]
    assert done(every[1]) == dict.fromkeys(
        ("var/cache", "var/cache/deep", "var/cache/deep/y", "var/cache/x"), "removed"
    )


def test_what_was_removed_and_came_back_is_there_once(tmp_path: Path) -> None:
    merged, every = layers(tmp_path, {"a": "1" * 10}, {"a": None}, {"a": "1" * 10})
    assert merged.waste() == [Waste("a", 2, 10, True)]
    assert [(one.change, one.first) for one in every[2]] == [("added", 3)]


def test_an_opaque_folder_hides_what_it_does_not_have(tmp_path: Path) -> None:
    below = {"d": {"same": "1" * 10, "gone": "2" * 20, "in": {"x": "3" * 5}}}
    merged, every = layers(tmp_path, below, {"d": {"!": 1, "same": "1" * 10, "new": "n", "in": {}}})
    assert done(every[1]) == {
        "d/gone": "removed", "d/in/x": "removed", "d/new": "added", "d/same": "again",
    }  # fmt: skip
    assert (merged.stored, merged.wasted) == (46, 35)


def test_attributes_alone_cost_the_whole_file_again(tmp_path: Path) -> None:
    one, two = grow(tmp_path / "one", {"a": "1" * 10, "d": {}}), grow(tmp_path / "two", {"a": "1" * 10, "d": {}})
    (two / "a").chmod(0o600)
    (two / "d").chmod(0o700)
    os.utime(two / "a", (1, 1))
    merged, every = read(one, two)
    assert done(every[1]) == {"a": "attributes", "d": "attributes"}
    assert (merged.wasted, every[1][0].mode, every[1][0].first) == (10, 0o600, 1)


def test_an_extended_attribute_is_one(tmp_path: Path) -> None:
    one, two = grow(tmp_path / "one", {"a": "1"}), grow(tmp_path / "two", {"a": "1"})
    os.setxattr(two / "a", "user.note", b"x")
    assert done(read(one, two)[1][1]) == {"a": "attributes"}


def test_a_new_time_alone_makes_no_difference(tmp_path: Path) -> None:
    one, two = grow(tmp_path / "one", {"a": "1"}), grow(tmp_path / "two", {"a": "1"})
    os.utime(two / "a", (1, 1))
    assert done(read(one, two)[1][1]) == {"a": "again"}


def test_a_hard_link_is_no_copy(tmp_path: Path) -> None:
    one = grow(tmp_path / "one", {"a": "1" * 10})
    os.link(one / "a", one / "b")
    merged, every = read(one)
    assert [(entry.path, entry.size, entry.link) for entry in every[0]] == [("a", 10, ""), ("b", 0, "a")]
    assert (merged.stored, merged.wasted) == (10, 0)


@pytest.mark.parametrize(("gone", "wasted"), [("a", 0), ("b", 0), ("ab", 10), ("ba", 10)])
def test_bytes_with_two_names_are_wasted_when_both_are_gone(tmp_path: Path, gone: str, wasted: int) -> None:
    one = grow(tmp_path / "one", {"a": "1" * 10})
    os.link(one / "a", one / "b")
    after = [grow(tmp_path / f"after-{name}", {name: None}) for name in gone]
    assert read(one, *after)[0].wasted == wasted


def test_a_file_in_the_place_of_a_folder_and_back(tmp_path: Path) -> None:
    merged, every = layers(tmp_path, {"a": {"x": "1" * 10}}, {"a": "2" * 20}, {"a": {"y": "3" * 30}})
    assert done(every[1]) == {"a/x": "removed", "a": "changed"}
    assert done(every[2]) == {"a": "changed", "a/y": "added"}
    assert (merged.stored, merged.wasted) == (60, 30)


def test_links_are_compared_by_their_target(tmp_path: Path) -> None:
    _, every = layers(tmp_path, {"l": Path("x"), "m": Path("x")}, {"l": Path("x"), "m": Path("y")})
    assert done(every[1]) == {"l": "again", "m": "changed"}
    assert every[1][1].link == "y"


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    one, two = grow(tmp_path / "one", {}), grow(tmp_path / "two", {})
    for folder in (one, two):
        (folder / os.fsdecode(b"caf\xe9")).write_text("1" * 10)
    merged, every = read(one, two)
    assert [os.fsencode(entry.path) for entry in every[1]] == [b"caf\xe9"]
    assert merged.wasted == 10


def random_layer(folder: Path, dice: random.Random, depth: int = 0) -> None:
    folder.mkdir()
    if depth and dice.random() < 0.2:
        os.setxattr(folder, OPAQUE, b"y")
    for name in "abcd":
        kind = dice.random()
        if kind < 0.3:
            (folder / name).write_text(dice.choice("xyz") * dice.randrange(1, 4))
        elif kind < 0.45:
            os.mknod(folder / name, stat.S_IFCHR | 0o600, 0)
        elif kind < 0.75 and depth < 3:
            random_layer(folder / name, dice, depth + 1)


@pytest.mark.parametrize("seed", range(40))
def test_what_is_seen_is_what_overlayfs_would_show(tmp_path: Path, seed: int) -> None:
    """Its merged view is another program; and what is stored is either seen or wasted."""
    dice = random.Random(seed)
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        random_layer(folder, dice)
    merged, _ = read(*folders)
    with ExitStack() as stack:
        descriptors = [os.open(folder, os.O_RDONLY) for folder in reversed(folders)]
        for descriptor in descriptors:
            stack.callback(os.close, descriptor)
        shown = {os.fsdecode(one.path): one.size for one in seen_by_overlay(descriptors) if one.path}
    assert {entry.path: entry.size for entry, _ in merged.entries()} == shown
    assert merged.stored - merged.wasted == sum(shown.values())
    assert merged.stored == sum(path.lstat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert merged.wasted == sum(one.bytes for one in merged.waste())


# The view.


def entry(path: str, size: int = 0, change: str = "added", kind: str = "f", **more: Any) -> Entry:
    return Entry(path, kind, change, size, 0o644, 0, 0, "", 1)._replace(**more)


def planted(*entries: Entry) -> growing.Branch:
    return indexing.changed(entries)


def summary(entries: list[Entry], merged: Merged) -> indexing.Summary:
    tree = planted(*entries)
    return {
        "form": 1, "counts": tree.counts[: len(CHANGES)], "held": tree.held, "gone": tree.gone, "stored": merged.stored,
        "wasted": merged.wasted, "tree": growing.dump(growing.cut(tree, indexing.KEPT_LINES)), "left_out": 0,
    }  # fmt: skip


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    monkeypatch.setattr(Image, "id", "sha256:" + "1" * 64)
    monkeypatch.setattr(Image, "base", "")
    return Image(Engine(tmp_path, tmp_path, True), "sha256:" + "2" * 64, "localhost/made:1")


def view(image: Image, *contents: list[Entry], lines: int = 120) -> Layers:
    merged, found, before = Merged(), [], 0
    for number, entries in enumerate(contents, 1):
        merged.apply(number, entries)
        step = {
            "created": None,
            "created_by": f"/bin/sh -c #(nop) COPY <b>{number}</b> /",
            "digest": "sha256:" + "3" * 64,
        }
        chain = f"sha256:{number:064}"
        one = summary(entries, merged)
        found.append(
            Layer(number, step, chain, chain, 5, one, merged.wasted - before, ["made:1", "other"], number == 1)
        )
        before = merged.wasted
    whole = indexing._whole(merged)
    return Layers(image, lambda: (found, whole), lines)


def two(image: Image) -> Layers:
    return view(image, [entry("a", 900), entry("b", 100)], [entry("a", 300, "changed"), entry("b", 100, "removed")])


def test_the_text_of_a_view(image: Image) -> None:
    text = two(image).text()
    assert text.startswith(
        "made:1 111111111111 · 1.3 kB in 2 layers · 1 file\nefficiency 23.1 %, wasted 1 kB in 2 paths\n\n#   SIZE"
    )
    assert "900B  2 copies           /a" in text
    assert "100B  1 copy, removed    /b" in text
    assert re.search(
        r"^2 +300B +1.3kB +\.+#### +1 +1 +1kB +2 images +333333333333 +COPY <b>2</b> /$", text, re.MULTILINE
    )


class Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attributes)


def test_the_html_has_every_fact_of_the_text_without_script(image: Image) -> None:
    words = Words()
    words.feed(two(image).html())
    text = " ".join("".join(words.found).split())
    assert words.tags <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "span"}
    for fact in ("1.3 kB in 2 layers", "efficiency 23.1 %, wasted 1 kB in 2 paths", "COPY <b>2</b> /", "2 images, build cache",
                 "900B 2 copies /a", "~ └─ a", "- └─ b", "333333333333", "all layers together"):  # fmt: skip
        assert fact in text or fact.replace("└", "├") in text, fact


def test_the_numbers_of_a_view(image: Image) -> None:
    found = two(image)
    assert (found.stored, found.wasted, round(found.efficiency, 4), round(found.wasted_part, 4)) == (
        1300,
        1000,
        0.2308,
        3.3333,
    )
    frame = found.to_pandas()
    assert frame["size"].tolist() == [1000, 300]
    assert frame["total"].tolist() == [1000, 1300]
    assert frame["hides"].tolist() == [0, 1000]
    assert frame[["added", "changed", "removed"]].to_numpy().tolist() == [[2, 0, 0], [0, 1, 1]]
    assert str(frame["size"].dtype) == "int64"
    assert found.document()["waste"][0] == {"path": "/a", "copies": 2, "wasted": 900, "removed": False}


def test_a_layer_there_is_not(image: Image) -> None:
    with pytest.raises(InvalidArgument, match="made:1 has no layer 3"):
        two(image).files(3)


def test_six_thousand_files_are_a_small_page(image: Image) -> None:
    wide = [entry(f"usr/share/{n % 300}/{n % 7}/a-rather-long-name-of-a-file-{n}", n) for n in range(6_000)]
    found = view(image, wide, [one._replace(change="removed") for one in wide[::2]])
    assert len(found.html()) < 300_000
    assert len(found.text()) < 30_000
    assert len(found.text().splitlines()) < 170


@pytest.mark.parametrize("lines", [1, 120, 10**6])
def test_a_hundred_and_twenty_seven_layers_are_a_small_page(image: Image, lines: int) -> None:
    name = "<a-rather-long-name>&" * 20
    contents = [[entry(f"d/{n}/{m}{name}", 10 * m) for m in range(50)] for n in range(127)]
    found = view(image, *contents, lines=lines)
    assert len(found.html()) < 300_000
    assert len(found.text().splitlines()) < 900
    assert len(found.layers) == 127


# What is said while an image is read for the first time.


def test_reading_is_no_transfer() -> None:
    progress = Progress("read", "made:1", clock=lambda: 5.0)
    progress.feed(
        {"event": "image", "verb": "read", "reference": "made:1", "layers": [{"digest": "sha256:a", "size": 1000}]}
    )
    progress.feed({"event": "layer", "digest": "sha256:a", "state": "reading", "bytes": 500, "note": "30,000 files"})
    assert card.text(progress) == "reading made:1\n  a  reading        500 B of 1 kB · 30,000 files"
    assert progress.part == 0.5
    progress.feed({"event": "layer", "digest": "sha256:a", "state": "done", "bytes": 1000, "note": ""})
    progress.end("done")
    assert card.text(progress) == "read made:1 in 0 s\n  layers  1: 1 read"


# The check.


def test_a_check_that_holds(image: Image) -> None:
    thrift.check(two(image), "23%", 1000, None)
    thrift.check(two(image), None, None, None)


def test_a_check_names_every_limit_that_is_missed_and_the_worst_paths(image: Image) -> None:
    with pytest.raises(Wasteful) as caught:
        thrift.check(two(image), 0.95, "0.5k", 0.1)
    error = caught.value
    assert error.message == (
        "made:1 wastes too much: its efficiency is 23.08%, at least 95.00% are wanted; it wastes 1 kB, at most 512 B are "
        "allowed; it wastes 333.33% of what the layers above the lowest hold, at most 10.00% are allowed\n"
        "  900B  2 copies           /a\n  100B  1 copy, removed    /b"
    )
    assert error.hint.startswith("%image layers made:1 shows which layer hides what")
    assert (error.wasted_bytes, round(error.efficiency, 2)) == (1000, 0.23)


@pytest.mark.parametrize(("text", "value"), [("95%", 0.95), ("0.95", 0.95), (1, 1.0), ("0", 0.0)])
def test_a_part(text: str | float, value: float) -> None:
    assert part(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["95", "-1", "x", "101%", "nan"])
def test_no_part(text: str) -> None:
    with pytest.raises(ValueError, match="is no part of a whole"):
        part(text)
