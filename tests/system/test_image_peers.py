"""The store read by skopeo and umoci, and what skopeo, buildah and umoci make read by us."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.image import api, rootfs, store
from tests import listing, peers
from tests import tarballs as t

Peer = Callable[[str], str]


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=100, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def merged(engine: Engine, reference: str, folder: Path) -> dict[str, Any]:
    """The image's tree as overlayfs shows it, from a mount namespace of its own."""
    lower = rootfs.layers(engine, store.resolve(engine, reference))
    (folder / "empty").mkdir()
    (folder / "target").mkdir()
    options = "ro,lowerdir=" + ":".join([*lower, str(folder / "empty")])
    script = f'mount -t overlay overlay -o "$1" {folder}/target && exec "$2" {listing.__file__} {folder}/target'
    shown = run("unshare", "-m", "sh", "-c", script, "sh", options, sys.executable)
    found: dict[str, Any] = json.loads(shown)
    return found


def layers() -> list[bytes]:
    """Three layers with something of everything."""
    caps = bytes.fromhex("0100000200200000000000000000000000000000")
    one = t.archive(
        t.folder("./", mode=0o755), t.folder("bin"), t.file("bin/su", b"su" * 5000, mode=0o4755), t.folder("tmp", mode=0o1777),
        t.folder("etc", mtime=11), t.file("etc/passwd", b"root", mode=0o644, uid=5, gid=6), t.symlink("lib", "usr/lib"),
        t.folder("usr"), t.folder("usr/lib"), t.file("usr/lib/a.so", b"a"), t.hardlink("usr/lib/b.so", "usr/lib/a.so"),
        t.pax({"SCHILY.xattr.security.capability": caps}), t.file("bin/ping", b"ping", mode=0o755),
        t.pax({"SCHILY.xattr.user.note": b"\0\xff"}), t.file("noted", b"n"),
        t.pax({"path": "d" * 120 + "/" + "f" * 200, "mtime": "1234567890.123456789"}), t.file("x", b"long"),
        t.folder("dev"), t.header("dev/null", type=b"3", mode=0o666, major=1, minor=3), t.header("dev/sda", type=b"4", major=8),
        t.header("fifo", type=b"6"), t.file("big-ids", b"", uid=3_000_000, gid=2**32 - 2), t.folder("old/deep/deeper"),
        t.file("old/deep/file", b"1"), t.file("replaced", b"file"), t.folder("was-dir"), t.file("was-dir/x", b"x"),
        t.pax({"mtime": "-5.25"}), t.file("before-1970", b""), t.folder("ro", mode=0o555), t.file("ro/x", b"x"),
    )  # fmt: skip
    two = t.archive(
        t.file("etc/.wh.passwd"), t.folder("etc", mtime=22), t.file("etc/new", b"new"), t.file(".wh.fifo"),
        t.file("old/.wh.deep"), t.folder("replaced"), t.file("replaced/by", b"a folder"), t.file("was-dir", b"a file"),
        t.file("bin/.wh.su"), t.folder("bin", mode=0o711), t.file("bin/su", b"new su", mode=0o755),
    )  # fmt: skip
    three = t.archive(
        t.folder("usr"), t.folder("usr/lib"), t.file("usr/lib/.wh..wh..opq"), t.file("usr/lib/c.so", b"c")
    )
    return [one, two, three]


@pytest.mark.as_root
def test_trees_are_equal_to_umoci_s(fresh_engine: Engine, peer: Peer, tmp_path: Path) -> None:
    archive = t.docker_archive(tmp_path / "a.tar", layers(), "example/all:1")
    api.load(str(archive))
    ours = merged(fresh_engine, "example/all:1", tmp_path)
    run(
        peer("umoci"), "raw", "unpack", "--image", f"{fresh_engine.images}:docker.io/example/all:1", tmp_path / "theirs"
    )
    theirs = listing.listing(str(tmp_path / "theirs"))
    for name in (".", "old", "d" * 120):  # no layer, or not the last one, says when these changed
        ours[name].pop("mtime"), theirs[name].pop("mtime")
    assert different(ours, theirs) == {}


