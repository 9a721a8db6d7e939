"""`image push` to Debian's docker-registry, read back by skopeo and umoci; and large trees both ways."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, ImageError, InvalidArgument, NotFound, RegistryError
from nbcontainers.image import api, layout, snapshot, store
from nbcontainers.oci.image import MANIFESTS
from tests import listing, registries
from tests import tarballs as t
from tests.registries import DockerRegistry, Liar, Said
from tests.system.test_image_peers import different, layers, merged, run

Peer = Callable[[str], str]
SMALL = t.archive(t.folder("etc"), t.file("etc/hostname", b"pushed\n"))
OTHER = t.archive(t.file("other", os.urandom(3_000_000)))


def states(events: list[dict[str, Any]]) -> set[str]:
    return set({event["digest"]: event["state"] for event in events if event["event"] == "layer"}.values())


def manifest_of(registry: DockerRegistry, path: str, tag: str) -> tuple[bytes, str]:
    """A manifest's bytes as the registry has them, and the digest it gives."""
    status, headers, content = registry.request(
        "GET", f"/v2/{path}/manifests/{tag}", headers={"Accept": ", ".join(MANIFESTS)}
    )
    assert status == 200, content
    return content, headers["Docker-Content-Digest"]


@pytest.fixture
def here(fresh_engine: Engine, nobody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An empty store with an image `local/small:1` of two layers."""
    (tmp_path / "registries.toml").write_text("stall_timeout = 2\nbackoff = 0.01\n")
    monkeypatch.setenv("NBCONTAINERS_REGISTRIES", str(tmp_path / "registries.toml"))
    api.load(str(t.docker_archive(tmp_path / "small.tar", [SMALL, OTHER], "local/small:1")))
    return fresh_engine


# -- what others read --------------------------------------------------------------------------------------------------


@pytest.mark.as_root
@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_what_we_push_is_what_skopeo_and_umoci_read(
    here: Engine, docker_registry: DockerRegistry, peer: Peer, tmp_path: Path, codec: str
) -> None:
    """From a peer's hands through ours into a peer's: the same bytes, and trees that are equal file by file."""
    skopeo, host, path = peer("skopeo"), docker_registry.host, f"push/{codec}"
    t.docker_archive(tmp_path / "all.tar", layers(), "example/all:1")
    words = ("--dest-tls-verify=false", "--dest-compress-format", codec, "--dest-compress")
    run(skopeo, "copy", *words, f"docker-archive:{tmp_path}/all.tar", f"docker://{host}/{path}:made")
    (image,) = api.pull(f"{host}/{path}:made")
    digest = api.push(f"{host}/{path}:made", f"{host}/{path}-again:1")
    assert manifest_of(docker_registry, f"{path}-again", "1") == (manifest_of(docker_registry, path, "made")[0], digest)
    seen = json.loads(run(skopeo, "inspect", "--tls-verify=false", f"docker://{host}/{path}-again:1"))
    assert (seen["Digest"], seen["Layers"]) == (image.digest, [layer["digest"] for layer in image.layers])
    ours = merged(here, f"{host}/{path}:made", tmp_path)
    words = ("--src-tls-verify=false", *(("--dest-decompress",) if codec == "zstd" else ()))  # umoci 0.4 reads no zstd
    run(skopeo, "copy", *words, f"docker://{host}/{path}-again:1", f"oci:{tmp_path}/layout:one")
    run(peer("umoci"), "raw", "unpack", "--image", f"{tmp_path}/layout:one", tmp_path / "theirs")
    theirs = listing.listing(str(tmp_path / "theirs"))
    for name in (".", "old", "d" * 120):  # no layer, or not the last one, says when these changed
        ours[name].pop("mtime"), theirs[name].pop("mtime")
    assert different(ours, theirs) == {}


def test_with_users_and_tls(
    here: Engine,
    docker_registry_users: DockerRegistry,
    docker_registry_tls: DockerRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RegistryError) as caught:
        api.push("local/small:1", f"{docker_registry_users.host}/push/users:1")
    assert "login" in caught.value.hint
    api.login(docker_registry_users.host, username=registries.USER, password=registries.PASSWORD)
    digest = api.push("local/small:1", f"{docker_registry_users.host}/push/users:1")
    assert manifest_of(docker_registry_users, "push/users", "1")[1] == digest
    (tmp_path / "registries.toml").write_text(docker_registry_tls.toml())
    assert api.push("local/small:1", f"{docker_registry_tls.host}/push/tls:1") == digest


def test_nothing_is_sent_twice(here: Engine, docker_registry: DockerRegistry) -> None:
    host = docker_registry.host
    for destination, ended in (("push/one:1", "done"), ("push/one:2", "exists"), ("push/two:1", "mounted")):
        events: list[dict[str, Any]] = []
        digest = api.push("local/small:1", f"{host}/{destination}", progress=events.append)
        assert states(events) == {ended}, destination
        assert events[-1] == {"event": "done", "digest": digest}


def test_all_names_of_a_repository(here: Engine, docker_registry: DockerRegistry) -> None:
    name = f"{docker_registry.host}/push/names"
    for tag in ("a", "b"):
        api.tag("local/small:1", f"{name}:{tag}")
    api.push(f"{name}:a", all_tags=False)
    api.tag("local/small:1", f"{name}:latest")
    with pytest.raises(InvalidArgument, match="goes with a name without tag"):
        api.push(f"{name}:latest", all_tags=True)
    api.push(name, all_tags=True)
    _, _, content = docker_registry.request("GET", "/v2/push/names/tags/list")
    assert sorted(json.loads(content)["tags"]) == ["a", "b", "latest"]


# -- what cannot be pushed ---------------------------------------------------------------------------------------------


def test_what_has_no_place_to_go(here: Engine, docker_registry: DockerRegistry, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="host is this machine itself") as caught:
        api.push("host", f"{docker_registry.host}/push/host:1")
    assert "another image" in caught.value.hint
    with pytest.raises(InvalidArgument, match="no registry in its name") as caught:
        api.push("mini")
    assert "REGISTRY/NAME" in caught.value.hint
    with pytest.raises(NotFound):
        api.push("absent", f"{docker_registry.host}/push/absent:1")


def test_missing_and_damaged_blobs_say_so(here: Engine, docker_registry: DockerRegistry) -> None:
    blob = layout.blob(here, t.sha256(OTHER))
    blob.write_bytes(OTHER[:-1])
    with pytest.raises(ImageError, match="is damaged"):
        api.push("local/small:1", f"{docker_registry.host}/push/damaged:1")
    blob.write_bytes(OTHER[:-1] + b"x")
    with pytest.raises(Error, match=r"digest|damaged|400"):
        api.push("local/small:1", f"{docker_registry.host}/push/damaged:1")
    blob.unlink()
    with pytest.raises(NotFound, match="is not in the store"):
        api.push("local/small:1", f"{docker_registry.host}/push/damaged:1")


REFUSALS = {
    "no uploads": ("POST", "/v2/x/blobs/uploads/", Said(403), r"403|denied|login"),
    "a disk that is full": ("PUT", "/v2/x/blobs/uploads/1", Said(507, b"{}"), "507"),
    "no manifest": ("PUT", "/v2/x/manifests/1", Said(400, b'{"errors":[{"code":"MANIFEST_INVALID"}]}'), "(?i)manifest"),
    "a hung-up line": ("PUT", "/v2/x/blobs/uploads/1", Said(raw=b""), "closed"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(here: Engine, liar: Liar, name: str) -> None:
    accept(liar)
    method, path, said, message = REFUSALS[name]
    liar.say(method, path, said)
    before = (here.images / "index.json").read_bytes()
    with pytest.raises(RegistryError, match=message):
        api.push("local/small:1", f"{liar.host}/x:1")
    assert (here.images / "index.json").read_bytes() == before


def accept(liar: Liar) -> None:
    """A registry that takes everything."""
    liar.say("HEAD", "/v2/x/blobs/*", Said(404))
    liar.say("POST", "/v2/x/blobs/uploads/", Said(202, headers={"Location": "/v2/x/blobs/uploads/1"}))
    liar.say("PUT", "/v2/x/blobs/uploads/1", Said(201))
    liar.say("PATCH", "/v2/x/blobs/uploads/1", Said(raw=b""))
    liar.say("GET", "/v2/x/blobs/uploads/1", Said(raw=b""))
    liar.say("DELETE", "/v2/x/blobs/uploads/1", Said(204))
    liar.say("PUT", "/v2/x/manifests/1", Said(201))


def test_an_interrupt_ends_a_push(here: Engine, liar: Liar) -> None:
    accept(liar)
    liar.say("PUT", "/v2/x/blobs/uploads/1", Said(201, before=30))
    begun = time.monotonic()
    threading.Timer(0.5, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        api.push("local/small:1", f"{liar.host}/x:1")
    assert time.monotonic() - begun < 1.5


# -- large ones, both ways ---------------------------------------------------------------------------------------------


def conda_like(path: Path, files: int) -> Path:
    """A tar of many small files in deep folders, with the links that conda makes."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(files):
            folder = f"opt/conda/lib/python3.12/site-packages/package{number // 50}"
            data = b"def function_%d():\n    return %d\n" % (number, number) * (number % 30)
            info = tarfile.TarInfo(f"{folder}/module{number}.py")
            info.size, info.mtime, info.mode = len(data), 1_600_000_000 + number, (0o644, 0o755)[number % 2]
            tar.addfile(info, BytesIO(data))
            if number % 50 == 0:
                link = tarfile.TarInfo(f"opt/conda/pkgs/package{number // 50}.py")
                link.type, link.linkname = tarfile.LNKTYPE, info.name
                tar.addfile(link)
    return path


def gigabyte(path: Path) -> Path:
    """A tar with a file of 1 GB whose content repeats after a megabyte."""
    block = os.urandom(1 << 20)
    with open(path, "wb") as file:
        file.write(t.header("var/lib/large", size=1 << 30))
        for _ in range(1024):
            file.write(block)
        file.write(t.END)
    return path


@pytest.mark.slow
@pytest.mark.as_root
@pytest.mark.parametrize("form", ["50,000 small files", "one gigabyte"])
def test_large_layers(here: Engine, docker_registry: DockerRegistry, peer: Peer, form: str) -> None:
    """Imported, pushed, removed, pulled; GNU tar finds no difference."""
    folder = here.root.parent
    tar = conda_like(folder / "a.tar", 50_000) if form.startswith("50") else gigabyte(folder / "a.tar")
    packed = folder / "a.tar.zst"
    subprocess.run([peer("zstd"), "-q", "-1", "-T2", tar, "-o", packed], check=True)
    name = f"{docker_registry.host}/push/large:{form.partition(' ')[0].replace(',', '')}"
    image = api.import_(str(packed), name)
    found = snapshot.path(here.snapshots, image.chain_ids[0])
    api.push(name)
    api.rm(name)
    assert not found.exists()
    assert api.pull(name) == [image]
    assert run("tar", "--compare", "-f", tar, "-C", found) == ""
    api.rm(name)


BOOTSTRAP = "NBCONTAINERS_TESTS_BOOTSTRAP"


@pytest.mark.slow
@pytest.mark.as_root
@pytest.mark.timeout(600)
@pytest.mark.skipif(not os.environ.get(BOOTSTRAP), reason=f"makes a Debian from its mirror: set {BOOTSTRAP}=1")
@pytest.mark.may_skip("needs a mirror of Debian, and all traffic of CI's tests is to stay on this machine")
def test_a_debian_root(here: Engine, docker_registry: DockerRegistry, peer: Peer, tmp_path: Path) -> None:
    """mmdebstrap's tar as an image, pushed by us, unpacked by umoci: equal to ours."""
    subprocess.run(
        [peer("mmdebstrap"), "--quiet", "--variant=minbase", "bookworm", tmp_path / "debian.tar"],
        check=True,
        timeout=500,
    )
    name = f"{docker_registry.host}/push/debian:12"
    api.import_(str(tmp_path / "debian.tar"), name)
    api.push(name)
    api.rm(name)
    api.pull(name)
    source = f"docker://{name}"
    run(peer("skopeo"), "copy", "--src-tls-verify=false", source, f"oci:{tmp_path}/layout:one")
    run(peer("umoci"), "raw", "unpack", "--image", f"{tmp_path}/layout:one", tmp_path / "theirs")
    assert different(merged(here, name, tmp_path), listing.listing(str(tmp_path / "theirs"))) == {}
    assert store.resolve(here, name).digest
