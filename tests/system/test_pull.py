"""`image pull` from Debian's docker-registry, from registries that lie, and from layouts on disk."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nbcontainers
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, ImageError, NotFound, RegistryError
from nbcontainers.image import api, layout, removal, rootfs, snapshot, store
from nbcontainers.oci import platform as platforms
from nbcontainers.oci.image import (
    CONFIG,
    FOREIGN_LAYERS,
    INDEX,
    LAYER,
    LAYER_GZIP,
    MANIFEST,
    architecture,
    encode,
)
from tests import registries
from tests import tarballs as t
from tests.registries import DockerRegistry, Liar, Said

SMALL = t.archive(t.folder("etc"), t.file("etc/hostname", b"pulled\n"))
NOISE = os.urandom(1 << 20)
LARGE = t.archive(t.folder("data"), *(t.file(f"data/{number}", NOISE[: 200_000 + number]) for number in range(20)))


def picture(engine: Engine) -> set[str]:
    """Every file of the store but locks."""
    tops = engine.images / "blobs/sha256", engine.snapshots, engine.root / "partial", engine.root / "leases"
    return {str(path) for top in tops for path in top.rglob("*") if not path.name.endswith(".lock")}


def states(events: list[dict[str, Any]]) -> set[str]:
    """How the layers ended."""
    return set({event["digest"]: event["state"] for event in events if event["event"] == "layer"}.values())


def content(engine: Engine, reference: str, path: str) -> bytes:
    """A file of the image, in its top layer."""
    return Path(rootfs.layers(engine, store.resolve(engine, reference))[0], path).read_bytes()


@pytest.fixture
def settings(nobody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`settings(registry)`: the settings file that reaches it, in a hurry."""

    def write(registry: Any = None, **numbers: float) -> None:
        numbers = {"stall_timeout": 0.5, "connect_timeout": 2, "backoff": 0.01} | numbers
        lines = [f"{name} = {value}" for name, value in numbers.items()]
        table = registry.toml() if isinstance(registry, DockerRegistry) else ""
        (tmp_path / "registries.toml").write_text("\n".join([*lines, "", table]))

    write()
    monkeypatch.setenv("NBCONTAINERS_REGISTRIES", str(tmp_path / "registries.toml"))
    return write


@pytest.fixture
def as_it_was(fresh_engine: Engine, settings: Any) -> Iterator[Engine]:
    """An engine whose store must be the same after the test."""
    layout.make(fresh_engine)
    before, index = picture(fresh_engine), (fresh_engine.images / "index.json").read_bytes()
    yield fresh_engine
    assert picture(fresh_engine) == before
    assert (fresh_engine.images / "index.json").read_bytes() == index


# -- registries that work ----------------------------------------------------------------------------------------------


def test_a_pull_a_second_one_and_a_moved_tag(
    fresh_engine: Engine, docker_registry: DockerRegistry, settings: Any
) -> None:
    name = f"{docker_registry.host}/pull/plain:1"
    registries.fill(docker_registry, "pull/plain:1", [SMALL, LARGE])
    events: list[dict[str, Any]] = []
    (image,) = api.pull(name, progress=events.append)
    assert (image.reference, states(events)) == (name, {"done"})
    assert content(fresh_engine, name, "data/3") == NOISE[:200_003]
    assert [event["event"] for event in (events[0], events[-1])] == ["image", "done"]
    assert [layer["size"] for layer in events[0]["layers"]] == [len(SMALL), len(LARGE)]
    events.clear()
    assert api.pull(name, progress=events.append) == [image]
    assert states(events) == {"exists"}
    registries.fill(docker_registry, "pull/plain:1", [SMALL, t.archive(t.file("other"))])
    events.clear()
    (moved,) = api.pull(name, progress=events.append)
    assert [event for event in events if event["event"] == "moved"] == [
        {"event": "moved", "reference": name, "from": image.digest, "to": moved.digest}
    ]
    assert {event["digest"] for event in events if event.get("state") == "exists"} == {t.sha256(SMALL)}
    (old,) = api.pull(f"{docker_registry.host}/pull/plain@{image.digest}")
    assert old.digest == image.digest
    assert store.resolve(fresh_engine, old.reference) == old


