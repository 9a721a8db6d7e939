"""Bad archives and layers leave the store as it was; whoever asks at once or dies half way leaves it whole."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, ImageError, InvalidArgument, InvalidState, NotFound
from nbcontainers.image import api, layout, removal, rootfs, store, work
from nbcontainers.launcher import client
from tests import tarballs as t


def picture(engine: Engine) -> set[str]:
    """Every file of the store but locks."""
    return {str(path) for top in (engine.images, engine.snapshots, engine.root / "partial") for path in top.rglob("*")
            if not path.name.endswith(".lock")}  # fmt: skip


@pytest.fixture
def store_as_it_was(fresh_engine: Engine) -> Iterator[Engine]:
    rootfs.layers(fresh_engine, store.resolve(fresh_engine, "mini"))
    before = picture(fresh_engine)
    yield fresh_engine
    assert picture(fresh_engine) == before


def oci_archive(path: Path, layer: bytes, **lies: Any) -> Path:
    """An oci-archive of one gzipped layer. `lies` replace: diff_id, digest, size, config_digest, blob."""
    blob = gzip.compress(layer, mtime=0)
    config = json.dumps(
        {"os": "linux", "rootfs": {"type": "layers", "diff_ids": [lies.get("diff_id", t.sha256(layer))]}}
    )
    config_digest = lies.get("config_digest", t.sha256(config.encode()))
    layer_digest = lies.get("digest", t.sha256(blob))
    manifest = json.dumps({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer_digest,
                    "size": lies.get("size", len(blob))}],
    })  # fmt: skip
    index = {"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": t.sha256(manifest.encode()),
        "size": len(manifest), "annotations": {"org.opencontainers.image.ref.name": "example.org/evil:1"},
    }]}  # fmt: skip
    blobs = {config_digest: config.encode(), t.sha256(manifest.encode()): manifest.encode(),
             layer_digest: lies.get("blob", blob)}  # fmt: skip
    members = [t.file(f"blobs/sha256/{digest[7:]}", content) for digest, content in blobs.items()]
    members += [
        t.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
        t.file("index.json", json.dumps(index).encode()),
    ]
    path.write_bytes(t.archive(*members))
    return path


LAYER = t.archive(t.file("a", b"content"))
OTHER = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    "lies, message",
    [
        ({"diff_id": OTHER}, "when unpacked and is sha256:"),
        ({"digest": OTHER}, "turned out to be"),
        ({"size": 7}, "should have 7"),
        ({"config_digest": OTHER}, "not what its name says"),
        ({"blob": gzip.compress(LAYER, mtime=0)[:-9] + bytes(9)}, "turned out to be"),
        ({"digest": "sha256:../../../../etc/passwd"}, "no digest"),
        ({"size": -1}, "impossible size"),
    ],
)
def test_lies_are_found(store_as_it_was: Engine, tmp_path: Path, lies: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        api.load(str(oci_archive(tmp_path / "a.tar", LAYER, **lies)))


HOSTILE = {
    "escape by a hard link": t.archive(t.hardlink("x", "../../../../etc/passwd")),
    "root as a link": t.archive(t.symlink("./", "/")),
    "a loop": t.archive(t.symlink("a", "a"), t.file("a/b")),
    "cut off": LAYER[:515],
    "no tar": b"#!/bin/sh\n" * 100,
    "bad checksum": LAYER[:148] + b"0000000\0" + LAYER[156:],
    "a whiteout of nothing": t.archive(t.file(".wh...")),
    "a long name": t.archive(t.pax({"path": "n" * 300}), t.file("x")),
    "two names": t.archive(t.pax({"path": "a"}), t.gnu_long(b"b"), t.file("c")),
    "a huge header": t.header("x", type=b"x", size=1 << 30),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_layers_are_refused(store_as_it_was: Engine, tmp_path: Path, name: str) -> None:
    good = t.archive(t.file("good", b"x"))
    with pytest.raises(ImageError):
        api.load(str(t.docker_archive(tmp_path / "a.tar", [good, HOSTILE[name]], "evil:1")))
    (tmp_path / "root.tar").write_bytes(HOSTILE[name])
    with pytest.raises(ImageError):
        api.import_(str(tmp_path / "root.tar"), "evil:1")


def test_a_bomb_is_stopped(store_as_it_was: Engine, tmp_path: Path) -> None:
    layer = t.file("zeros", bytes(32 << 20))
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(layer + t.END))
    digest = layout.put(store_as_it_was, [path.read_bytes()])[0]
    job = {
        "blob": str(layout.blob(store_as_it_was, digest)),
        "diff_id": OTHER,
        "chain": "1" * 64,
        "below": [],
        "base": [],
    }
    with pytest.raises(ImageError, match="decompression bomb"):
        work.call("unpacking:make", snapshots=str(store_as_it_was.snapshots), jobs=[job], userxattr=False,
                  budget={"free": 1 << 20, "ratio": 100})  # fmt: skip
    removal.sweep(store_as_it_was)


@pytest.mark.parametrize(
    "file, error, message",
    [
        ("absent.tar", NotFound, "there is no file absent.tar"),
        (".", ImageError, "neither a docker-archive nor an oci-archive"),
        ("/dev/null", ImageError, "it is empty"),
    ],
)
def test_load_says_what_is_wrong(
    store_as_it_was: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    error: type[Error],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message) as caught:
        api.load(file)
    assert caught.value.hint


def test_load_and_import_are_told_apart(store_as_it_was: Engine, tmp_path: Path) -> None:
    archive = t.docker_archive(tmp_path / "image.tar", [LAYER], "x:1")
    with pytest.raises(ImageError, match="archive of an image") as caught:
        api.import_(str(archive), "x:1")
    assert caught.value.hint == f"%image load {archive}"
    (tmp_path / "root.tar").write_bytes(t.archive(t.folder("bin"), t.file("bin/sh")))
    with pytest.raises(ImageError) as other:
        api.load(str(tmp_path / "root.tar"))
    assert "%image import" in other.value.hint
    with pytest.raises(InvalidArgument, match="one archive"):
        api.load()
    with pytest.raises(InvalidArgument, match="lower case"):
        api.import_(str(tmp_path / "root.tar"), "Bad")


def test_an_image_for_another_machine(store_as_it_was: Engine, tmp_path: Path) -> None:
    index = {"manifests": [{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": OTHER, "size": 2}]}
    nested = json.dumps({"manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": OTHER, "size": 1,
                                        "platform": {"os": "linux", "architecture": "s390x"}}]}).encode()  # fmt: skip
    index["manifests"][0] |= {"digest": t.sha256(nested), "size": len(nested)}  # type: ignore[operator]
    members = [t.file("oci-layout", b"{}"), t.file("index.json", json.dumps(index).encode()),
               t.file(f"blobs/sha256/{t.sha256(nested)[7:]}", nested)]  # fmt: skip
    (tmp_path / "a.tar").write_bytes(t.archive(*members))
    with pytest.raises(ImageError, match="no image for this machine"):
        api.load(str(tmp_path / "a.tar"))


# Removal and use.


def test_an_image_in_use_by_a_container(fresh_engine: Engine) -> None:
    container = nbcontainers.run("mini", "sleep", "100", detach=True, name="holder")
    try:
        with pytest.raises(InvalidState, match="image mini is used by container holder"):
            api.rm("mini")
        report = api.rm("mini", force=True)
        assert report[-1].startswith("Deleted: sha256:")
        assert nbcontainers.exec_(container, "cat", "/etc/hostname") is not None
        assert len(list(fresh_engine.snapshots.iterdir())) == 2
    finally:
        container.rm(force=True)
    removal.sweep(fresh_engine)
    assert list(fresh_engine.snapshots.iterdir()) == []
    nbcontainers.run("mini", "true", rm=True)


def test_rm_leaves_nothing_and_mini_comes_back_the_same(fresh_engine: Engine) -> None:
    first = store.resolve(fresh_engine, "mini")
    rootfs.layers(fresh_engine, first)
    api.tag("mini", "again:2")
    assert [line for line in api.rm("mini") if "Deleted" in line] == []
    api.rm("again:2")
    assert list((fresh_engine.images / "blobs/sha256").iterdir()) == []
    assert [path for path in fresh_engine.snapshots.iterdir() if not path.name.endswith(".lock")] == []
    assert store.resolve(fresh_engine, "mini") == first


# Many at once, and death.


ASKING = """
from nbcontainers.engine import default_engine
from nbcontainers.image import rootfs, store
image = store.resolve(default_engine(), "mini")
print("ready", flush=True)
input()
print(len(rootfs.layers(default_engine(), image)))
"""


def test_everybody_asks_at_once(fresh_engine: Engine) -> None:
    layers = len(store.resolve(fresh_engine, "mini").layers)
    command = [sys.executable, "-c", ASKING]
    askers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    for asker in askers:
        assert asker.stdout
        assert asker.stdout.readline() == "ready\n"
    for asker in askers:
        assert asker.stdin
        asker.stdin.write("\n")
        asker.stdin.flush()
    assert [asker.communicate(timeout=60)[0] for asker in askers] == [f"{layers}\n"] * 5
    names = [path.name for path in fresh_engine.snapshots.iterdir()]
    assert sorted(map(len, names)) == [64] * layers


KILLED = """
import sys
from nbcontainers.image import api
print("begun", flush=True)
api.import_(sys.argv[1], "victim:1")
"""


@pytest.mark.slow
def test_killed_at_any_moment(fresh_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # so that every import makes the same image
    members = [t.file(f"d{n % 50}/f{n}", os.urandom(3000)) for n in range(4000)]
    (tmp_path / "root.tar").write_bytes(t.archive(*members))
    for delay in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4):
        victim = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "root.tar"], stdout=subprocess.PIPE,
                                  start_new_session=True)  # fmt: skip
        assert victim.stdout
        victim.stdout.readline()
        time.sleep(delay)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        victim.stdout.close()
        for snapshot in fresh_engine.snapshots.glob("*/fs"):
            assert snapshot.parent.name.endswith(".partial") or len(list(snapshot.rglob("f*"))) == 4000
        for blob in (fresh_engine.images / "blobs/sha256").glob("*"):
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    time.sleep(1.5)  # the launcher's child may outlive its client for a moment
    image = api.import_(str(tmp_path / "root.tar"), "victim:1")
    assert len(list(Path(rootfs.layers(fresh_engine, image)[0]).rglob("f*"))) == 4000
    api.rm("victim:1")
    assert picture(fresh_engine) == {str(fresh_engine.images / name) for name in
                                     ("blobs", "blobs/sha256", "index.json", "oci-layout")}  # fmt: skip


# What a container sees of layers.


def test_whiteouts_in_a_container(fresh_engine: Engine, tmp_path: Path) -> None:
    busybox = Path("/bin/busybox").read_bytes()
    one = t.archive(t.folder("bin"), t.file("bin/busybox", busybox, mode=0o755), t.symlink("bin/sh", "busybox"),
                    t.file("keep/a"), t.file("gone/b"), t.file("opq/old"), t.file("dup/x", b"1"))  # fmt: skip
    two = t.archive(t.file(".wh.gone"), t.file("opq/.wh..wh..opq"), t.file("opq/new"), t.hardlink("linked", "keep/a"))
    api.load(str(t.docker_archive(tmp_path / "a.tar", [one, two], "layers:1")))
    shown: list[bytes] = []
    script = "cd /; for d in keep gone opq; do busybox ls $d 2>&1; done; busybox stat -c %h linked keep/a"
    nbcontainers.run("layers:1", "/bin/sh", "-c", f"PATH=/bin; {script}", stdout=shown.append, rm=True)
    assert b"".join(shown).decode().split("\n") == ["a", "ls: gone: No such file or directory", "new", "2", "2", ""]


@pytest.mark.slow
def test_130_layers(fresh_engine: Engine, tmp_path: Path) -> None:
    busybox = t.archive(t.folder("bin"), t.file("bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755))
    stack = [busybox, *(t.archive(t.file(f"layer/{n}", b"%d" % n)) for n in range(129))]
    (image,) = api.load(str(t.docker_archive(tmp_path / "a.tar", stack, "many:1")))
    folders = rootfs.layers(fresh_engine, image)
    assert len(":".join(os.path.basename(folder) for folder in folders)) < 3000
    shown: list[bytes] = []
    nbcontainers.run("many:1", "/bin/busybox", "ls", "/layer", stdout=shown.append, rm=True)
    assert len(b"".join(shown).split()) == 129
    api.rm("many:1")
    assert list(fresh_engine.snapshots.glob("l/*")) == []


@pytest.mark.as_root
def test_what_only_root_can_make(fresh_engine: Engine, tmp_path: Path) -> None:
    caps = bytes.fromhex("0100000200200000000000000000000000000000")
    layer = t.archive(
        t.header("null", type=b"3", mode=0o666, major=1, minor=3), t.header("disk", type=b"4", mode=0o660, gid=6, major=8),
        t.header("white", type=b"3"), t.file("huge", uid=2**32 - 2, gid=3_000_000), t.file("set", mode=0o6755, uid=33, gid=34),
        t.pax({"SCHILY.xattr.security.capability": caps, "SCHILY.xattr.trusted.overlay.opaque": "y",
               "SCHILY.xattr.trusted.mine": "kept"}), t.file("capable", mode=0o755),
    )  # fmt: skip
    (image,) = api.load(str(t.docker_archive(tmp_path / "a.tar", [layer], "root:1")))
    folder = Path(rootfs.layers(fresh_engine, image)[0])
    assert stat.S_ISCHR((folder / "null").stat().st_mode)
    assert (folder / "null").stat().st_rdev == os.makedev(1, 3)
    assert (folder / "disk").stat().st_gid == 6
    assert not (folder / "white").exists()
    assert ((folder / "huge").stat().st_uid, (folder / "huge").stat().st_gid) == (2**32 - 2, 3_000_000)
    assert stat.S_IMODE((folder / "set").stat().st_mode) == 0o6755
    assert os.getxattr(folder / "capable", "security.capability") == caps
    assert set(os.listxattr(folder / "capable")) == {"security.capability", "trusted.mine"}


@pytest.mark.as_user
def test_devices_are_left_out_for_a_user(fresh_engine: Engine, tmp_path: Path) -> None:
    layer = t.archive(t.header("null", type=b"3", major=1, minor=3), t.file("a", uid=5, gid=6, mode=0o644))
    (image,) = api.load(str(t.docker_archive(tmp_path / "a.tar", [layer], "user:1")))
    assert os.listdir(rootfs.layers(fresh_engine, image)[0]) == ["a"]


def test_a_helper_that_dies_is_said_to(
    store_as_it_was: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = client.call

    def broken(*_: Any, **__: Any) -> Any:
        raise ImageError("the helper said no")

    monkeypatch.setattr(client, "call", broken)
    (tmp_path / "root.tar").write_bytes(LAYER)
    with pytest.raises(ImageError, match="said no"):
        api.import_(str(tmp_path / "root.tar"), "x:1")
    monkeypatch.setattr(client, "call", real)
    removal.sweep(store_as_it_was)
