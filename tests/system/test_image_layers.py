"""`image layers` of real images, compared with Python's tarfile and umoci; what is kept of it; its check and its faces."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers import view
from nbcontainers.container import api as containers
from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument, NotFound, Wasteful
from nbcontainers.image import api, indexing, layerview, layout, snapshot, store, unread, work
from nbcontainers.launcher import client
from nbcontainers.table import amount, digest, stored
from tests import tarballs as t

Run = Callable[..., subprocess.CompletedProcess[str]]
NAME = "local/layered:1"
LAYERS = [
    t.archive(
        t.folder("usr"), t.folder("usr/lib"), t.file("usr/lib/big.so", b"b" * 300_000, mode=0o755), t.folder("etc"),
        t.file("etc/one", b"1" * 1000), t.file("etc/two", b"2" * 50, uid=7, gid=8), t.folder("var"), t.folder("var/cache"),
        *(t.file(f"var/cache/p{number}", b"x" * 1000 * number) for number in range(4)), t.symlink("usr/lib/l", "big.so"),
        t.hardlink("usr/lib/same", "usr/lib/big.so"), t.folder("opt"), t.file("opt/a", b"a" * 10), t.file("opt/b", b"b" * 20),
    ),
    t.archive(
        t.file("etc/one", b"1" * 1000, mode=0o600), t.file("etc/.wh.two"), t.folder("var"), t.file("var/.wh.cache"),
        t.file("usr/lib/new", b"n" * 5), t.file("opt/.wh..wh..opq"), t.file("opt/b", b"b" * 20), t.file("opt/c", b"c" * 30),
    ),
    t.archive(t.file("usr/lib/new", b"m" * 7), t.file("a<b>&\xff", b"?"), t.file("usr/lib/.wh.l")),
]  # fmt: skip


@pytest.fixture
def here(fresh_engine: Engine, nobody: Path, tmp_path: Path) -> Engine:
    api.load(str(t.docker_archive(tmp_path / "image.tar", LAYERS, NAME)))
    return fresh_engine


class Simulated:
    """Layers by Python's tarfile and a dict: what is seen, stored, wasted, and each layer's changes of files."""

    def __init__(self, layers: list[bytes]) -> None:
        self.seen: dict[str, tuple[int, bytes, tuple[int, int, int]]] = {}
        self.stored = 0
        self.changes: list[dict[str, str]] = []
        for content in layers:
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                self.changes.append(self.one(tar))

    def one(self, tar: tarfile.TarFile) -> dict[str, str]:
        before, found, names = dict(self.seen), {}, tar.getmembers()
        for member in names:
            folder, _, name = member.name.rpartition("/")
            gone = (
                folder
                if name == ".wh..wh..opq"
                else f"{folder}/{name[4:]}".lstrip("/")
                if name.startswith(".wh.")
                else ""
            )
            for path in [path for path in self.seen if gone and (path == gone or path.startswith(f"{gone}/"))]:
                del self.seen[path]
                found[path] = "removed"
        for member in names:
            if member.isdir() or ".wh." in member.name:
                continue
            data = (tar.extractfile(member) or io.BytesIO()).read() if member.isreg() else member.linkname.encode()
            size = member.size if member.isreg() else 0
            self.stored += size
            now = self.seen[member.name] = size, data, (member.mode, member.uid, member.gid)
            old = before.get(member.name)
            found[member.name] = (
                "added"
                if old is None
                else "changed"
                if old[1] != now[1]
                else "again"
                if old[2] == now[2]
                else "attributes"
            )
        return found

    @property
    def wasted(self) -> int:
        return self.stored - sum(size for size, _, _ in self.seen.values())


def test_the_numbers_are_those_of_tarfile(here: Engine) -> None:
    found, other = api.layers(NAME), Simulated(LAYERS)
    assert (found.stored, found.wasted) == (other.stored, other.wasted)
    assert found.efficiency == pytest.approx(1 - other.wasted / other.stored)
    files = found.files()
    for number, changes in enumerate(other.changes, 1):
        ours = files[(files["layer"] == number) & (files["kind"] != "folder")]
        assert dict(zip(ours["path"], ours["change"], strict=True)) == {
            f"/{path}": how for path, how in changes.items()
        }
    assert {entry.path for entry, _ in found.merged().entries() if entry.kind != "d"} == set(other.seen)


def test_every_path_is_a_row(here: Engine) -> None:
    found = api.layers(NAME)
    files = found.files(2).set_index("path")
    assert dict(files.loc["/etc/one", ["change", "size", "mode", "layer", "first"]]) == {
        "change": "attributes", "size": 1000, "mode": 0o600, "layer": 2, "first": 1,
    }  # fmt: skip
    assert dict(files.loc["/var/cache", ["change", "kind", "first"]]) == {
        "change": "removed",
        "kind": "folder",
        "first": 1,
    }
    first = found.files(1).set_index("path")
    assert dict(first.loc["/usr/lib/same", ["link", "size", "kind"]]) == {
        "link": "/usr/lib/big.so",
        "size": 0,
        "kind": "file",
    }
    assert first.loc["/usr/lib/l", "link"] == "big.so"
    frame = found.to_pandas()
    assert frame["size"].sum() == found.stored == frame["total"].iloc[-1]
    assert frame[["added", "changed", "attributes", "again", "removed"]].to_numpy().tolist() == [
        [11, 0, 0, 0, 0], [2, 0, 1, 1, 6], [1, 1, 0, 0, 1],
    ]  # fmt: skip


def test_owners_are_those_of_the_image(here: Engine) -> None:
    """Where a user has no subordinate ids, all files are root's."""
    row = api.layers(NAME).files(1).set_index("path").loc["/etc/two"]
    place = str(_folder(here, NAME, 0) / "fs/etc/two")
    shown = client.call("tests.system.launcher_targets:output", command=["stat", "-c", "%u %g", place])
    assert f"{row['uid']} {row['gid']}" == shown.strip()


