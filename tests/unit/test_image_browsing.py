"""Trees of files: grown, cut, drawn; and looked around in, a window of rows at a time."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from nbcontainers.image import filetree, growing, indexing
from nbcontainers.image.browsing import Browser, Wanted
from nbcontainers.image.merging import Entry, Merged


def entry(path: str, size: int = 0, change: str = "added", kind: str = "f", **more: Any) -> Entry:
    return Entry(path, kind, change, size, 0o644, 0, 0, "", 1)._replace(**more)


def planted(*entries: Entry) -> growing.Branch:
    return indexing.changed(entries)


def test_the_lines_of_a_tree() -> None:
    found = planted(
        entry("usr/lib/big", 3000), entry("usr/lib/small", 10, "changed"), entry("etc/one", 500, "removed"),
        entry("etc/two", 20, "attributes", mode=0o600, uid=7), entry("l", kind="l", link="usr/lib/big"),
    )  # fmt: skip
    assert list(filetree.drawn(found)) == [
        "  3.01kB   ├─ usr/lib/  +1 ~1",
        "     3kB + │  ├─ big",
        "     10B ~ │  └─ small  of layer 1",
        "     20B   ├─ etc/  @1 -1  -500B",
        "   -500B - │  ├─ one  of layer 1",
        "     20B @ │  └─ two  0600 7:0, of layer 1",
        "      0B + └─ l  → usr/lib/big",
    ]


def test_a_tree_is_cut_to_the_heaviest_and_the_others_are_counted() -> None:
    found = planted(*(entry(f"d{number}/f{number}", number) for number in range(100)))
    cut = growing.cut(found, 4)
    assert list(filetree.drawn(cut)) == [
        "     99B + ├─ d99/f99", "     98B + ├─ d98/f98", "  4.75kB   └─ … 98 more  +98",
    ]  # fmt: skip
    again = growing.load(growing.dump(cut))
    assert list(filetree.drawn(again)) == list(filetree.drawn(cut))
    assert list(filetree.drawn(growing.cut(again, 2)))[-1].split("… ")[1] == "99 more  +99"


def test_every_byte_and_file_of_a_cut_tree_is_still_counted() -> None:
    dice = random.Random(1)
    entries = [entry("/".join(dice.choices("abcdef", k=dice.randrange(2, 6))) + f"/{n}", n) for n in range(500)]
    for most in (1, 7, 60, 1000):
        cut = growing.cut(planted(*entries), most)
        assert (cut.held, sum(cut.counts)) == (sum(range(500)), 500)
        shown = sum(not branch.children and branch.kind == "f" for _, branch in growing._walk(cut))
        left = sum(sum(branch.left[3:]) for _, branch in growing._walk(cut) if branch.left)
        assert shown + left == 500


def test_files_are_counted_before_anybody_looks_at_them() -> None:
    noted: list[str] = []

    def note(one: Entry) -> str:
        noted.append(one.path)
        return ""

    entries = [
        entry(f"{folder}/{number}", number, change)
        for folder in "ab"
        for number, change in enumerate(["added", "removed", "changed"])
    ]
    found = growing.grow([*entries, entry("c")], lambda one: one, note)
    assert (found.held, found.gone, found.counts) == (4, 2, [3, 2, 0, 0, 2, 0])
    assert noted == []
    assert [one.name for one in found.children] == ["a", "b", "c"]
    assert noted == ["c"]
    assert [one.name for one in found.children[1].children] == ["2", "1", "0"]
    assert noted == ["c", "b/0", "b/1", "b/2"]


def test_a_file_in_the_place_of_a_folder_has_what_was_removed_below_it() -> None:
    found = planted(entry("a/x", 7, "removed"), entry("a", 3, "changed"))
    assert list(filetree.drawn(found)) == ["      3B ~ └─ a  of layer 1", "     -7B -    └─ x  of layer 1"]
    merged = Merged()
    merged.apply(1, [entry("a", kind="d"), entry("a/x", 7), entry("b", kind="d"), entry("l", 5)])
    assert list(filetree.drawn(indexing.seen(merged))) == [
        "      7B   ├─ a/x  layer 1", "      5B   ├─ l  layer 1", "      0B   └─ b/",
    ]  # fmt: skip


def test_a_very_deep_tree_is_one_line() -> None:
    path = "/".join("d" * 2000)
    cut = growing.cut(planted(entry(f"{path}/f", 5)), 5000)
    lines = list(filetree.drawn(growing.load(growing.dump(cut))))
    assert len(lines) == 1
    assert len(lines[0]) < 250
    assert "…" in lines[0]


def test_names_are_no_markup_and_drive_no_terminal() -> None:
    found = planted(entry("<img src=x>\x1b[2J", 5, link="</pre>", kind="l"))
    assert "<img" not in filetree.pre(found)
    assert "</pre></pre>" not in filetree.pre(found)
    assert "\x1b" not in "".join(filetree.drawn(found)) + filetree.pre(found)


# What somebody looks around in.


class Here:
    """Layers whose entries are in memory."""

    def __init__(self, *contents: list[Entry]) -> None:
        self.contents = contents

    def entries(self, number: int) -> list[Entry]:
        return self.contents[number - 1]


@pytest.fixture
def browser() -> Browser:
    wide = [entry(f"many/f{number:05}", number % 90) for number in range(5000)]
    first = [entry("usr/lib/deep/only", 5000), entry("etc/a", 10), entry("etc/b", 20), *wide]
    second = [entry("etc/a", 10, "attributes", first=1), entry("etc/b", 20, "removed"), entry("new", 1)]
    return Browser(Here(first, second))  # type: ignore[arg-type]


def shown(
    browser: Browser, wanted: Wanted, *opened: str, start: int = 0, count: int = 50
) -> list[tuple[int, str, str]]:
    """Depth, path and change of the rows."""
    found = browser.rows(wanted, opened, start, count)
    return [(depth, path, change) for depth, path, _, _, change, *_ in found["rows"]]


def test_folders_are_opened_one_by_one(browser: Browser) -> None:
    assert shown(browser, Wanted(1)) == [(0, "/many", ""), (0, "/usr/lib/deep", ""), (0, "/etc", "")]
    assert shown(browser, Wanted(1), "/etc", "/usr/lib/deep") == [
        (0, "/many", ""), (0, "/usr/lib/deep", ""), (1, "/usr/lib/deep/only", "added"), (0, "/etc", ""),
        (1, "/etc/b", "added"), (1, "/etc/a", "added"),
    ]  # fmt: skip
    assert shown(browser, Wanted(1, sort="name")) == [(0, "/etc", ""), (0, "/many", ""), (0, "/usr/lib/deep", "")]


def test_a_window_of_many_rows(browser: Browser) -> None:
    found = browser.rows(Wanted(1, sort="name"), {"/many"}, 4000, 3)
    assert (found["total"], found["start"]) == (5003, 4000)
    assert [row[1] for row in found["rows"]] == [f"/many/f{number:05}" for number in (3998, 3999, 4000)]
    everything = browser.rows(Wanted(1), {"/many"}, 0, 10**6)
    assert len(everything["rows"]) < 5003
    assert len(json.dumps(everything)) < 100_000


def test_a_layer_on_those_below_it(browser: Browser) -> None:
    assert shown(browser, Wanted(2), "/etc") == [
        (0, "/etc", ""),
        (1, "/etc/b", "removed"),
        (1, "/etc/a", "attributes"),
        (0, "/new", "added"),
    ]
    together = browser.rows(Wanted(2, "together"), {"/etc"}, 0, 50)
    assert [row[1] for row in together["rows"]] == ["/many", "/usr/lib/deep", "/etc", "/etc/b", "/etc/a", "/new"]
    assert together["files"] == 5004


def test_only_some_changes_and_a_part_of_the_path(browser: Browser) -> None:
    assert shown(browser, Wanted(2, shown=("removed",)), "/etc") == [(0, "/etc", ""), (1, "/etc/b", "removed")]
    found = browser.rows(Wanted(1, path="F0499"), (), 0, 50)
    assert (found["files"], len(found["rows"])) == (10, 11)
    assert shown(browser, Wanted(1, path="no such path")) == []
    assert shown(browser, Wanted(2, "together", ("unchanged",))) == [(0, "/many", ""), (0, "/usr/lib/deep", "")]


def test_the_bytes_of_a_pruned_tree_are_those_of_what_is_left(browser: Browser) -> None:
    whole = browser.rows(Wanted(1), (), 0, 9)
    part = browser.rows(Wanted(1, path="/etc"), (), 0, 9)
    assert (part["held"], part["files"]) == (30, 2)
    assert whole["held"] - part["held"] == browser.rows(Wanted(1, path="/many"), (), 0, 9)["held"] + 5000
