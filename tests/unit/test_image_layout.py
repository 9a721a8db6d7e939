"""The store on disk: blobs, names, locks; and which image a text means."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument, InvalidState, NotFound
from nbcontainers.image import layout, removal, store
from nbcontainers.image.image import HOST, Image
from nbcontainers.oci.image import CONFIG, LAYER, MANIFEST, REF_NAME, Descriptor, descriptor, manifest
from tests import tarballs


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "root", tmp_path / "run", False).prepare()


def add(engine: Engine, *names: str, text: str = "x") -> Descriptor:
    """An image of one layer that is never unpacked, under these names."""
    content = tarballs.archive(tarballs.file(text, text.encode()))
    digest, size = layout.put(engine, [content])
    config = {"created": "2020-01-01T00:00:00Z", "architecture": "amd64", "os": "linux", "config": {"Cmd": [text]},
              "rootfs": {"type": "layers", "diff_ids": [digest]}}  # fmt: skip
    target = layout.put_document(
        engine, manifest(layout.put_document(engine, config, CONFIG), [descriptor(LAYER, digest, size)]), MANIFEST
    )
    with layout.update(engine) as manifests:
        for name in names:
            layout.set_name(manifests, name, target)
        layout.add_unnamed(manifests, target)
    return target


def index(engine: Engine) -> list[tuple[str, str | None]]:
    document = json.loads((engine.images / "index.json").read_bytes())
    return [(one["digest"], one.get("annotations", {}).get(REF_NAME)) for one in document["manifests"]]


def test_blobs_are_what_their_names_say(engine: Engine) -> None:
    digest, size = layout.put(engine, [b"ab", b"c"])
    assert (digest, size) == (tarballs.sha256(b"abc"), 3)
    assert layout.blob(engine, digest).read_bytes() == b"abc"
    assert sorted(path.name for path in engine.images.iterdir()) == ["blobs", "index.json", "oci-layout"]
    assert json.loads((engine.images / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


@pytest.mark.parametrize("content, size", [(b"abd", 3), (b"ab", 3), (b"abcd", 3), (b"abc", 4)])
def test_blobs_that_lie_are_not_kept(engine: Engine, content: bytes, size: int) -> None:
    expected = descriptor(LAYER, tarballs.sha256(b"abc"), size)
    with pytest.raises(ImageError, match=r"turned out to be|larger than"):
        layout.put(engine, [content], expected)
    assert list((engine.images / "blobs/sha256").iterdir()) == []
    assert list((engine.root / "partial").iterdir()) == []


def test_sha512(engine: Engine) -> None:
    import hashlib

    digest = f"sha512:{hashlib.sha512(b'abc').hexdigest()}"
    layout.put(engine, [b"abc"], descriptor(LAYER, digest, 3))
    assert (engine.images / "blobs/sha512" / digest[7:]).read_bytes() == b"abc"


def test_a_damaged_document_is_noticed(engine: Engine) -> None:
    target = add(engine, "localhost/a:1")
    path = layout.blob(engine, target["digest"])
    path.write_bytes(path.read_bytes().replace(b"2", b"3"))
    with pytest.raises(ImageError, match="damaged"):
        _ = store.resolve(engine, "a:1").config


def test_a_name_moves_and_the_old_image_stays_without_one(engine: Engine) -> None:
    first, second = add(engine, "localhost/a:1"), add(engine, "localhost/a:1", text="y")
    assert index(engine) == [(first["digest"], None), (second["digest"], "localhost/a:1")]
    with layout.update(engine) as manifests:
        layout.set_name(manifests, "localhost/b:1", first)
    assert index(engine) == [(second["digest"], "localhost/a:1"), (first["digest"], "localhost/b:1")]


def test_several_names(engine: Engine) -> None:
    target = add(engine, "localhost/a:1", "localhost/b:2")
    assert [name for _, name in index(engine)] == ["localhost/a:1", "localhost/b:2"]
    assert store.resolve(engine, "a:1").names == ["localhost/a:1", "localhost/b:2"]
    assert store.resolve(engine, "b:2").digest == target["digest"]


def test_changes_are_one_after_another(engine: Engine) -> None:
    def name_it(number: int) -> None:
        with layout.update(engine) as manifests:
            layout.set_name(manifests, f"localhost/n:{number}", target)

    target = add(engine, "localhost/a:1")
    threads = [threading.Thread(target=name_it, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index(engine)) == 21


def test_a_failed_change_changes_nothing(engine: Engine) -> None:
    add(engine, "localhost/a:1")
    before = index(engine)
    with pytest.raises(RuntimeError), layout.update(engine) as manifests:
        manifests.clear()
        raise RuntimeError
    assert index(engine) == before


@pytest.mark.parametrize("text", ["a", "a:latest", "localhost/a", "localhost/a:latest"])
def test_resolve_local_names(engine: Engine, text: str) -> None:
    target = add(engine, "localhost/a:latest", "docker.io/library/a:latest")
    found = store.resolve(engine, text)
    assert (found.digest, found.reference) == (target["digest"], "localhost/a:latest")
    assert found.config["config"]["Cmd"] == ["x"]


def test_resolve_docker_names_digests_and_ids(engine: Engine) -> None:
    target = add(engine, "docker.io/library/nginx:1.21")
    found = store.resolve(engine, "nginx:1.21")
    assert found.digest == target["digest"]
    for text in (
        f"nginx@{found.digest}",
        f"nginx:any@{found.digest}",
        found.id,
        found.id[7:],
        found.id[7:19],
        found.digest,
    ):
        assert store.resolve(engine, text).digest == target["digest"], text
    for text in (f"other@{found.digest}", "nginx@sha256:" + "0" * 64, "nginx", "nginx:1.2", "ffff" * 16):
        with pytest.raises((NotFound, InvalidArgument)):
            store.resolve(engine, text)


def test_ambiguous_ids(engine: Engine) -> None:
    ids: dict[str, str] = {}
    for number in range(300):
        image = Image(engine, *[add(engine, text=f"t{number}")[key] for key in ("digest",)])  # type: ignore[literal-required]
        prefix = image.id[7:10]
        if prefix in ids:
            break
        ids[prefix] = image.id
    with pytest.raises(InvalidArgument) as caught:
        store.resolve(engine, prefix)
    assert "could mean 2 images" in caught.value.message
    assert "more of its digits" in caught.value.hint


def test_an_id_of_an_image_that_came_in_twice_means_it_and_removal_takes_both(engine: Engine) -> None:
    """The same config below two manifests: once from a registry, once from an archive of plain tars."""
    first = Image(engine, add(engine, "docker.io/library/a:1")["digest"])
    again = layout.put_document(engine, first.manifest | {"annotations": {"from": "an archive"}}, MANIFEST)
    with layout.update(engine) as manifests:
        layout.set_name(manifests, "docker.io/library/b:1", again)
    assert first.digest != again["digest"]
    for text in (first.id, first.id[7:19]):
        assert store.resolve(engine, text).id == first.id
        with pytest.raises(InvalidState, match="has several names: a:1, b:1"):
            removal.remove(engine, text, force=False)
    assert removal.remove(engine, again["digest"], force=False) == [
        "Untagged: docker.io/library/b:1",
        f"Deleted: {first.id}",
    ]
    with layout.update(engine) as manifests:
        layout.set_name(manifests, "docker.io/library/b:1", again)
    report = removal.remove(engine, first.id[7:19], force=True)
    assert report == ["Untagged: docker.io/library/a:1", "Untagged: docker.io/library/b:1", f"Deleted: {first.id}"]
    assert index(engine) == []


def test_unknown_names_say_what_to_type(engine: Engine) -> None:
    add(engine, "docker.io/library/python:3.12")
    with pytest.raises(NotFound) as caught:
        store.resolve(engine, "pyhton:3.12")
    assert caught.value.message == "no image 'pyhton:3.12' in the store"
    for part in ("did you mean python:3.12?", "%image ls", "%image pull", "load and import"):
        assert part in caught.value.hint
    with pytest.raises(NotFound) as caught:
        store.resolve(engine, "hots")
    assert "did you mean host" in caught.value.hint
    with pytest.raises(InvalidArgument, match="lower case"):
        store.resolve(engine, "Python")


def test_the_second_look_is_quick(engine: Engine) -> None:
    add(engine, "localhost/a:latest")
    store.resolve(engine, "a")
    times = []
    for _ in range(50):
        start = time.perf_counter()
        store.resolve(engine, "a")
        times.append(time.perf_counter() - start)
    assert sorted(times)[25] < 0.0003


def test_somebody_else_s_change_is_seen(engine: Engine) -> None:
    target = add(engine, "localhost/a:1")
    store.resolve(engine, "a:1")
    path = engine.images / "index.json"
    text = path.read_text().replace("localhost/a:1", "localhost/z:1")
    (engine.images / "new").write_text(text)
    (engine.images / "new").rename(path)
    assert store.resolve(engine, "z:1").digest == target["digest"]
    with pytest.raises(NotFound):
        store.resolve(engine, "a:1")


def test_host_is_always_there(engine: Engine) -> None:
    image = store.resolve(engine, "host")
    assert (image.reference, image.is_host, image.layers, image.content_size) == (HOST, True, [], 0)
    assert image.config["config"]["Env"][0].startswith("PATH=/")
    assert store.resolve(engine, "localhost/host:latest") == image
    assert store.resolve(engine, image.id[7:19]) == image
    assert [one.reference for one in store.images(engine)] == [HOST]
    assert store.names(engine) == ["host", "mini"]
    with pytest.raises(InvalidState, match="this machine's own"):
        removal.remove(engine, "host", force=True)


def test_removal(engine: Engine) -> None:
    target = add(engine, "localhost/a:1", "localhost/b:1")
    image = store.resolve(engine, "a:1")
    with pytest.raises(InvalidState, match="several names: a:1, b:1"):
        removal.remove(engine, image.id, force=False)
    assert removal.remove(engine, "a:1", force=False) == ["Untagged: localhost/a:1"]
    assert index(engine) == [(target["digest"], "localhost/b:1")]
    assert removal.remove(engine, "b:1", force=False) == ["Untagged: localhost/b:1", f"Deleted: {image.id}"]
    assert index(engine) == []
    with pytest.raises(NotFound):
        store.resolve(engine, "b:1")


def container(engine: Engine, image: Image, name: str) -> Path:
    folder = engine.containers / ("f" * 64)
    folder.mkdir()
    lower = [str(engine.snapshots / chain[7:] / "fs") for chain in image.chain_ids]
    steps: list[dict[str, Any]] = [{"step": "x:Overlay", "args": {"lower": lower}}, {"step": "x:Y", "args": {}}]
    (folder / "recipe.json").write_text(json.dumps({"steps": steps}))
    (folder / "container.json").write_text(json.dumps({"id": "f" * 64, "name": name, "image_digest": image.digest}))
    return folder


def test_an_image_in_use_stays(engine: Engine) -> None:
    add(engine, "localhost/a:1")
    image = store.resolve(engine, "a:1")
    container(engine, image, "web")
    with pytest.raises(InvalidState) as caught:
        removal.remove(engine, "a:1", force=False)
    assert caught.value.message == "image a:1 is used by container web"
    assert "%container rm web" in caught.value.hint
    assert removal.remove(engine, "a:1", force=True)[-1] == f"Deleted: {image.id}"


def test_sweep_takes_what_nothing_reaches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    discarded: list[str] = []
    monkeypatch.setattr(removal.work, "discard", lambda paths: discarded.extend(path.name for path in paths))
    add(engine, "localhost/a:1")
    kept = store.resolve(engine, "a:1")
    used = Image(engine, add(engine, "localhost/b:1", text="b")["digest"])
    for chain in (*kept.chain_ids, *used.chain_ids, "sha256:" + "0" * 64):
        (engine.snapshots / chain[7:] / "fs").mkdir(parents=True)
    container(engine, used, "web")
    removal.remove(engine, "b:1", force=True)
    garbage = layout.put(engine, [b"garbage"])[0]
    (engine.root / "partial/dead").write_bytes(b"x")
    with layout.partial(engine) as living:
        report = removal.sweep(engine)
        assert os.path.exists(living.name)
    assert report["snapshots"] == 1
    assert report["blobs"] == 4  # b's manifest, config and layer, and the garbage
    assert not layout.blob(engine, garbage).exists()
    assert [name[:65] for name in discarded] == ["0" * 64 + "-"]
    assert (engine.snapshots / used.chain_ids[0][7:]).exists()
    assert not (engine.root / "partial/dead").exists()
    assert store.resolve(engine, "a:1").config["config"]["Cmd"] == ["x"]