@pytest.mark.as_root
def test_umoci_unpacks_what_is_seen(here: Engine, peer: Callable[[str], str], tmp_path: Path) -> None:
    command = [
        peer("umoci"),
        "raw",
        "unpack",
        "--image",
        f"{here.images}:{api.layers(NAME).image.reference}",
        str(tmp_path / "x"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = {
        os.fsdecode(os.path.relpath(os.fsencode(path), os.fsencode(tmp_path / "x"))): path.lstat()
        for path in (tmp_path / "x").rglob("*")
    }
    ours = {entry.path: entry for entry, _ in api.layers(NAME).merged().entries()}
    assert set(ours) == set(theirs)
    for path, entry in ours.items():
        status = theirs[path]
        assert (entry.mode, entry.uid, entry.gid) == (status.st_mode & 0o7777, status.st_uid, status.st_gid), path
        assert entry.size in (0, status.st_size)


def test_mini(engine: Engine) -> None:
    found = api.layers("mini")
    assert found.wasted == 0
    assert found.efficiency == 1
    assert found.stored == found.image.size
    files = found.files()
    assert set(files["change"]) == {"added"}
    assert found.whole["seen"] == (files["kind"] != "folder").sum()
    assert re.search(r"  busybox|─ busybox  layer 2", found.tree().text())


def test_the_second_look_reads_nothing(here: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = api.layers(NAME).text()

    def refuse(*words: Any, **more: Any) -> None:
        pytest.fail("asked the launcher again")

    monkeypatch.setattr(work, "call", refuse)
    begun = time.perf_counter()
    found = api.layers(NAME)
    found.text(), found.html()
    took = time.perf_counter() - begun
    assert found.text() == before
    assert took < 0.3


def test_a_layer_that_two_images_share_is_read_once(here: Engine, tmp_path: Path) -> None:
    api.layers(NAME)
    kept = _folder(here, NAME, 0) / "files.z"
    written = kept.stat().st_mtime_ns
    api.load(
        str(t.docker_archive(tmp_path / "other.tar", [*LAYERS[:2], t.archive(t.file("z", b"z"))], "local/other:1"))
    )
    found = api.layers("local/other:1")
    assert kept.stat().st_mtime_ns == written
    assert [len(one.images) for one in found.layers] == [2, 2, 1]
    assert found.layers[0].shared == "2 images"
    assert api.layers(NAME).layers[2].shared == ""


def _folder(engine: Engine, name: str, number: int) -> Path:
    return snapshot.path(engine.snapshots, api.layers(name).layers[number].chain).parent


@pytest.mark.parametrize("damage", ["files.z", "summary.json", "image.json"])
def test_what_is_damaged_is_made_again(here: Engine, damage: str) -> None:
    before = api.layers(NAME)
    (_folder(here, NAME, 2) / damage).write_bytes(b"?")
    if damage == "files.z":  # not read for a first look
        with pytest.raises(ImageError, match="what was kept of a layer's files is damaged"):
            before.files()
    assert api.layers(NAME).text() == before.text()
    assert len(api.layers(NAME).files()) == len(before.files()) > 20


def test_layers_that_are_not_unpacked_are_unpacked(here: Engine) -> None:
    before = api.layers(NAME).text()
    work.discard([path for path in here.snapshots.iterdir() if path.name != "l"])
    assert api.layers(NAME).text() == before


def test_what_is_kept_goes_with_the_image(here: Engine) -> None:
    found = api.layers(NAME)
    assert list(here.snapshots.glob("*/files.z"))
    api.rm(NAME)
    assert list(here.snapshots.glob("*/files.z")) == []
    with pytest.raises(NotFound, match="no image"):
        found.files()


def test_layers_on_the_host_s_own_folders(engine: Engine) -> None:
    with containers.run("host", "sh", "-c", "echo hello > /etc/greeting; rm /etc/passwd", rm=False) as made:
        image = containers.commit(made, "local/on-host:1")
    try:
        found = api.layers("local/on-host:1")
        rows = found.files().set_index("path")
        assert dict(rows.loc["/etc/greeting", ["change", "size", "first"]]) == {
            "change": "added",
            "size": 6,
            "first": 1,
        }
        assert dict(rows.loc["/etc/passwd", ["change", "first"]]) == {"change": "removed", "first": 0}
        assert found.wasted == 0
        assert "on this machine's own folders" in found.text()
    finally:
        api.rm(str(image), force=True)


def test_host_has_no_layers(engine: Engine) -> None:
    found = api.layers("host")
    assert len(found) == 0
    assert "no layers: this machine's own folders" in found.text()
    assert "no layers" in found.html()
    assert found.files().empty
    with pytest.raises(InvalidArgument, match="has no layers that could be checked"):
        api.layers("host", lowest_efficiency=0.9)


def test_a_check_on_the_command_line(here: Engine, cli: Run) -> None:
    good = cli("image", "layers", "--highest-wasted-bytes", "1m", "--format", "json", NAME)
    assert good.returncode == 0, good.stderr
    document = json.loads(good.stdout)
    assert document["wasted"] == Simulated(LAYERS).wasted
    assert document["layers"][1]["removed"] == 6
    bad = cli("image", "layers", "--lowest-efficiency", "99.9%", NAME)
    assert bad.returncode == 1
    assert bad.stdout == ""
    assert "local/layered:1 wastes too much: its efficiency is 97." in bad.stderr
    assert "hint: nbcontainers image layers local/layered:1 shows which layer hides what" in bad.stderr


def test_a_check_in_python(here: Engine) -> None:
    with pytest.raises(Wasteful) as caught:
        api.layers(NAME, highest_wasted_bytes=100, highest_wasted_percent="1%")
    assert caught.value.wasted_bytes == Simulated(LAYERS).wasted


def test_how_far_it_is_is_told_only_where_it_takes_long(here: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[dict[str, Any]] = []
    api.layers(NAME, on_read=events.append)
    assert events == []
    for path in here.snapshots.glob("*/summary.json"):
        path.unlink()
    monkeypatch.setattr(indexing, "_PATIENCE_S", -1)
    api.layers(NAME, on_read=events.append)
    assert [event["event"] for event in events] == ["image", "layer", "layer", "layer", "done"]
    assert [event["state"] for event in events[1:4]] == ["done"] * 3


class Looked:
    """A cell that somebody looks at: what it is shown, one after the other. Files are read once the first was."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.first = threading.Event()

    def wanted(self) -> bool:
        return True

    def __call__(self, now: dict[str, Any], later: Iterator[dict[str, Any]]) -> None:
        self.shown.append(now)
        self.first.set()
        self.shown += later


@pytest.fixture
def looked(here: Engine, monkeypatch: pytest.MonkeyPatch) -> Looked:
    """Of layers that nobody has looked at, in a cell that does not wait."""
    found, read = Looked(), layerview.read
    monkeypatch.setattr(layerview, "read", lambda image, told=None: found.first.wait(30) and read(image, told))
    monkeypatch.setattr(view, "follow", found)
    monkeypatch.setattr(unread, "_PATIENCE_S", 0)
    return found


def test_the_layers_are_shown_at_once_and_their_files_follow(here: Engine, looked: Looked) -> None:
    found = api.layers(NAME)
    assert isinstance(found, unread.Unread)
    found._ipython_display_()
    first, last = looked.shown
    sizes = [one.size for one in found.layers]
    assert f"local/layered:1 {found.image.id[7:19]} · {amount(sum(sizes), stored)} in 3 layers" in first["text/plain"]
    for one in found.layers:
        assert digest(one.row["digest"]) in first["text/plain"]
        assert stored(one.size) in first["text/plain"]
        assert digest(one.row["digest"]) in first["text/html"]
    for words in ("were not read yet", "image layers local/layered:1 shows it too"):
        assert words in first["text/plain"]
        assert words in first["text/html"]
    assert "efficiency" not in first["text/plain"]
    assert last == view.bundle(found, lambda: found)
    assert last["text/plain"] == found.text() == layerview.of(found.image).text()
    with pytest.raises(NotImplementedError):
        found._ipython_display_()  # it is there


def test_layers_that_are_not_unpacked_are_shown_by_what_travelled(here: Engine, looked: Looked) -> None:
    work.discard([path for path in here.snapshots.iterdir() if path.name != "l"])
    found = api.layers(NAME)
    assert isinstance(found, unread.Unread)
    found._ipython_display_()
    first, last = looked.shown
    assert f" {amount(found.image.content_size, stored)} packed in 3 layers" in first["text/plain"]
    assert first["text/plain"].count("?") == 6
    assert "efficiency" in last["text/plain"]


def test_how_long_it_takes_is_said_meanwhile(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "_EVERY_S", 0.01)
    found = api.layers(NAME)
    assert isinstance(found, unread.Unread)
    later = found._later()
    assert "were not read yet after 0 s: what each" in next(later)["text/plain"]
    looked.first.set()
    assert "efficiency" in [*later][-1]["text/plain"]


def test_what_cannot_be_read_is_said_in_the_end(here: Engine, looked: Looked) -> None:
    work.discard([path for path in here.snapshots.iterdir() if path.name != "l"])
    blob = layout.blob(here, store.resolve(here, NAME).layers[1]["digest"])
    blob.write_bytes(b"?" + blob.read_bytes()[1:])
    found = api.layers(NAME)
    assert isinstance(found, unread.Unread)
    found._ipython_display_()
    assert "its files could not be read: " in looked.shown[-1]["text/plain"]
    with pytest.raises(ImageError):
        found.files()


def test_where_nobody_looks_and_where_it_is_kept_nothing_follows(
    here: Engine, looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked.first.set()
    monkeypatch.setattr(unread, "_PATIENCE_S", 30)
    assert type(api.layers(NAME)) is layerview.Layers
    monkeypatch.setattr(Looked, "wanted", lambda self: False)
    monkeypatch.setattr(unread, "_PATIENCE_S", 0)
    assert type(api.layers(NAME)) is layerview.Layers
    assert type(api.layers("host")) is layerview.Layers


@pytest.mark.slow
def test_sixty_thousand_files(fresh_engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"usr/share/{number % 600}/{number % 7}/a-rather-long-name-of-a-file-{number}" for number in range(60_000)]
    layers = [
        t.archive(*(t.file(name, b"x" * (number % 100)) for number, name in enumerate(names))),
        t.archive(*(t.file(f"usr/share/{number}/.wh.3") for number in range(0, 600, 2))),
    ]
    api.load(str(t.docker_archive(tmp_path / "large.tar", layers, "local/large:1")))
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        found = api.layers("local/large:1")
        text, html = found.text(), found.html()
        times.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    assert len(found.files(1)) > 60_000
    times.append(time.perf_counter() - begun)
    with capsys.disabled():
        print(f"\n60,000 files: first look {times[0]:.2f} s, later {times[1] * 1000:.0f} ms, .files() {times[2]:.2f} s")
    assert len(html) < 300_000
    assert len(text) < 30_000
    assert "… " in text