def different(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """What differs, by path, to be read in a failed assertion."""
    return {name: (ours.get(name), theirs.get(name)) for name in ours | theirs if ours.get(name) != theirs.get(name)}


@pytest.mark.as_root
def test_trees_are_equal_to_gnu_tar_s(fresh_engine: Engine, tmp_path: Path) -> None:
    """A real tree: /usr/lib/python3 and /etc of this machine."""
    run(
        "tar",
        "-C",
        "/",
        "--xattrs",
        "--format=posix",
        "-cf",
        tmp_path / "a.tar",
        "etc",
        "usr/share/doc",
        "var/lib/dpkg",
    )
    api.import_(str(tmp_path / "a.tar"), "real")
    (tmp_path / "theirs").mkdir()
    run("tar", "-C", tmp_path / "theirs", "--xattrs", "--xattrs-include=*", "-xpf", tmp_path / "a.tar")
    ours, theirs = merged(fresh_engine, "real", tmp_path), listing.listing(str(tmp_path / "theirs"))
    for name in (".", "usr", "usr/share", "var", "var/lib"):
        ours.pop(name), theirs.pop(name)
    assert different(ours, theirs) == {}


def test_skopeo_and_umoci_read_the_store(fresh_engine: Engine, peer: Peer) -> None:
    image = store.resolve(fresh_engine, "mini")
    seen = json.loads(run(peer("skopeo"), "inspect", f"oci:{fresh_engine.images}:localhost/mini:latest"))
    assert seen["Digest"] == image.digest
    assert seen["Layers"] == [layer["digest"] for layer in image.layers]
    config = json.loads(run(peer("skopeo"), "inspect", "--config", f"oci:{fresh_engine.images}:localhost/mini:latest"))
    assert config["config"]["Cmd"] == ["/bin/sh"]
    assert run(peer("umoci"), "ls", "--layout", fresh_engine.images).split() == ["localhost/mini:latest"]


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_what_skopeo_writes_is_loaded(
    fresh_engine: Engine, peer: Peer, tmp_path: Path, form: str, compression: str
) -> None:
    mini = store.resolve(fresh_engine, "mini")
    wanted = mini.config["rootfs"]["diff_ids"]
    target = tmp_path / ("folder" if form == "oci" else "a.tar")
    how = [] if compression == "none" or form == "docker-archive" else ["--dest-compress-format", compression]
    how += ["--dest-compress"] if how else []
    name = "docker.io/library/other:7" if form == "docker-archive" else "example.org/other:7"
    source = f"oci:{fresh_engine.images}:localhost/mini:latest"
    run(peer("skopeo"), "copy", "--insecure-policy", *how, source, f"{form}:{target}:{name}")
    api.rm("mini")
    assert [path for path in fresh_engine.snapshots.iterdir() if path.name != "l"] == []
    if form == "docker-archive" and compression != "none":
        run({"gzip": "gzip", "zstd": "zstd"}[compression], "-k", target)
        target = target.with_suffix({"gzip": ".tar.gz", "zstd": ".tar.zst"}[compression])
    (image,) = api.load(str(target))
    assert image.reference == name
    assert image.config["rootfs"]["diff_ids"] == wanted
    assert all(Path(folder).is_dir() for folder in rootfs.layers(fresh_engine, image))
    if how and form == "oci":
        assert {layer["mediaType"].rpartition("+")[2] for layer in image.layers} == {compression}


@pytest.mark.as_root
def test_what_buildah_builds_is_loaded(fresh_engine: Engine, peer: Peer, tmp_path: Path) -> None:
    peer("buildah")
    rootfs_ = peers.busybox_rootfs(tmp_path / "rootfs")
    script = f"""set -e
    buildah="buildah --root {tmp_path}/storage --runroot {tmp_path}/run --storage-driver vfs"
    c=$($buildah from scratch)
    $buildah add -q $c {rootfs_} /
    $buildah config --cmd '["/bin/sh"]' --env A=1 --label x=y $c
    $buildah commit -q $c built:3 >&2
    $buildah push -q built:3 oci-archive:{tmp_path}/oci.tar:localhost/built:3 >&2
    $buildah push -q built:3 docker-archive:{tmp_path}/docker.tar:localhost/built:4 >&2
    $buildah rm -a >&2; $buildah rmi -a -f >&2
    """
    done = peers.run("sh", "-c", script, timeout=100)
    assert done.returncode == 0, done.stderr
    for file, tag in (("oci", "3"), ("docker", "4")):
        (image,) = api.load(str(tmp_path / f"{file}.tar"))
        assert image.reference == f"localhost/built:{tag}"
        assert image.config["config"]["Labels"]["x"] == "y"
        assert (Path(rootfs.layers(fresh_engine, image)[0]) / "bin/sh").is_symlink()


def test_an_image_made_by_umoci(fresh_engine: Engine, peer: Peer, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    run(peer("umoci"), "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:v2")
    run("umoci", "config", "--image", f"{layout}:v2", "--config.cmd", "hello")
    (tmp_path / "file").write_text("hi")
    rootless = ["--rootless"] if os.geteuid() else []
    run("umoci", "insert", *rootless, "--image", f"{layout}:v2", tmp_path / "file", "/etc/file")
    (image,) = api.load(str(layout))
    assert image.reference == "localhost/layout:v2"
    assert image.config["config"]["Cmd"] == ["hello"]
    assert (Path(rootfs.layers(fresh_engine, image)[0]) / "etc/file").read_text() == "hi"


def test_several_images_and_names_in_one_archive(fresh_engine: Engine, tmp_path: Path) -> None:
    configs, listed, members = [], [], []
    shared, other = t.archive(t.file("shared", b"s")), t.archive(t.file("other", b"o"))
    for number, stack in enumerate(([shared], [shared, other])):
        content = json.dumps(
            {"os": "linux", "rootfs": {"type": "layers", "diff_ids": list(map(t.sha256, stack))}}
        ).encode()
        configs.append(t.sha256(content))
        members.append(t.file(f"{number}.json", content))
        tags = [f"one/app:{number}", f"app:{number}"]
        paths = [{shared: "shared/layer.tar", other: "other.tar"}[layer] for layer in stack]
        listed.append({"Config": f"{number}.json", "RepoTags": tags, "Layers": paths})
    members += [t.file("real.tar", shared), t.symlink("shared/layer.tar", "../real.tar"), t.file("other.tar", other)]
    (tmp_path / "a.tar").write_bytes(t.archive(*members, t.file("manifest.json", json.dumps(listed).encode())))
    images = api.load(input=str(tmp_path / "a.tar"))
    assert [image.id for image in images] == configs
    assert (
        store.resolve(fresh_engine, "one/app:1").digest
        == store.resolve(fresh_engine, "app:1").digest
        == images[1].digest
    )
    assert [row["reference"] for row in api.ls("app")] == ["docker.io/library/app:0", "docker.io/library/app:1"]
    assert len(list((fresh_engine.images / "blobs/sha256").iterdir())) == 6
    assert len(rootfs.layers(fresh_engine, images[1])) == 2


@pytest.mark.parametrize("compression", ["", "gz", "zst", "xz", "bz2"])
def test_import_of_every_compression(fresh_engine: Engine, tmp_path: Path, compression: str) -> None:
    path = tmp_path / "root.tar"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("./etc/motd")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"hi\n"))
    path.write_bytes(buffer.getvalue())
    if compression:
        run({"gz": "gzip", "zst": "zstd", "xz": "xz", "bz2": "bzip2"}[compression], "-k", path)
        path = path.with_name(f"root.tar.{compression}")
    image = api.import_(str(path), "base:1", change=["CMD /bin/sh", "ENV A=1"], message="from a test")
    assert (image.reference, image.config["config"]) == (
        "localhost/base:1",
        {"Cmd": ["/bin/sh", "-c", "/bin/sh"], "Env": ["A=1"]},
    )
    assert image.config["history"][0]["comment"] == "from a test"
    assert image.config["rootfs"]["diff_ids"] == [t.sha256(buffer.getvalue())]
    assert (Path(rootfs.layers(fresh_engine, image)[0]) / "etc/motd").read_text() == "hi\n"
    assert image.size == 3
    run(
        "skopeo",
        "copy",
        "--insecure-policy",
        f"oci:{fresh_engine.images}:localhost/base:1",
        f"oci:{tmp_path}/copy:1",
    )
