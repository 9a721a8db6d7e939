"""`container overlay`: what it says of a container's folders is what the kernel mounted, and its changes are those of
`container diff`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbcontainers.container import api
from nbcontainers.container.container import Container
from nbcontainers.errors import NotFound
from nbcontainers.image import api as images
from tests.crafted import Images, entry, folder, link

SCRIPT = """
echo soup > /new; echo more >> /changed; chmod 600 /mode; rm /gone; rm -r /tree; ln -s /new /link; touch /times
rm -r /replaced; mkdir /replaced; echo x > /replaced/inside; mkdir -p /a/b; echo y > /a/b/c
"""


@pytest.fixture(scope="module")
def image(crafted: Images) -> str:
    return crafted(
        entry("changed", b"1\n"), entry("mode", b"12345"), entry("gone", b"x" * 1000), entry("times", b"t"),
        folder("tree"), entry("tree/a", b"1"), entry("tree/b", b"22"), folder("replaced"), entry("replaced/old", b"o"),
        link("untouched", "/new"),
    )  # fmt: skip


@pytest.fixture
def made(image: str, tmp_path: Path) -> Iterator[Container]:
    container = api.run(image, "sh", "-c", SCRIPT, rm=False, volume=[f"{tmp_path}:/outside:ro"], tmpfs=["/scratch"])
    yield container
    api.rm(container, force=True)


def test_what_changed(made: Container) -> None:
    rows = api.overlay(made).to_pandas().set_index("path")
    found = {path: tuple(row) for path, row in rows[["change", "size", "before", "files", "form"]].iterrows()}
    assert found == {
        "/new": ("added", 5, 0, 1, ""), "/changed": ("changed", 7, 2, 1, ""), "/mode": ("attributes", 5, 5, 1, ""),
        "/gone": ("removed", 1000, 1000, 1, "whiteout"), "/tree": ("removed", 3, 3, 2, "whiteout"),
        "/link": ("added", 0, 0, 1, ""), "/times": ("attributes", 1, 1, 1, ""), "/replaced": ("changed", 0, 0, 1, "opaque"),
        "/replaced/old": ("removed", 1, 1, 1, "hidden"), "/replaced/inside": ("added", 2, 0, 1, ""),
        "/a": ("added", 0, 0, 1, ""), "/a/b": ("added", 0, 0, 1, ""), "/a/b/c": ("added", 2, 0, 1, ""),
    }  # fmt: skip
    assert rows.loc["/link", "link"] == "/new"
    assert rows.loc["/mode", "mode"] == 0o600
    assert rows.loc["/gone", "layer"] == 2


def test_it_says_what_diff_says(made: Container) -> None:
    letters = {"added": "A", "changed": "C", "attributes": "C", "removed": "D"}
    rows = api.overlay(made).to_pandas()
    ours = {path: letters[change] for path, change in zip(rows["path"], rows["change"], strict=True)}
    theirs = {row["path"]: row["kind"] for row in api.diff(made)}
    assert ours.items() <= theirs.items()
    assert {path: kind for path, kind in theirs.items() if path not in ours} == {}


def test_the_view(made: Container, tmp_path: Path) -> None:
    seen = api.overlay(made)
    text = seen.text()
    assert f"{made.name} {made.id[:12]}" in text
    assert "+4 ~1 @2 -4" in text.splitlines()[0]
    for words in ("upper", "lower 2", "lower 1", "work", "mounted over  /outside", f"bind {tmp_path}, read only",
                  "not mounted while it does not run", "a whiteout: character device 0:0", "opaque: hides the folder below",
                  "not in the opaque folder", "→ /new", "was 2 B"):  # fmt: skip
        assert words in text, words
    html = seen.html()
    for words in ("upper", "lower 2", "a whiteout: character device 0:0", "/outside"):
        assert words in html
    assert "<script" not in html


def test_the_folders_are_those_of_the_mount(image: str) -> None:
    with api.run(image, "sleep", "60", detach=True) as container:
        seen = api.overlay(container)
        assert f"/proc/{container.pid}/root" in seen.text()
        (mount,) = [
            line
            for line in _mountinfo(container.pid or 0)
            if line.split(" - ")[0].split()[4] == "/" and "overlay" in line
        ]
        folders = seen.layers()
        options = dict(one.partition("=")[::2] for one in mount.split()[-1].split(","))
        lowers = folders[folders["role"] == "lower"]
        assert [Path(path).parts[-2:] for path in lowers["path"]] == [
            Path(path).parts[-2:] for path in options["lowerdir"].split(":")
        ]
        assert options["upperdir"] == folders[folders["role"] == "upper"]["path"].item()
        assert options["workdir"] == folders[folders["role"] == "work"]["path"].item()
        assert lowers["digest"].tolist() == [layer["digest"] for layer in reversed(images.inspect(image)[0]["Layers"])]
    with pytest.raises(NotFound):
        api.overlay(container.id)


def _mountinfo(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/mountinfo").read_text().splitlines()


def test_nothing_changed(image: str) -> None:
    with api.run(image, "true", rm=False) as container:
        seen = api.overlay(container)
        assert seen.to_pandas().empty
        assert "no file changed" in seen.text()
        assert "\nchanged\n" not in seen.text()


def test_an_image_that_is_gone(crafted: Images, tmp_path: Path) -> None:
    name = crafted(entry("file", b"1"), name=f"gone-{os.getpid()}:latest")
    with api.run(name, "true", rm=False) as container:
        images.rm(name, force=True)
        assert "layer of an image that is gone" in api.overlay(container).text()


def test_on_the_host_s_own_folders(engine: object) -> None:
    with api.run("host", "sh", "-c", "echo x > /etc/new; rm /etc/passwd; echo y > /top", rm=False) as container:
        seen = api.overlay(container)
        assert {part.name for part in seen.parts} >= {"", "etc", "usr"}
        rows = seen.to_pandas().set_index("path")
        assert rows.loc[["/etc/new", "/etc/passwd", "/top"], "change"].tolist() == ["added", "removed", "added"]
        assert rows.loc["/etc/passwd", "form"] == "whiteout"
        assert "/etc of the container" in seen.text()
        assert "<details" in seen.html()


def test_as_json(made: Container, cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = cli("container", "overlay", "--format", "json", made.name)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {one["path"] for one in document["changes"]} >= {"/new", "/gone"}
    assert [one["role"] for one in document["folders"]] == ["merged", "upper", "lower", "lower", "work"]
    assert [one["destination"] for one in document["mounts"]] == ["/outside", "/scratch"]