def test_basic_authentication(
    fresh_engine: Engine, docker_registry_users: DockerRegistry, settings: Any, nobody: Path
) -> None:
    host = docker_registry_users.host
    registries.fill(docker_registry_users, "pull/users:1", [SMALL])
    with pytest.raises(RegistryError) as caught:
        api.pull(f"{host}/pull/users:1")
    assert caught.value.status == 401
    assert "login" in caught.value.hint
    api.login(host, username=registries.USER, password=registries.PASSWORD)
    assert api.pull(f"{host}/pull/users:1")[0].layers[0]["digest"] == t.sha256(SMALL)


def test_tls_by_a_ca_of_its_own(fresh_engine: Engine, docker_registry_tls: DockerRegistry, settings: Any) -> None:
    registries.fill(docker_registry_tls, "pull/tls:1", [SMALL])
    settings(docker_registry_tls)
    assert api.pull(f"{docker_registry_tls.host}/pull/tls:1")[0].chain_ids == [t.sha256(SMALL)]


def test_a_short_name_is_searched_for(
    fresh_engine: Engine, docker_registry: DockerRegistry, liar: Liar, settings: Any, tmp_path: Path
) -> None:
    registries.fill(docker_registry, "short/name:1", [SMALL])
    text = f'search = ["{liar.host}", "{docker_registry.host}"]\naliases = {{ brief = "{docker_registry.host}/short/name" }}\n'
    (tmp_path / "registries.toml").write_text(text)
    for short in ("short/name:1", "brief:1"):
        assert api.pull(short)[0].reference == f"{docker_registry.host}/short/name:1"
    with pytest.raises(NotFound, match=r"no image 'short/absent' at 127\.0\.0\.1"):
        api.pull("short/absent")


def test_all_tags(fresh_engine: Engine, docker_registry: DockerRegistry, settings: Any) -> None:
    for tag in ("1", "2"):
        registries.fill(docker_registry, f"pull/many:{tag}", [t.archive(t.file("tag", tag.encode()))])
    found = api.pull(f"{docker_registry.host}/pull/many", all_tags=True)
    assert sorted(image.reference.rpartition(":")[2] for image in found) == ["1", "2"]


