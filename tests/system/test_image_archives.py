"""Images out of the store and in again: save, load, export, import; by us, podman, Docker, skopeo and umoci."""

from __future__ import annotations

import gzip
import json
import os
import pty
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, ImageError, InvalidArgument, NotFound
from nbcontainers.image import api, layout, rootfs, store
from nbcontainers.oci.image import CONFIG, LAYER_GZIP, LAYER_ZSTD, MANIFEST, architecture, descriptor, manifest
from tests import listing, peers
from tests import tarballs as t
from tests.bench import programs
from tests.served import served

Peer = Callable[[str], str]
SHARED = t.archive(t.folder("etc"), t.file("etc/hosts", b"1.2.3.4 a\n"), t.folder("bin"), t.file("bin/a", b"a" * 9000))
ONE = t.archive(t.file("one", b"1"), t.file("etc/.wh.hosts"))
TWO = t.archive(t.file("two", b"2"), t.symlink("link", "two"), t.folder("bin", mode=0o711), t.file("bin/b", b"b"))


def add(engine: Engine, names: list[str], *tars: bytes, kind: str = "gzip") -> str:
    """An image of these layers, compressed, in the store; its manifest's digest."""
    zstd = pytest.importorskip("zstandard").compress if kind == "zstd" else None
    layers = []
    for tar in tars:
        digest, size = layout.put(engine, [zstd(tar) if zstd else gzip.compress(tar, mtime=0)])
        layers.append(descriptor(LAYER_ZSTD if zstd else LAYER_GZIP, digest, size))
    config = {
        "os": "linux", "architecture": architecture(), "created": "2020-01-02T03:04:05Z",
        "config": {"Cmd": ["/bin/a", "b c"], "Env": ["A=1"], "Labels": {"k": "v"}, "User": "5:6"},
        "rootfs": {"type": "layers", "diff_ids": list(map(t.sha256, tars))},
        "history": [{"created_by": "made", "comment": f"{n}"} for n, _ in enumerate(tars)],
    }  # fmt: skip
    target = layout.put_document(engine, manifest(layout.put_document(engine, config, CONFIG), layers), MANIFEST)
    with layout.update(engine) as manifests:
        for name in names:
            layout.set_name(manifests, name, target)
        layout.add_unnamed(manifests, target)
    return target["digest"]


@pytest.fixture
def pair(fresh_engine: Engine) -> Engine:
    """Two images that share a layer; the first has two names."""
    with layout.adding(fresh_engine):
        add(fresh_engine, ["docker.io/library/one:1", "localhost/other/one:x"], SHARED, ONE)
        add(fresh_engine, ["example.org/two:2"], SHARED, TWO)
    return fresh_engine


NAMES = ["docker.io/library/one:1", "localhost/other/one:x", "example.org/two:2"]


