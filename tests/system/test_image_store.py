"""What is listed, counted and pruned; and a store whose disk is full at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.image import api, layout, lease, rootfs, store
from nbcontainers.image.usage import Usage
from nbcontainers.launcher import client
from tests import tarballs as t

BASE = t.archive(t.file("base", b"b" * 50_000))


def load(engine: Engine, folder: Path, name: str, *layers: bytes, **config: Any) -> Any:
    """An image of layers made by hand, loaded; `config` has created, Labels, …"""
    document = {
        "os": "linux", "architecture": "amd64", "created": config.pop("created", "2020-01-01T00:00:00Z"),
        "config": {"Cmd": ["true"], **config},
        "rootfs": {"type": "layers", "diff_ids": [t.sha256(layer) for layer in layers]},
        "history": [{"created_by": f"step {n}"} for n, _ in enumerate(layers)],
    }  # fmt: skip
    names = [name] if name else []
    (image,) = api.load(str(t.docker_archive(folder / "a.tar", list(layers), *names, config=document)))
    return image


@pytest.fixture
def three(fresh_engine: Engine, tmp_path: Path) -> Engine:
    """Two images that share a layer, and one without a name."""
    load(fresh_engine, tmp_path, "one:1", BASE, t.archive(t.file("one", b"1" * 3000)), Labels={"a": "1"})
    load(fresh_engine, tmp_path, "two:1", BASE, t.archive(t.file("two", b"2" * 7000)), created="2024-06-01T00:00:00Z")
    load(
        fresh_engine,
        tmp_path,
        "",
        t.archive(t.file("none", b"0" * 2000)),
        created="2022-01-01T00:00:00Z",
        Labels={"b": "x"},
    )
    return fresh_engine


def names(table: Any) -> list[str]:
    return [row["reference"].removeprefix("docker.io/library/") for row in table]


def blobs(engine: Engine) -> int:
    return sum(path.stat().st_size for path in (engine.images / "blobs").glob("*/*"))


# Lists.


def test_filters(three: Engine) -> None:
    for filters, found in (
        (["dangling=true"], [""]),
        (["dangling=false"], ["one:1", "two:1"]),
        (["label=a"], ["one:1"]),
        (["label=a=1"], ["one:1"]),
        (["label=a=2"], []),
        (["before=two:1"], ["one:1"]),
        (["since=one:1"], ["two:1"]),
        (["reference=o*"], ["one:1"]),
        (["reference=*:1"], ["one:1", "two:1"]),
        (["reference=docker.io/library/two"], ["two:1"]),
        (["reference=*:1", "label=a"], ["one:1"]),
    ):
        listed = names(api.ls(filter=filters))
        assert [name for name in listed if "host" not in name] == found, filters
    for text, error in (
        ("size=1", InvalidArgument), ("dangling=maybe", InvalidArgument), ("before=absent", NotFound),
        ("label", InvalidArgument),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            api.ls(filter=text)
        assert caught.value.hint


def test_columns(three: Engine) -> None:
    image = store.resolve(three, "one:1")
    assert "DIGEST" in repr(api.ls(digests=True))
    assert image.id in repr(api.ls(no_trunc=True))
    assert image.id not in repr(api.ls())
    shown = repr(api.history("one:1")).splitlines()
    assert shown[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert [line.split()[0] for line in shown[1:]] == [image.id[7:19], "<missing>"]
    assert [row["size"] for row in api.history("one:1")] == [3000, 50_000]


def test_what_a_name_meant_before(three: Engine) -> None:
    one, two = (store.resolve(three, name).digest for name in ("one:1", "two:1"))
    api.tag("two:1", "docker.io/library/one:1")
    rows = api.history("one:1", moved=True)
    assert [(row["digest"], row["why"], row["current"], row["here"]) for row in rows] == [
        (two, "tag", True, True), (one, "load", False, True),
    ]  # fmt: skip
    assert api.inspect("one:1")[0]["NameHistory"]["docker.io/library/one:1"] == list(rows)
    api.rm(store.resolve(three, one).id)
    assert [row["here"] for row in api.history("one:1", moved=True)] == [True, False]
    api.rm("one:1")
    api.tag("two:1", "docker.io/library/one:1")
    assert len(api.history("one:1", moved=True)) == 1


# Room.


def test_df_adds_up(three: Engine) -> None:
    rows = {row["reference"]: row for row in api.df()}
    one = rows["docker.io/library/one:1"]
    assert (one["size"], one["containers"]) == (53_000, 0)
    for row in rows.values():
        assert row["size"] + row["content_size"] == row["shared"] + row["unique"]
    shared = 50_000 + len(BASE)
    assert one["shared"] == rows["docker.io/library/two:1"]["shared"] == shared
    assert rows[""]["shared"] == 0
    assert sum(row["unique"] for row in rows.values()) + shared == Usage(three).total
    layers = {row["digest"]: row for row in api.df(layers=True)}
    assert (layers[t.sha256(BASE)]["images"], layers[t.sha256(BASE)]["used_by"]) == (2, ["one:1", "two:1"])


def test_removing_gives_back_what_df_says(three: Engine) -> None:
    unique = {row["reference"]: row["unique"] for row in api.df()}
    before = Usage(three).total
    api.rm("one:1")
    assert before - Usage(three).total == unique["docker.io/library/one:1"]


def test_system_df(three: Engine, tmp_path: Path) -> None:
    container = nbcontainers.container.create("mini", "true", volume=["kept:/v", "/anonymous"])
    nbcontainers.container.create("mini", "true", volume=["gone:/v"]).rm()
    rows = {row["type"]: row for row in nbcontainers.system.df()}
    assert (rows["images"]["total"], rows["images"]["active"]) == (4, 1)
    assert (rows["volumes"]["total"], rows["volumes"]["active"]) == (3, 2)
    usage = Usage(three)
    mini = usage.parts[store.resolve(three, "mini").digest]
    assert rows["images"]["size"] - rows["images"]["reclaimable"] == usage.size(mini)
    container.rm(volumes=True)
    assert {row["type"]: row["active"] for row in nbcontainers.system.df()} == {
        "images": 0,
        "builds": 0,
        "containers": 0,
        "volumes": 0,
    }


# Prune.


def test_prune_takes_what_has_no_name(three: Engine) -> None:
    before, planned = Usage(three).total, api.prune(dry_run=True)
    assert Usage(three).total == before
    done = api.prune()
    assert done == planned
    assert [(row["reference"], row["bytes"]) for row in done] == [("<none>", before - Usage(three).total)]
    assert names(api.ls(all_=True))[:2] == ["one:1", "two:1"]
    assert list(api.prune()) == []


def test_prune_all_takes_what_no_container_needs(three: Engine) -> None:
    container = nbcontainers.container.create("mini", "true")
    before = Usage(three).total
    rows = api.prune(all_=True)
    assert sum(row["bytes"] for row in rows) == before - Usage(three).total
    assert sorted(row["reference"] for row in rows) == ["<none>", "docker.io/library/one:1", "docker.io/library/two:1"]
    assert [row["reference"] for row in api.df()] == ["localhost/mini:latest"]
    assert container.start(attach=True).exit_code == 0
    container.rm()
    api.prune(all_=True)
    assert blobs(three) == 0
    assert not [path for path in three.snapshots.iterdir() if path.name != "l"]


def test_prune_filters(three: Engine) -> None:
    everything = {"one:1", "two:1", "<none>"}
    for filters, left in (
        (["until=2021-01-01"], {"two:1", "<none>"}),
        (["until=1640995200"], {"two:1", "<none>"}),
        (["until=24h"], set()),
        (["until=2000-01-01"], everything),
        (["label=a"], {"two:1", "<none>"}),
        (["label=b=y"], everything),
        (["label!=a"], {"one:1"}),
        (["label!=a", "until=2023-01-01"], {"one:1", "two:1"}),
    ):
        rows = api.prune(all_=True, filter=filters, dry_run=True)
        assert everything - {*names(rows)} == left, filters
    for text in ("until=soon", "until=", "label", "name=x", "dangling=true"):
        with pytest.raises(InvalidArgument) as caught:
            api.prune(filter=text)
        assert caught.value.hint
    api.prune(all_=True, filter="label=a")
    assert names(api.ls(all_=True))[0] == "two:1"


def test_prune_leaves_what_somebody_is_about_to_use(three: Engine, tmp_path: Path) -> None:
    """An image that was claimed, and one that came, while a lease is held; older ones go."""
    for path in (*three.images.glob("blobs/*/*"), *three.snapshots.iterdir()):
        os.utime(path, (time.time() - 100,) * 2)
    with layout.adding(three):
        rootfs.layers(three, store.resolve(three, "two:1"))
        load(three, tmp_path, "new:1", t.archive(t.file("new")))
        api.prune(all_=True)
        assert names(api.ls(all_=True)) == ["new:1", "two:1", "localhost/host:latest", "localhost/mini:latest"]
        api.verify("two:1", "new:1")
    api.prune(all_=True)
    assert blobs(three) == 0


def test_prune_beside_work_that_never_ends(three: Engine, tmp_path: Path) -> None:
    """Loads one after another, never a moment without a lease: removed images go all the same."""
    ended, errors = threading.Event(), []

    def work() -> None:
        number = 0
        while not ended.is_set():
            try:
                with lease.adding(three):
                    layer = t.archive(t.file(f"f{number}", os.urandom(1000)))
                    (tmp_path / f"w{number}").mkdir()
                    load(three, tmp_path / f"w{number}", f"work:{number % 2}", BASE, layer)
            except Exception as error:
                errors.append(error)
            number += 1

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    digest = store.resolve(three, "one:1").layers[-1]["digest"]
    api.rm("one:1")
    deadline = time.monotonic() + 10
    while layout.blob(three, digest).exists() and time.monotonic() < deadline:
        api.prune(all_=True)
        time.sleep(0.02)
    ended.set()
    thread.join()
    assert errors == []
    assert not layout.blob(three, digest).exists()
    api.verify()


# A disk without room.

_FULL = """
import os, subprocess, sys
disk, archive, tar = sys.argv[1:4]
os.environ["NBCONTAINERS_ROOT"], os.environ["NBCONTAINERS_RUN"] = disk + "/root", disk + "/run"
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "small", disk], check=True)
from nbcontainers.errors import Error, of_the_host
from nbcontainers.engine import default_engine
from nbcontainers.image import api
from nbcontainers.table import Table
engine = default_engine()
api.load(archive, engine=engine)
api.tag("full:1", "kept:1")
api.rm("full:1")