def test_only_what_is_missing_is_asked_for(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    """A second pull of a changed top layer asks for that layer, its config and its manifest."""
    liar.serve("x", "1", registries.image_of([SMALL, LARGE]))
    api.pull(f"{liar.host}/x:1")
    top = t.archive(t.file("top", b"2"))
    blobs = registries.image_of([SMALL, LARGE, top])
    liar.serve("x", "1", blobs)
    liar.asked.clear()
    api.pull(f"{liar.host}/x:1")
    _, _, _, (config, _), _ = blobs.items()
    got = [path.rpartition("/")[2] for path in liar.paths("GET") if "/blobs/" in path]
    assert sorted(got) == sorted([t.sha256(top), config])
    liar.asked.clear()
    api.pull(f"{liar.host}/x:1")
    assert [path for path in liar.paths("GET") if path.startswith("/v2/x/")] == []


def test_a_snapshot_that_is_there_is_not_made_again(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    """The same layer, compressed otherwise: its blob is fetched, for the layout to be whole, and not unpacked."""
    liar.serve("x", "plain", registries.image_of([LARGE]))
    api.pull(f"{liar.host}/x:plain")
    made = (fresh_engine.snapshots / t.sha256(LARGE)[7:]).stat().st_ino
    packed = gzip.compress(LARGE, 1)
    liar.serve("x", "gzip", registries.image_of([packed], LAYER_GZIP, [t.sha256(LARGE)]))
    api.pull(f"{liar.host}/x:gzip")
    assert (fresh_engine.snapshots / t.sha256(LARGE)[7:]).stat().st_ino == made
    assert layout.blob(fresh_engine, t.sha256(packed)).exists()


def test_a_layer_that_comes_twice(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    """One blob, fetched once; a snapshot for each place in the chain. Also a layer without entries."""
    layers = [SMALL, t.archive(), SMALL, LARGE]
    liar.serve("x", "1", registries.image_of(layers))
    (image,) = api.pull(f"{liar.host}/x:1")
    assert len(image.chain_ids) == len(set(image.chain_ids)) == 4
    assert [len(list(snapshot.path(fresh_engine.snapshots, one).iterdir())) for one in image.chain_ids] == [1, 0, 1, 1]
    assert liar.paths("GET").count(f"/v2/x/blobs/{t.sha256(SMALL)}") == 1


# -- platforms ---------------------------------------------------------------------------------------------------------


def index_of(liar: Liar, path: str, *offered: str, media_type: str = INDEX) -> dict[str, str]:
    """Serve an index of one small image a platform as PATH:1; manifest digests by platform."""
    entries, found = [], {}
    for name in offered:
        os_, machine, *variant = name.split("/")
        platform = {"os": os_, "architecture": machine} | ({"variant": variant[0]} if variant else {})
        *blobs, (digest, manifest) = registries.image_of([t.archive(t.file("platform", name.encode()))]).items()
        liar.serve(path, digest, dict([*blobs, (digest, manifest)]))
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": len(manifest), "platform": platform})
        found[name] = digest
    serve_index(liar, path, "1", entries)
    return found


def serve_index(liar: Liar, path: str, tag: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    document = encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    digest = t.sha256(document)
    for name in (tag, digest):
        liar.say(
            "*", f"/v2/{path}/manifests/{name}",
            Said(body=document, headers={"Content-Type": INDEX, "Docker-Content-Digest": digest}),
        )  # fmt: skip
    return {"mediaType": INDEX, "digest": digest, "size": len(document)}


def test_the_platform_is_chosen(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    ours = f"linux/{architecture()}"
    offered = index_of(liar, "x", "unknown/unknown", "linux/arm/v6", ours, "linux/s390x", "windows/amd64")
    (image,) = api.pull(f"{liar.host}/x:1")
    assert image.digest == offered[ours]
    assert store.resolve(fresh_engine, f"{liar.host}/x@{t.sha256(body(liar, 'x', '1'))}") is not None
    liar.asked.clear()
    assert api.pull(f"{liar.host}/x:1") == [image]
    assert [path for path in liar.paths("GET") if "/manifests/" in path] == [], "a HEAD was enough"
    with pytest.raises(NotFound, match="for linux/riscv64; there are linux/arm/v6") as caught:
        api.pull(f"{liar.host}/x:1", platform="linux/riscv64")
    assert "--platform" in caught.value.hint


def body(liar: Liar, path: str, tag: str) -> bytes:
    said = liar.scripts["*", f"/v2/{path}/manifests/{tag}"]
    assert isinstance(said, Said)
    return said.body


def test_an_older_variant_will_do(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    index_of(liar, "x", "linux/arm/v5", "linux/arm/v6", "linux/arm64/v8")
    entries = json.loads(body(liar, "x", "1"))["manifests"]
    chosen = platforms.choose(entries, platforms.parse("linux/arm/v7"))
    assert [str(platforms.of(one["platform"])) for one in chosen] == ["linux/arm/v6", "linux/arm/v5"]


def test_an_index_in_an_index(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    index_of(liar, "x", f"linux/{architecture()}")
    inner = {"mediaType": INDEX, "digest": t.sha256(body(liar, "x", "1")), "size": len(body(liar, "x", "1"))}
    outer = serve_index(liar, "x", "two", [inner])
    api.pull(f"{liar.host}/x:two")
    for tag in ("three", "four"):
        outer = serve_index(liar, "x", tag, [outer])
    with pytest.raises(ImageError, match="one in another"):
        api.pull(f"{liar.host}/x:four")


# -- registries that lie -----------------------------------------------------------------------------------------------


def image_with(liar: Liar, **lies: Any) -> str:
    """An image of two layers whose manifest or config is changed; its reference."""
    layers = [SMALL, LARGE]
    config = {
        "architecture": architecture(), "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": lies.get("diff_ids", [t.sha256(one) for one in layers])},
    }  # fmt: skip
    written = encode(config)
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": t.sha256(written), "size": len(written)} | lies.get("config", {}),
        "layers": [{"mediaType": LAYER, "digest": t.sha256(one), "size": len(one)} for one in layers],
    }  # fmt: skip
    manifest["layers"][1] |= lies.get("layer", {})
    manifest |= lies.get("manifest", {})
    document = encode(manifest)
    for one in (*layers, written):
        liar.say("*", f"/v2/x/blobs/{t.sha256(one)}", Said(body=one))
    headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": t.sha256(document)}
    for name in ("1", t.sha256(document)):
        liar.say("*", f"/v2/x/manifests/{name}", Said(body=document, headers=headers))
    return f"{liar.host}/x:1"


OTHER = f"sha256:{'0' * 64}"
LIES: dict[str, tuple[dict[str, Any], type[Error], str]] = {
    "a DiffID": ({"diff_ids": [t.sha256(SMALL), OTHER]}, ImageError, "when unpacked"),
    "how many DiffIDs": ({"diff_ids": [OTHER]}, ImageError, "1 DiffIDs for 2 layers"),
    "a size": ({"layer": {"size": len(LARGE) - 512}}, RegistryError, "descriptor says"),
    "a larger size": ({"layer": {"size": len(LARGE) + 512}}, RegistryError, "descriptor says"),
    "a negative size": ({"layer": {"size": -1}}, ImageError, "impossible size"),
    "an unknown type": ({"layer": {"mediaType": "application/x-rar"}}, ImageError, "application/x-rar"),
    "an artifact": ({"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json"}}, ImageError, "artifact"),
    "an artifact's type": ({"manifest": {"artifactType": "application/spdx+json"}}, ImageError, "application/spdx"),
    "the config's size": ({"config": {"size": 3}}, RegistryError, "descriptor says"),
    "an enormous config": ({"config": {"size": 1 << 40}}, ImageError, "are allowed"),
    "a layer that is missing": ({"layer": {"digest": OTHER}}, RegistryError, "404|unknown|does not"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_in_documents(as_it_was: Engine, liar: Liar, name: str) -> None:
    lies, kind, message = LIES[name]
    with pytest.raises(kind, match=message):
        api.pull(image_with(liar, **lies))


BLOBS: dict[str, tuple[Said, str]] = {
    "another content of that length": (Said(body=LARGE[:-512] + b"x" * 512), "turned out to be|damaged tar"),
    "a length": (Said(body=LARGE, length=len(LARGE) + 7), "descriptor says"),
    "more than it says": (Said(body=LARGE + b"more", length=-1), "more"),
    "an end half way, always": (Said(body=LARGE, cut=len(LARGE) // 2, length=len(LARGE)), "half way|to come"),
    "a web page": (Said(body=b"<html><body>please log in", headers={"Content-Type": "text/html"}), "descriptor|web"),
    "an error": (Said(500, b"oops"), "500"),
    "nothing, for ever": (Said(body=LARGE, stall=30), "nothing came|in time"),
    "a drip": (Said(body=LARGE, drip=0.05), "bytes came"),
}


@pytest.mark.parametrize("name", BLOBS)
def test_lies_in_blobs(as_it_was: Engine, liar: Liar, name: str) -> None:
    said, message = BLOBS[name]
    reference = image_with(liar)
    liar.say("GET", f"/v2/x/blobs/{t.sha256(LARGE)}", said)
    begun = time.monotonic()
    with pytest.raises(Error, match=message):
        api.pull(reference)
    assert time.monotonic() - begun < 20


def test_a_broken_connection_is_gone_on_with(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    """Every answer ends after a part; the next request asks for the rest, and the layer is read over it."""
    reference = image_with(liar)
    part = len(LARGE) // 4

    def some(asked: registries.Asked) -> Said:
        first = int(asked.headers.get("range", "bytes=0-")[6:].partition("-")[0])
        headers = {"Content-Range": f"bytes {first}-{len(LARGE) - 1}/{len(LARGE)}"} if first else {}
        rest = LARGE[first:]
        return Said(206 if first else 200, rest, headers, length=len(rest), cut=part)

    liar.say("GET", f"/v2/x/blobs/{t.sha256(LARGE)}", some)
    events: list[dict[str, Any]] = []
    api.pull(reference, progress=events.append)
    assert content(fresh_engine, reference, "data/19") == NOISE[:200_019]
    ranges = [one.headers.get("range") for one in liar.asked if t.sha256(LARGE) in one.path]
    assert [text and text.partition("-")[0] for text in ranges] == [
        None,
        *(f"bytes={part * number}" for number in range(1, 5)),
    ][: len(ranges)]
    assert len(ranges) >= 4
    assert "retrying" in {event.get("state") for event in events}


def test_a_config_that_breaks_off_is_gone_on_with(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    reference = image_with(liar)
    (place,) = [
        path
        for _, path in liar.scripts
        if "/blobs/" in path and t.sha256(SMALL) not in path and t.sha256(LARGE) not in path
    ]
    whole = liar.scripts["*", place]
    assert isinstance(whole, Said)
    liar.say("GET", place, [Said(body=whole.body, cut=20), whole])
    api.pull(reference)
    assert content(fresh_engine, reference, "data/19") == NOISE[:200_019]


@pytest.mark.parametrize("said", [Said(body=SMALL[:-1] + b"x"), Said(body=SMALL + b"more", length=-1)])
def test_a_mirror_that_lies_is_passed_by(
    fresh_engine: Engine, liar: Liar, docker_registry: DockerRegistry, settings: Any, tmp_path: Path, said: Said
) -> None:
    registries.fill(docker_registry, "pull/mirrored:1", [SMALL])
    blobs = registries.image_of([SMALL])
    liar.serve("pull/mirrored", "1", blobs)
    liar.say("GET", f"/v2/pull/mirrored/blobs/{t.sha256(SMALL)}", said)
    table = f'[registry."{docker_registry.host}"]\nmirrors = ["{liar.host}"]\n'
    (tmp_path / "registries.toml").write_text(table)
    reference = f"{docker_registry.host}/pull/mirrored:1"
    api.pull(reference)
    assert content(fresh_engine, reference, "etc/hostname") == b"pulled\n"
    assert any(t.sha256(SMALL) in path for path in liar.paths("GET")), "the mirror was asked first"


def test_foreign_layers_may_be_pulled_and_not_pushed(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    reference = image_with(liar, layer={"mediaType": FOREIGN_LAYERS[0]})
    api.pull(reference)
    with pytest.raises(ImageError, match="may not be pushed"):
        api.push(reference, f"{liar.host}/y:1")


# -- together, and killed ----------------------------------------------------------------------------------------------

PULL = """
import json, sys
from nbcontainers.image import api
events = []
api.pull(sys.argv[1], progress=events.append)
print(json.dumps([event for event in events if event["event"] == "layer"]))
"""


def test_three_at_once_make_each_snapshot_once(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    settings(stall_timeout=20)
    layers = [t.archive(t.file(f"layer{number}", NOISE[: 300_000 + number])) for number in range(4)]
    liar.serve("x", "1", registries.image_of(layers))
    command = [sys.executable, "-c", PULL, f"{liar.host}/x:1"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    made = [digest for text in ended for digest in extracted(json.loads(text))]
    assert sorted(made) == sorted(map(t.sha256, layers))
    assert len(list(fresh_engine.snapshots.glob("*/layer.json"))) == 4
    assert [path.name for path in fresh_engine.snapshots.iterdir() if "." in path.name] == []


def extracted(events: list[dict[str, Any]]) -> set[str]:
    return {event["digest"] for event in events if event["state"] == "done"}


def test_an_interrupt_stops_it_at_once(as_it_was: Engine, liar: Liar) -> None:
    reference = image_with(liar)
    liar.say("GET", f"/v2/x/blobs/{t.sha256(LARGE)}", Said(body=LARGE, stall=30))
    sent: list[float] = []

    def stop(event: dict[str, Any]) -> None:
        if event.get("state") == "downloading" and not sent:
            sent.append(time.monotonic())
            threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        api.pull(reference, progress=stop)
    assert time.monotonic() - sent[0] < 1.5


@pytest.mark.leaks("what a killed process leaves is removed by the sweep that the test is about")
def test_a_killed_pull_leaves_nothing_but_parts(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    settings(stall_timeout=20)
    reference = image_with(liar)
    honest = liar.scripts["*", f"/v2/x/blobs/{t.sha256(LARGE)}"]
    liar.say("GET", f"/v2/x/blobs/{t.sha256(LARGE)}", Said(body=LARGE, length=len(LARGE), cut=LARGE_HALF, stall=0))
    script = PULL.replace("events.append", "lambda event: event.get('state') == 'retrying' and os.kill(os.getpid(), 9)")
    script = f"import os\n{script}"
    killed = subprocess.run([sys.executable, "-c", script, reference], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    del liar.scripts["GET", f"/v2/x/blobs/{t.sha256(LARGE)}"]
    assert liar.scripts["*", f"/v2/x/blobs/{t.sha256(LARGE)}"] is honest
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(removal.sweep(fresh_engine).values()) | bool(picture(fresh_engine)):
        time.sleep(0.05)  # the launcher's child notices that its client is gone
    assert picture(fresh_engine) == set()
    api.pull(reference)
    assert content(fresh_engine, reference, "data/0") == NOISE[:200_000]


LARGE_HALF = len(LARGE) // 2


FULL = """
from nbcontainers.image import api

def picture():
    tops = [f"{disk}/root/{name}" for name in ("images/blobs", "snapshots", "partial", "leases")]
    return {path for top in tops for path, _, names in os.walk(top) for path in [path, *(f"{path}/{n}" for n in names)]
            if not path.endswith(".lock")}

api.rm("mini", force=True)
before, usage = picture(), os.statvfs(disk)
kilobytes = (usage.f_blocks - usage.f_bfree) * usage.f_frsize // 1024
for more in range(0, 9000, 600):
    resize(f"size={kilobytes + more}k")
    try:
        api.pull(os.environ["REFERENCE"])
        print("pulled", more)
        break
    except Error as error:
        assert "make room" in error.hint, error
        print("full", more)
    except OSError:  # of the client itself, which the faces explain
        print("full", more)
    left = picture() - before
    assert not left, (more, sorted(left)[:5])
"""


@pytest.mark.as_root
def test_a_full_disk_keeps_nothing(liar: Liar, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the room ends: in a blob, in a snapshot, at the last rename."""
    from tests.system.test_full_disk import carry_out

    settings(stall_timeout=20)
    monkeypatch.setenv("REFERENCE", image_with(liar))
    (tmp_path / "disk").mkdir()
    lines = carry_out(FULL, tmp_path / "disk").split("\n")
    assert sum(line.startswith("full") for line in lines) > 3
    assert sum(line.startswith("pulled") for line in lines) == 1


# -- without a registry ------------------------------------------------------------------------------------------------


def test_from_a_layout(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    """Our own store is a layout: what was pulled from a registry is pulled from there."""
    liar.serve("x", "1", registries.image_of([SMALL, LARGE]))
    (image,) = api.pull(f"{liar.host}/x:1")
    there = fresh_engine.root.parent / "layout"
    os.rename(fresh_engine.images, there)
    fresh_engine.images.mkdir(mode=0o700)
    (again,) = api.pull(f"oci:{there}:{liar.host}/x:1")
    assert (again.digest, again.reference) == (image.digest, f"{liar.host}/x:1")
    (short,) = api.pull(f"oci:{there}")
    assert short.digest == image.digest
    with pytest.raises(NotFound, match="no image 'absent'") as caught:
        api.pull(f"oci:{there}:absent")
    assert "%image pull" in caught.value.hint
    blob = there / "blobs/sha256" / t.sha256(LARGE)[7:]
    blob.write_bytes(LARGE[:-1] + b"x")
    api.rm(again.reference, force=True)
    before = picture(fresh_engine)
    with pytest.raises(ImageError, match=r"turned out|damaged"):
        api.pull(f"oci:{there}")
    assert picture(fresh_engine) == before


# -- what a run needs --------------------------------------------------------------------------------------------------


def test_a_run_pulls_what_is_missing(fresh_engine: Engine, docker_registry: DockerRegistry, settings: Any) -> None:
    from tests.crafted import base

    name = f"{docker_registry.host}/pull/run:1"
    registries.fill(docker_registry, "pull/run:1", [base()])
    with pytest.raises(NotFound, match="no image"):
        nbcontainers.run(name, "true", pull="never", network="none")
    events: list[dict[str, Any]] = []
    output: list[bytes] = []
    ran = nbcontainers.run(name, "echo", "hi", rm=True, network="none", on_pull=events.append, stdout=output.append)
    assert (ran.exit_code, b"".join(output)) == (0, b"hi\n")
    assert events[-1]["event"] == "done"
    events.clear()
    nbcontainers.run(name, "true", rm=True, network="none", on_pull=events.append)
    assert events == []
    nbcontainers.run(name, "true", rm=True, network="none", pull="always", on_pull=events.append)
    assert states(events) == {"exists"}


def test_the_command_line_s_run_pulls_quietly(fresh_engine: Engine, docker_registry: DockerRegistry, cli: Any) -> None:
    """docker run -q."""
    from tests.crafted import base

    name = f"{docker_registry.host}/pull/quiet:1"
    registries.fill(docker_registry, "pull/quiet:1", [base()])
    for words, said in ((["-q"], False), (["--quiet", "--pull", "always"], False), (["--pull", "always"], True)):
        done = cli("run", "--rm", "--network", "none", *words, name, "echo", "hi")
        assert (done.returncode, done.stdout) == (0, "hi\n"), done.stderr
        assert (name in done.stderr) is said


def test_an_image_for_another_machine_is_run_with_a_word_from_the_first_time(
    fresh_engine: Engine, docker_registry: DockerRegistry, settings: Any
) -> None:
    from nbcontainers.advice import Advice
    from tests.crafted import base

    name = f"{docker_registry.host}/pull/other:1"
    registries.fill(docker_registry, "pull/other:1", [base()], architecture="riscv64")
    for _ in range(2):
        with pytest.warns(Advice, match="is for linux/riscv64, and this machine is"):
            nbcontainers.run(name, "true", rm=True, network="none")
    api.tag(name, own := f"{docker_registry.host}/pull/own:1")
    with pytest.raises(NotFound, match=rf"^image {own} for linux/s390x cannot be pulled: ") as caught:
        nbcontainers.run(own, "true", platform="linux/s390x", network="none")
    assert "did you mean" not in caught.value.hint, "it is here, and no mistake"


def test_what_is_nowhere_is_not_found(fresh_engine: Engine, docker_registry: DockerRegistry, settings: Any) -> None:
    with pytest.raises(NotFound, match=r"cannot be pulled: .*pull/absent:1 does not exist"):
        nbcontainers.run(f"{docker_registry.host}/pull/absent:1", network="none")
    with pytest.raises(NotFound, match="cannot be pulled"):
        nbcontainers.run("127.0.0.1:1/absent", network="none")


def test_snapshots_tell_their_size(fresh_engine: Engine, liar: Liar, settings: Any) -> None:
    liar.serve("x", "1", registries.image_of([SMALL]))
    (image,) = api.pull(f"{liar.host}/x:1")
    assert snapshot.facts(fresh_engine.snapshots, image.chain_ids[0])["size"] == 7