def members(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return [one.name for one in archive if one.isfile()]


def tree_of(engine: Engine, reference: str, folder: Path) -> dict[str, Any]:
    """The image's tree as overlayfs shows it."""
    lower = rootfs.layers(engine, store.resolve(engine, reference))
    (folder / "empty").mkdir(parents=True)
    (folder / "target").mkdir()
    options = "ro,lowerdir=" + ":".join([*lower, str(folder / "empty")])
    script = f'mount -t overlay overlay -o "$1" {folder}/target && exec "$2" {listing.__file__} {folder}/target'
    found: dict[str, Any] = json.loads(run("unshare", "-m", "sh", "-c", script, "sh", options, sys.executable))
    return found


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=100, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def different(ours: dict[str, Any], theirs: dict[str, Any], *, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """What differs, by path; `but` are facts that the other program does not keep."""
    for facts in (*ours.values(), *theirs.values()):
        for fact in but:
            facts.pop(fact, None)
    return {name: (ours.get(name), theirs.get(name)) for name in ours | theirs if ours.get(name) != theirs.get(name)}


# Out and in again.


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
def test_what_is_saved_is_loaded_the_same(pair: Engine, tmp_path: Path, form: str) -> None:
    before = {name: store.resolve(pair, name).digest for name in NAMES}
    api.save(*NAMES, output=str(tmp_path / "saved"), format=form)
    api.rm(*NAMES, force=True)
    assert not list((pair.images / "blobs/sha256").iterdir())
    images = api.load(str(tmp_path / "saved"))
    assert sorted(image.digest for image in images) == sorted(set(before.values()))
    assert {name: store.resolve(pair, name).digest for name in NAMES} == before
    assert api.verify()


def test_shared_blobs_are_written_once_and_the_bytes_are_always_the_same(
    pair: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    api.save(*NAMES, output=str(one))
    os.utime(layout.blob(pair, store.resolve(pair, "one:1").digest))
    api.save(*NAMES, output=str(two))
    assert one.read_bytes() == two.read_bytes()
    found = members(one)
    assert len(found) == len(set(found)) == 3 + 2 + 2 + 4  # layers, configs, manifests, and what lists them
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    api.save(*NAMES, output=str(two))
    with tarfile.open(two) as archive:
        assert {member.mtime for member in archive} == {1700000000}


def test_names_go_as_they_were_asked_for(pair: Engine, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    api.save("one:1", store.resolve(pair, "example.org/two:2").id[7:19], output=str(path))
    with tarfile.open(path) as archive:
        listed = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        legacy = json.load(archive.extractfile("repositories"))  # type: ignore[arg-type]
    assert [one["RepoTags"] for one in listed] == [["docker.io/library/one:1"], None]
    assert list(legacy) == ["docker.io/library/one"]


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_uncompressed(fresh_engine: Engine, tmp_path: Path, kind: str) -> None:
    with layout.adding(fresh_engine):
        add(fresh_engine, ["localhost/a:1"], SHARED, TWO, kind=kind)
    image = store.resolve(fresh_engine, "a:1")
    api.save("a:1", output=str(tmp_path / "a.tar"), uncompressed=True)
    names = members(tmp_path / "a.tar")
    assert [name for name in names if name[13:] in (t.sha256(SHARED)[7:], t.sha256(TWO)[7:])] == names[:2]
    api.rm("a:1")
    (again,) = api.load(str(tmp_path / "a.tar"))
    assert (again.id, again.digest == image.digest) == (image.id, False)
    assert [layer["mediaType"].rpartition(".")[2] for layer in again.layers] == ["tar", "tar"]


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_a_compressed_archive(pair: Engine, tmp_path: Path, how: str) -> None:
    path, digest = tmp_path / "a", store.resolve(pair, "one:1").id
    api.save(*NAMES, output=str(path), uncompressed=True, compress=how)
    content = path.read_bytes()
    api.save(*NAMES, output=str(path), uncompressed=True, compress=how)
    assert path.read_bytes() == content
    assert content.startswith({"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}[how])
    assert len(content) < 9000
    api.rm(*NAMES)
    api.load(str(path))
    assert store.resolve(pair, "one:1").id == digest
    with pytest.raises(Error, match="cannot write /dev/full"):
        api.save("one:1", output="/dev/full", compress=how)
    with pytest.raises(InvalidArgument, match="no compression"):
        api.save("one:1", output=str(path), compress="rar")


def test_docker_s_media_types_become_the_oci_s(fresh_engine: Engine, peer: Peer, tmp_path: Path) -> None:
    with layout.adding(fresh_engine):
        digest, size = layout.put(fresh_engine, [gzip.compress(SHARED, mtime=0)])
        config = layout.put_document(fresh_engine, {"os": "linux", "architecture": architecture(), "rootfs": {
            "type": "layers", "diff_ids": [t.sha256(SHARED)]}}, "application/vnd.docker.container.image.v1+json")  # fmt: skip
        layer = descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", digest, size)
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        target = layout.put_document(fresh_engine, {"schemaVersion": 2, "mediaType": kind, "config": config,
                                                    "layers": [layer]}, kind)  # fmt: skip
        with layout.update(fresh_engine) as manifests:
            layout.set_name(manifests, "localhost/docker:1", target)
    api.save("docker:1", output=str(tmp_path / "layout"), format="oci-dir")
    run(peer("umoci"), "stat", "--image", f"{tmp_path}/layout:localhost/docker:1")
    raw = json.loads(run(peer("skopeo"), "inspect", "--raw", f"oci:{tmp_path}/layout:localhost/docker:1"))
    assert "docker" not in json.dumps(raw)
    api.save("docker:1", output=str(tmp_path / "kept.tar"))
    assert f"blobs/sha256/{target['digest'][7:]}" in members(tmp_path / "kept.tar")
    api.tag("docker:1", "again:1")
    index = json.loads((fresh_engine.images / "index.json").read_text())
    assert {one["mediaType"] for one in index["manifests"]} == {kind}


# Where it goes.


def test_a_file_is_there_as_a_whole_or_not_at_all(pair: Engine, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("before")
    digest = store.resolve(pair, "one:1").layers[-1]["digest"]
    path = layout.blob(pair, digest)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"?")
    for form in ("docker-archive", "oci-archive"):
        with pytest.raises(ImageError, match=f"blob {digest} is damaged") as caught:
            api.save("one:1", output=str(tmp_path / "a.tar"), format=form)
        assert "%image verify" in caught.value.hint
    with pytest.raises(ImageError):
        api.save("one:1", output=str(tmp_path / "folder"), format="oci-dir")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.tar", "before")]


def test_killed_it_leaves_nothing(pair: Engine, tmp_path: Path) -> None:
    """Also kill -9: what is written has no name before it is whole."""
    old = tmp_path / "old.tar"
    old.write_bytes(b"an old one")
    script = """
import os, signal, sys
from pathlib import Path
from nbcontainers.image import output
with output.archive(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for name in ("new.tar", "old.tar"):
        ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], check=False)
        assert ended.returncode == -9
        assert [path.name for path in tmp_path.iterdir()] == ["old.tar"]
        assert old.read_bytes() == b"an old one"
    for name in ("new.tar", "old.tar"):
        api.save("one:1", output=str(tmp_path / name))
    assert (tmp_path / "new.tar").read_bytes() == old.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.tar", "old.tar"]


@pytest.mark.parametrize("verb", ["save", "export"])
def test_no_room(pair: Engine, tmp_path: Path, verb: str) -> None:
    rootfs.layers(pair, store.resolve(pair, "one:1"))
    words = [sys.executable, "-m", "nbcontainers", "image", verb, "one:1", "-o", str(tmp_path / "a.tar")]
    if verb == "save":
        whole = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}  # else the limit spoils the bytecode of all to come
        limited = ["prlimit", "--fsize=3000", *words]
        done = subprocess.run(limited, capture_output=True, text=True, check=False, env=whole)
        assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
        assert "cannot write" in done.stderr
    with pytest.raises(Error, match="cannot write /dev/full") as caught:
        {"save": api.save, "export": api.export}[verb]("one:1", output="/dev/full")  # type: ignore[operator]
    assert "-o FILE" in caught.value.hint


def test_a_terminal_is_refused_and_a_pipe_is_not(pair: Engine) -> None:
    words = [sys.executable, "-m", "nbcontainers", "image", "save", "one:1"]
    ours, theirs = pty.openpty()
    done = subprocess.run(words, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(ours), os.close(theirs)
    assert done.returncode == 1
    assert "-o FILE" in done.stderr
    saved = subprocess.run(words, capture_output=True, check=True).stdout
    api.rm("one:1", "other/one:x")
    loaded = subprocess.run([*words[:4], "load", "-"], input=gzip.compress(saved), capture_output=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    assert store.resolve(pair, "one:1")


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((["host"], {}), InvalidArgument, "cannot be saved"),
        ((["absent"], {}), NotFound, "no image"),
        (([], {}), InvalidArgument, "needs an image"),
        ((["one:1"], {"format": "zip"}), InvalidArgument, "no format"),
        ((["one:1"], {"format": "oci-dir", "output": ""}), InvalidArgument, "is a folder"),
        ((["one:1"], {"output": "/absent/a.tar"}), Error, "cannot write"),
        ((["one:1"], {"output": "."}), Error, "cannot write"),
    ],
)
def test_save_says_what_is_wrong(pair: Engine, tmp_path: Path, arguments: Any, error: Any, message: str) -> None:
    words, options = arguments
    with pytest.raises(error, match=message) as caught:
        api.save(*words, **{"output": str(tmp_path / "a"), **options})
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_left_alone(pair: Engine, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InvalidArgument, match="there already"):
        api.save("one:1", output=str(tmp_path), format="oci-dir")
    (tmp_path / "new").mkdir()
    api.save("one:1", output=str(tmp_path / "new"), format="oci-dir")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "new"]


# Forms of archives.


def oci(path: Path, index: list[dict[str, Any]], blobs: dict[str, bytes]) -> Path:
    files = [t.file("oci-layout", b"{}"), t.file("index.json", json.dumps({"manifests": index}).encode())]
    files += [t.file(f"blobs/sha256/{digest[7:]}", content) for digest, content in blobs.items()]
    path.write_bytes(t.archive(*files))
    return path


class Blobs(dict[str, bytes]):
    """Documents and layers by digest; `put` gives a descriptor."""

    def put(self, content: bytes | dict[str, Any], kind: str, **more: Any) -> dict[str, Any]:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self[t.sha256(data)] = data
        return {"mediaType": kind, "digest": t.sha256(data), "size": len(data), **more}

    def image(self, layer: bytes, **platform: str) -> dict[str, Any]:
        config = {"os": "linux", "architecture": architecture(), **platform}
        config["rootfs"] = {"type": "layers", "diff_ids": [t.sha256(layer)]}  # type: ignore[assignment]
        layers = [self.put(layer, "application/vnd.oci.image.layer.v1.tar")]
        document = {"schemaVersion": 2, "config": self.put(config, CONFIG), "layers": layers}
        more = {"platform": {"os": "linux", **platform}} if platform else {}
        return self.put(document, MANIFEST, **more)


INDEX = "application/vnd.oci.image.index.v1+json"


def test_platforms_in_nested_indexes(fresh_engine: Engine, tmp_path: Path) -> None:
    blobs = Blobs()
    mine, other = blobs.image(ONE, architecture=architecture()), blobs.image(TWO, architecture="s390x")
    unknown = blobs.image(SHARED, architecture="unknown") | {"platform": {"os": "unknown", "architecture": "unknown"}}
    inner = blobs.put({"manifests": [other, unknown, mine]}, INDEX)
    outer = blobs.put({"manifests": [inner]}, INDEX, annotations={"org.opencontainers.image.ref.name": "x/y:1"})
    path = oci(tmp_path / "a.tar", [outer], blobs)
    assert [image.digest for image in api.load(str(path))] == [mine["digest"]]
    (image,) = api.load(str(path), platform="linux/s390x")
    assert (image.digest, image.config["architecture"]) == (other["digest"], "s390x")
    before = len(list((fresh_engine.images / "blobs/sha256").iterdir()))
    with pytest.raises(ImageError, match=r"no image for linux/arm64; there is .*linux/s390x") as caught:
        api.load(str(path), platform="arm64")
    assert "--platform linux/" in caught.value.hint
    assert len(list((fresh_engine.images / "blobs/sha256").iterdir())) == before


def test_one_name_for_several_platforms_beside_each_other(fresh_engine: Engine, tmp_path: Path) -> None:
    blobs, notes = Blobs(), {"annotations": {"org.opencontainers.image.ref.name": "example.org/x:1"}}
    other, mine = blobs.image(TWO, architecture="s390x"), blobs.image(ONE, architecture=architecture())
    (image,) = api.load(str(oci(tmp_path / "a.tar", [other | notes, mine | notes], blobs)))
    assert (image.digest, image.reference) == (mine["digest"], "example.org/x:1")


def test_a_docker_archive_for_another_platform(fresh_engine: Engine, tmp_path: Path) -> None:
    config = {"os": "linux", "architecture": "s390x", "rootfs": {"type": "layers", "diff_ids": [t.sha256(ONE)]}}
    path = t.docker_archive(tmp_path / "a.tar", [ONE], "x:1", config=config)
    with pytest.raises(ImageError, match="no image for linux/amd64; there is linux/s390x"):
        api.load(str(path), platform="linux/amd64")
    assert not (fresh_engine.images / "blobs/sha256").exists() or not list(
        (fresh_engine.images / "blobs/sha256").iterdir()
    )
    assert api.load(str(path))[0].config["architecture"] == "s390x"


@pytest.mark.parametrize("name", ["Upper Case", "a b", "x\n\x1b[31my", "../../etc", "a" * 300])
def test_a_name_that_is_none_is_told(fresh_engine: Engine, tmp_path: Path, name: str) -> None:
    blobs = Blobs()
    entry = blobs.image(ONE) | {"annotations": {"org.opencontainers.image.ref.name": name}}
    with pytest.warns(UserWarning, match="without its name"):
        (image,) = api.load(str(oci(tmp_path / "a.tar", [entry], blobs)))
    assert image.reference == ""
    with pytest.warns(UserWarning, match="without its name"):
        api.load(str(t.docker_archive(tmp_path / "b.tar", [TWO], name)))
    assert [row["reference"] for row in api.ls(all_=True) if row["digest"] and "host" not in row["reference"]] == [
        "",
        "",
    ]


def test_names_of_docker_25_and_of_tags_alone(fresh_engine: Engine, tmp_path: Path) -> None:
    blobs = Blobs()
    docker = {"io.containerd.image.name": "docker.io/library/app:7", "org.opencontainers.image.ref.name": "7"}
    entries = [blobs.image(ONE) | {"annotations": docker}, blobs.image(TWO) | {"annotations": {
        "org.opencontainers.image.ref.name": "v2"}}]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = [image.reference for image in api.load(str(oci(tmp_path / "stem.tar", entries, blobs)))]
    assert names == ["docker.io/library/app:7", "localhost/stem:v2"]


def legacy(path: Path, **changes: Any) -> Path:
    """What Docker before 1.10 wrote."""
    top = {"id": "b" * 64, "parent": "a" * 64, "os": "linux", "architecture": architecture(), "config": {"Cmd": ["x"]},
           "created": "2015-01-01T00:00:00Z", "container_config": {"Cmd": ["/bin/sh", "-c", "true"]}} | changes  # fmt: skip
    files = {
        "repositories": {"old/app": {"1": "b" * 64, "latest": "b" * 64}},
        f"{'a' * 64}/json": {"id": "a" * 64, "created": "2014-01-01T00:00:00Z"}, f"{'b' * 64}/json": top,
    }  # fmt: skip
    members = [t.file(name, json.dumps(content).encode()) for name, content in files.items()]
    members += [
        t.file(f"{'a' * 64}/layer.tar", SHARED),
        t.file(f"{'b' * 64}/layer.tar", ONE),
        t.file(f"{'b' * 64}/VERSION"),
    ]
    path.write_bytes(t.archive(*members))
    return path


def test_archives_from_before_docker_1_10(fresh_engine: Engine, tmp_path: Path) -> None:
    (image,) = api.load(str(legacy(tmp_path / "a.tar")))
    assert image.names == ["docker.io/old/app:1", "docker.io/old/app:latest"]
    assert image.config["rootfs"]["diff_ids"] == [t.sha256(SHARED), t.sha256(ONE)]
    assert image.config["config"] == {"Cmd": ["x"]}
    assert [step["created_by"] for step in image.config["history"]] == ["", "/bin/sh -c true"]
    assert [row["created_by"] for row in api.history(image)] == ["/bin/sh -c true", ""]


@pytest.mark.parametrize("changes", [{"parent": "b" * 64}, {"parent": 5}, {"parent": "../../etc"}, {"config": [1]}])
def test_a_chain_of_parents_that_is_none(fresh_engine: Engine, tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        api.load(str(legacy(tmp_path / "a.tar", **changes)))
    assert not api.ls("old")


# What peers make of ours.


@pytest.fixture
def saved(fresh_engine: Engine, tmp_path: Path) -> Path:
    """Archives of an image of gzip layers and one of zstd layers."""
    more = t.archive(
        t.folder("tmp", mode=0o1777), t.file("su", b"s", mode=0o4755), t.file("owned", b"", uid=7, gid=8, mtime=99),
        t.hardlink("same", "su", mode=0o4755), t.pax({"SCHILY.xattr.security.capability": bytes.fromhex("0100000200200000" + "00" * 12)}),
        t.file("capable", b"c", mode=0o755), t.header("fifo", type=b"6"), t.pax({"path": "n" * 150}), t.file("x", b"long"),
    )  # fmt: skip
    with layout.adding(fresh_engine):
        add(fresh_engine, ["docker.io/example/gz:1", "docker.io/example/gz:again"], SHARED, ONE, more)
        add(
            fresh_engine,
            ["docker.io/example/zst:1"],
            SHARED,
            TWO,
            more[:-1024] + t.file("zst", b"z") + t.END,
            kind="zstd",
        )
    api.save("example/gz:1", "example/gz:again", "example/zst:1", output=str(tmp_path / "all.tar"))
    api.save("example/gz:1", output=str(tmp_path / "one.tar"))
    api.save("example/gz:1", output=str(tmp_path / "oci.tar"), format="oci-archive")
    api.save("example/gz:1", "example/zst:1", output=str(tmp_path / "layout"), format="oci-dir")
    return tmp_path


@pytest.fixture
def short() -> Iterator[Path]:
    """podman and dockerd want short paths, for their sockets."""
    with tempfile.TemporaryDirectory(prefix="nbc-", dir="/tmp") as name:
        yield Path(name)


def like_ours(engine: Engine, folder: Path, name: str, root: str, *, vfs: bool = False) -> dict[str, Any]:
    """What differs. A vfs storage copies: hard links become files, and folders get the time of what was taken out."""
    ours, theirs = tree_of(engine, name, folder), listing.listing(root)
    for one in (ours, theirs):
        one.pop(".")
        if vfs:
            one["etc"].pop("mtime")
    return different(ours, theirs, but=("same",) if vfs else ())


@pytest.mark.as_root
def test_podman_loads_what_we_save(fresh_engine: Engine, peer: Peer, saved: Path, short: Path) -> None:
    peer("podman")
    where = ["--storage-driver", "vfs"]

    def podman(*words: str) -> str:
        command = peers.podman(short, "runc", [*where, *words])
        done = peers.run(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    loaded = podman("load", "-i", str(saved / "all.tar"))
    assert loaded.split("Loaded image: ")[1:] == [
        "docker.io/example/gz:1\n", "docker.io/example/gz:again\n", "docker.io/example/zst:1\n",
    ]  # fmt: skip
    assert "docker.io/example/gz:1" in podman("load", "-i", str(saved / "oci.tar"))
    for number, name in enumerate(("example/gz:1", "example/zst:1")):
        shown = json.loads(podman("inspect", f"docker.io/{name}"))[0]
        assert f"sha256:{shown['Id']}" == store.resolve(fresh_engine, name).id
        folder = podman("image", "mount", f"docker.io/{name}").strip()
        assert like_ours(fresh_engine, saved / f"ours{number}", name, folder, vfs=True) == {}
    podman("image", "umount", "-a")
    podman("rmi", "-af")


@pytest.mark.as_root
def test_docker_loads_what_we_save(fresh_engine: Engine, peer: Peer, saved: Path, short: Path) -> None:
    peer("dockerd")
    with programs.docker(short / "d", None, "--storage-driver", "vfs") as client:
        loaded = run(*client, "load", "-i", saved / "all.tar")
        assert "Loaded image: example/gz:1" in loaded
        assert "Loaded image: example/zst:1" in loaded
        for name in ("example/gz:1", "example/gz:again", "example/zst:1"):
            shown = json.loads(run(*client, "inspect", name))[0]
            ours = store.resolve(fresh_engine, name)
            assert shown["Id"] == ours.id
            assert shown["Config"]["Cmd"] == ours.config["config"]["Cmd"]
            assert shown["RootFS"]["Layers"] == ours.config["rootfs"]["diff_ids"]
        tops = [path for path in (short / "d/data/vfs/dir").iterdir() if (path / "capable").exists()]
        names = {str(top): "example/zst:1" if (top / "zst").exists() else "example/gz:1" for top in tops}
        assert sorted(names.values()) == ["example/gz:1", "example/zst:1"]
        for number, (top, name) in enumerate(names.items()):
            assert like_ours(fresh_engine, saved / str(number), name, top, vfs=True) == {}
        run(*client, "tag", "example/gz:1", "again/gz:9")
        run(*client, "save", "-o", saved / "theirs.tar", "again/gz:9", "example/zst:1")
    api.rm("example/zst:1")
    ids = {image.reference: image.id for image in api.load(str(saved / "theirs.tar"))}
    assert ids == {
        f"docker.io/{name}": store.resolve(fresh_engine, name).id for name in ("again/gz:9", "example/zst:1")
    }
    assert store.resolve(fresh_engine, "again/gz:9").id == store.resolve(fresh_engine, "example/gz:1").id


@pytest.mark.as_root
def test_skopeo_and_umoci_unpack_what_we_save(fresh_engine: Engine, peer: Peer, saved: Path) -> None:
    for number, source in enumerate((f"docker-archive:{saved}/all.tar:docker.io/example/gz:1",
                                     f"oci-archive:{saved}/oci.tar:docker.io/example/gz:1",
                                     f"oci:{saved}/layout:docker.io/example/gz:1")):  # fmt: skip
        run(peer("skopeo"), "copy", "--insecure-policy", source, f"oci:{saved}/copy{number}:x")
        run(peer("umoci"), "raw", "unpack", "--image", f"{saved}/copy{number}:x", saved / f"tree{number}")
        assert like_ours(fresh_engine, saved / f"ours{number}", "example/gz:1", str(saved / f"tree{number}")) == {}
    run(peer("umoci"), "raw", "unpack", "--image", f"{saved}/layout:docker.io/example/gz:1", saved / "direct")
    assert like_ours(fresh_engine, saved / "ours", "example/gz:1", str(saved / "direct")) == {}


# Trees.


@pytest.mark.as_root
def test_an_export_is_what_a_container_sees(fresh_engine: Engine, saved: Path) -> None:
    api.export("example/gz:1", output=str(saved / "x.tar"))
    (saved / "x").mkdir()
    run("tar", "-C", saved / "x", "--xattrs", "--xattrs-include=*", "--same-owner", "-xpf", saved / "x.tar")
    ours, theirs = tree_of(fresh_engine, "example/gz:1", saved / "o"), listing.listing(str(saved / "x"))
    assert different(ours, theirs) == {}
    assert "etc/hosts" not in ours  # a whiteout


def test_an_export_is_always_the_same_and_comes_in_again(pair: Engine, tmp_path: Path) -> None:
    api.export("one:1", output=str(tmp_path / "a.tar"))
    (image,) = [api.import_(str(tmp_path / "a.tar"), "again:1")]
    api.rm("one:1", "other/one:x")
    with layout.adding(pair):
        add(pair, ["localhost/once:more"], SHARED, ONE)
    api.export("once:more", output=str(tmp_path / "b.tar"))
    api.export("again:1", output=str(tmp_path / "c.tar"))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes() == (tmp_path / "c.tar").read_bytes()
    assert image.config["rootfs"]["diff_ids"] == [t.sha256((tmp_path / "a.tar").read_bytes())]
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert sorted(archive.getnames()) == [".", "bin", "bin/a", "etc", "one"]
    with pytest.raises(InvalidArgument, match="this machine itself"):
        api.export("host", output=str(tmp_path / "d.tar"))


# By a pipe, from the web.


def test_load_reads_its_input_where_no_file_is_named(pair: Engine, cli: Callable[..., Any], tmp_path: Path) -> None:
    """docker save … | nbcontainers load."""
    api.save("one:1", output=str(tmp_path / "a.tar"))
    with open(tmp_path / "a.tar", "rb") as archive:
        words = [sys.executable, "-m", "nbcontainers", "load"]
        done = subprocess.run(words, stdin=archive, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, store.resolve(pair, "one:1").id), done.stderr
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the input: it is empty" in done.stderr
    assert "docker save" in done.stderr


def test_import_from_the_web(fresh_engine: Engine) -> None:
    root = gzip.compress(t.archive(t.folder("bin"), t.file("bin/sh", b"x" * 9000)))
    with served({"/root.tar.gz": root, "/short.tar.gz": root}, cut=["/short.tar.gz"]) as web:
        made = api.import_(f"{web}/root.tar.gz", "web", platform="linux/arm/v6", change=["CMD /bin/sh"])
        facts = api.inspect("web")[0]
        assert (facts["Os"], facts["Architecture"], facts["Variant"]) == ("linux", "arm", "v6")
        assert made.layers[0]["mediaType"] == LAYER_GZIP
        before = listing.listing(str(fresh_engine.images))
        for path, said in (("short", "it ended after"), ("missing", "Not Found")):
            with pytest.raises(ImageError, match=f"{path}.* cannot be fetched: .*{said}"):
                api.import_(f"{web}/{path}.tar.gz", "web")
        assert listing.listing(str(fresh_engine.images)) == before
        with pytest.raises(InvalidArgument, match="is no platform"):
            api.import_(f"{web}/root.tar.gz", "web", platform="a/b/c/d")