def picture():
    return {str(path): path.stat().st_size for top in (engine.images, engine.snapshots, engine.root / "partial", engine.root / "leases")
            for path in top.rglob("*") if not path.name.endswith(".lock")}

before, done, refused = picture(), 0, 0
usage = os.statvfs(disk)
used, inodes = (usage.f_blocks - usage.f_bfree) * usage.f_frsize // 1024, usage.f_files - usage.f_ffree
steps = [f"size={used + kilobytes}k,nr_inodes=100000" for kilobytes in range(0, 1800, 120)]
steps += [f"size=40m,nr_inodes={inodes + count}" for count in range(0, 240, 24)]
for words in steps:
    subprocess.run(["mount", "-o", "remount," + words, disk], check=True)
    for verb, name in ((lambda: api.load(archive), "full:1"), (lambda: api.import_(tar, "imported:1"), "imported:1")):
        try:
            verb()
            done += 1
            subprocess.run(["mount", "-o", "remount,size=40m,nr_inodes=100000", disk], check=True)
            api.rm(name)
            subprocess.run(["mount", "-o", "remount," + words, disk], check=True)
        except (Error, OSError) as error:
            refused += 1
            shown = of_the_host(error) or error
            if "No space left" not in str(shown) or not getattr(shown, "hint", ""):
                sys.exit(f"{words}: {error!r}")
        after = picture()
        if {k: v for k, v in after.items() if k != str(engine.images / "index.json")} != {
            k: v for k, v in before.items() if k != str(engine.images / "index.json")
        }:
            sys.exit(f"{words} {name}: {sorted(before.keys() ^ after.keys())}")
subprocess.run(["mount", "-o", "remount,size=40m,nr_inodes=100000", disk], check=True)
api.verify()
print(done > 2, refused > 10, [row["reference"] for row in api.df()])
"""


@pytest.mark.as_root
@pytest.mark.slow
def test_wherever_the_room_ends_the_store_is_as_it_was(tmp_path: Path) -> None:
    base = t.archive(*(t.file(f"d{n % 5}/f{n}", bytes([n]) * 4000) for n in range(100)))
    top = t.archive(*(t.file(f"t{n}", bytes([n]) * 2000) for n in range(50)))
    archive = t.docker_archive(tmp_path / "a.tar", [base, top], "localhost/full:1")
    other = t.archive(*(t.file(f"other{n}", bytes([n]) * 3000) for n in range(80)))
    (tmp_path / "t.tar").write_bytes(other)
    (tmp_path / "disk").mkdir()
    words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", _FULL]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([*words, tmp_path / "disk", archive, tmp_path / "t.tar"], capture_output=True, text=True,
                          env=environment, timeout=120, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True True ['localhost/kept:1']\n"
    client.close()
