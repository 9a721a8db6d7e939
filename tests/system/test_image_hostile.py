"""Archives and manifests that lie: an error or a harmless image, and never anything but the store is touched.

Classes of ../shared/reference/runtime.md, 6.2 and 6.3, that concern archives and manifests, and where each is tested
(those of layers: tests/unit/test_layer_*.py and test_image_trust.py):

| class | test |
|---|---|
| bombs: the archive itself, a layer, one of xz or many members | test_bombs, test_image_trust: test_a_bomb_is_stopped |
| traversal in the names of members and of manifest.json | test_names_of_members_lead_nowhere, test_names_in_manifest_json |
| links between members: chains, loops, out of the archive | test_links_between_members |
| duplicated, sparse, device and FIFO members; FIFOs and links in a layout folder | test_odd_members, test_a_layout_folder |
| archives cut off anywhere | test_cut_off_anywhere |
| huge documents, too many members, layers, indexes | test_too_large, test_too_many_layers, test_indexes_of_indexes |
| deep nesting of JSON and of indexes | test_deep_json, test_indexes_of_indexes |
| wrong digests and sizes, negative ones | test_image_trust: test_lies_are_found, test_sizes_that_are_none |
| wrong types anywhere in any document | test_every_value_of_every_other_type |
| manifest type confusion (CVE-2021-41190) | test_a_document_of_two_kinds |
| labels, annotations, env, names that are programs, paths or control sequences (CVE-2026-53488) | test_words_are_only_shown |
| our own embedded names taken over | test_the_embedded_names_stay_ours |
"""

from __future__ import annotations

import copy
import gzip
import json
import lzma
import os
import random
import shutil
import subprocess
import tarfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcontainers.engine import Engine
from nbcontainers.errors import Error, ImageError, InvalidArgument
from nbcontainers.image import api, members, store
from nbcontainers.oci.image import CONFIG, INDEX, LAYER, MANIFEST, architecture
from tests import tarballs as t
from tests.crafted import Canary

KEPT = "docker.io/library/kept:1"
TAR = t.archive(t.file("a", b"content"))


def picture(engine: Engine) -> set[tuple[str, int]]:
    """Every file of the store but locks."""
    tops = (engine.images, engine.snapshots, engine.root / "partial", engine.root / "leases")
    return {(str(path), path.lstat().st_size) for top in tops for path in top.rglob("*") if path.suffix != ".lock"}


@pytest.fixture
def engine(fresh_engine: Engine, tmp_path: Path, canary: Canary) -> Iterator[Engine]:
    """A store with an image of TAR; nothing else may be in it at the end, and the host's canary stays."""
    docker(tmp_path / "kept.tar", {"RepoTags": ["kept:1"]})
    api.load(str(tmp_path / "kept.tar"))
    before = picture(fresh_engine)
    yield fresh_engine
    assert picture(fresh_engine) == before


def refused(path: Path, match: str | None = None) -> ImageError:
    with pytest.raises((ImageError, InvalidArgument), match=match) as caught:
        api.load(str(path))
    assert caught.value.hint
    return caught.value  # type: ignore[return-value]


def forget(image: Any) -> None:
    """Remove it, or from the image that is kept the names it got."""
    if KEPT in image.names:
        for name in {*image.names} - {KEPT}:
            api.rm(name)
    else:
        api.rm(image.digest[7:], force=True)


def config(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "os": "linux", "architecture": architecture(), "created": "2020-01-01T00:00:00Z", "author": "me",
        "config": {"Cmd": ["a"], "Entrypoint": ["b"], "Env": ["A=1"], "User": "0", "WorkingDir": "/", "Labels": {"k": "v"},
                   "Volumes": {"/v": {}}, "ExposedPorts": {"80/tcp": {}}, "StopSignal": "TERM"},
        "rootfs": {"type": "layers", "diff_ids": [t.sha256(TAR)]},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "x", "comment": "y", "empty_layer": False}],
    }  # fmt: skip
    return document | changes


def docker(path: Path, item: dict[str, Any], *more: bytes, document: Any = None, first: bytes = b"") -> Path:
    """A docker-archive of TAR; `item` changes the image's entry in manifest.json, `more` are further members."""
    entry = {"Config": "config.json", "RepoTags": ["evil:1"], "Layers": ["layer.tar"]} | item
    content = json.dumps(config() if document is None else document).encode()
    files = [
        t.file("layer.tar", TAR),
        t.file("config.json", content),
        t.file("manifest.json", json.dumps([entry]).encode()),
    ]
    path.write_bytes(t.archive(first, *files, *more))
    return path


class Layout:
    """An OCI layout to be spoilt: documents as objects; `write` makes an archive whose digests hold."""

    def __init__(self) -> None:
        self.config: Any = config()
        self.manifest: Any = {
            "schemaVersion": 2, "mediaType": MANIFEST, "annotations": {"a": "b"},
            "config": {"mediaType": CONFIG, "digest": "", "size": 0},
            "layers": [{"mediaType": LAYER, "digest": t.sha256(TAR), "size": len(TAR), "annotations": {"a": "b"}}],
        }  # fmt: skip
        self.index: Any = {"schemaVersion": 2, "manifests": [{
            "mediaType": MANIFEST, "digest": "", "size": 0, "platform": {"os": "linux", "architecture": architecture()},
            "annotations": {"org.opencontainers.image.ref.name": "example.org/evil:1"},
        }]}  # fmt: skip

    def write(self, path: Path) -> Path:
        blobs = {t.sha256(TAR): TAR}

        def put(content: Any, place: Any) -> None:
            data = json.dumps(content).encode()
            blobs[t.sha256(data)] = data
            if isinstance(place, dict):
                for key, value in (("digest", t.sha256(data)), ("size", len(data))):
                    place[key] = (
                        value if place.get(key) in ("", 0) and not isinstance(place[key], bool) else place.get(key)
                    )

        put(
            self.config,
            self.manifest["config"] if isinstance(self.manifest, dict) and "config" in self.manifest else None,
        )
        manifests = self.index.get("manifests") if isinstance(self.index, dict) else None
        put(self.manifest, manifests[0] if isinstance(manifests, list) and manifests else None)
        files = [t.file("oci-layout", b"{}"), t.file("index.json", json.dumps(self.index).encode())]
        files += [t.file(f"blobs/sha256/{digest[7:]}", content) for digest, content in blobs.items()]
        path.write_bytes(t.archive(*files))
        return path


# Members.


def test_names_of_members_lead_nowhere(engine: Engine, canary: Canary, tmp_path: Path) -> None:
    for name in ("../../../../etc/passwd", "/etc/passwd", "a/../../../b", "./../x", "blobs/../../y"):
        bad = [
            t.file(name, b"pwned"),
            t.file(str(canary.folder / "file"), b"pwned"),
            t.symlink("l", name),
            t.file("l/x"),
        ]
        (image,) = api.load(str(docker(tmp_path / "a.tar", {}, *bad)))
        forget(image)
        layout = Layout().write(tmp_path / "b.tar")
        layout.write_bytes(b"".join(bad) + layout.read_bytes())
        (image,) = api.load(str(layout))
        forget(image)


NOWHERE = ["../../../../../../etc/passwd", "/etc/passwd", "", ".", "..", "x" * 5000, "\ud800", "a\0b"]


def test_names_in_manifest_json(engine: Engine, tmp_path: Path) -> None:
    """In an archive and in the same files as a folder."""
    for number, name in enumerate(NOWHERE):
        for where in ("Config", "Layers"):
            path = docker(tmp_path / "a.tar", {where: [name] if where == "Layers" else name})
            refused(path)
            folder = tmp_path / f"{where}{number}"
            folder.mkdir()
            subprocess.run(["tar", "-C", folder, "-xf", path], check=True)
            refused(folder)


def test_links_between_members(engine: Engine, canary: Canary, tmp_path: Path) -> None:
    chain = [t.symlink(f"l{n}", f"l{n + 1}") for n in range(5)] + [t.hardlink("l5", "layer.tar")]
    (image,) = api.load(str(docker(tmp_path / "a.tar", {"Layers": ["l0"]}, *chain)))
    api.rm(image.reference)
    for bad in (
        [t.symlink("l0", "l0")],
        [t.symlink("l0", "l1"), t.hardlink("l1", "l0")],
        [t.symlink(f"l{n}", f"l{n + 1}") for n in range(40)] + [t.file("l40", TAR)],
        [t.symlink("l0", str(canary.folder / "file"))],
        [t.symlink("l0", "../../../../../../etc/passwd")],
        [t.hardlink("l0", "/etc/passwd")],
        [t.folder("l0")],
        [t.header("l0", type=b"6")],
        [t.header("l0", type=b"3", major=1, minor=5)],
    ):
        refused(docker(tmp_path / "a.tar", {"Layers": ["l0"]}, *bad), "lacks l0")


def test_odd_members(engine: Engine, tmp_path: Path) -> None:
    """The last of several members of a name counts; a sparse one is none."""
    path = docker(tmp_path / "a.tar", {}, first=t.file("manifest.json", b"[]") + t.file("layer.tar", b"other"))
    (image,) = api.load(str(path))
    api.rm(image.reference)
    refused(docker(tmp_path / "a.tar", {}, t.file("manifest.json", b"{}")), "no list of images")
    refused(docker(tmp_path / "a.tar", {}, t.symlink("layer.tar", "absent")), "lacks layer.tar")
    sparse = t.header("layer.tar", type=b"S", size=0, magic=b"ustar  \0", tail=bytes(41) + b"0" * 12 + b"0" * 12)
    refused(docker(tmp_path / "a.tar", {}, sparse))
    huge = t.header("layer.tar", size=1 << 50)
    refused(docker(tmp_path / "a.tar", {}, huge))
    refused(docker(tmp_path / "a.tar", {}, t.header("x", size=-5)))


def test_a_layout_folder(engine: Engine, canary: Canary, tmp_path: Path) -> None:
    """A FIFO is not waited for, a link to a file of the host is held to its digest."""
    archive = Layout().write(tmp_path / "a.tar")
    for number, spoil in enumerate(("fifo", "link", "folder", "index")):
        folder = tmp_path / f"layout{number}"
        folder.mkdir()
        subprocess.run(["tar", "-C", folder, "-xf", archive], check=True)
        blob = folder / "blobs/sha256" / t.sha256(TAR)[7:]
        victim = folder / "index.json" if spoil == "index" else blob
        victim.unlink()
        if spoil == "link":
            victim.symlink_to(canary.folder / "file")
        elif spoil == "folder":
            victim.mkdir()
        else:
            os.mkfifo(victim)
        begun = time.monotonic()
        refused(folder)
        assert time.monotonic() - begun < 5


def test_cut_off_anywhere(engine: Engine, tmp_path: Path) -> None:
    for path in (docker(tmp_path / "a.tar", {}), Layout().write(tmp_path / "b.tar")):
        whole = path.read_bytes()
        for at in [*range(0, len(whole) - 1024, 512), *random.Random(1).sample(range(len(whole) - 1024), 20)]:
            path.write_bytes(whole[:at])
            try:
                for image in api.load(str(path)):
                    forget(image)
            except (ImageError, InvalidArgument):
                continue


# Too much.


def test_bombs(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "BUDGET", members.tar.Budget(free=1 << 20, ratio=100))
    bomb = t.archive(t.file("zeros", bytes(24 << 20)))
    for pack in (gzip.compress, lzma.compress):
        (tmp_path / "bomb").write_bytes(pack(bomb))
        refused(tmp_path / "bomb", "decompression bomb")
    (tmp_path / "bomb").write_bytes(gzip.compress(bytes(1 << 20)) * 24)
    refused(tmp_path / "bomb", "decompression bomb")


def test_too_large(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blanks = b" " * (5 << 20)
    refused(docker(tmp_path / "a.tar", {}, t.file("manifest.json", blanks + b"[]")), "larger than 4194304")
    refused(docker(tmp_path / "a.tar", {}, t.file("config.json", blanks + b"{}")), "larger than 4194304")
    layout = Layout().write(tmp_path / "b.tar")
    for name in ("index.json", "oci-layout"):
        content = layout.read_bytes()[:-1024] + t.file(name, blanks + b"{}") + t.END
        (tmp_path / "c.tar").write_bytes(content)
        if name == "index.json":
            refused(tmp_path / "c.tar", "larger than 4194304")
    monkeypatch.setattr(members, "MOST", 50)
    refused(docker(tmp_path / "a.tar", {}, *(t.file(f"x{n}") for n in range(60))), "more than 50 members")


def test_too_many_layers(engine: Engine, tmp_path: Path) -> None:
    many = config(rootfs={"type": "layers", "diff_ids": [t.sha256(TAR)] * 501})
    refused(docker(tmp_path / "a.tar", {"Layers": ["layer.tar"] * 501}, document=many), "501 layers")
    layout = Layout()
    layout.manifest["layers"] *= 501
    layout.config = many
    refused(layout.write(tmp_path / "b.tar"), "501 layers")


def test_deep_json(engine: Engine, tmp_path: Path) -> None:
    whole = Layout().write(tmp_path / "b.tar").read_bytes()
    for deep in (b"[" * 200_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000):
        refused(docker(tmp_path / "a.tar", {}, t.file("manifest.json", deep)), "not JSON")
        refused(docker(tmp_path / "a.tar", {}, t.file("config.json", deep)), "not JSON")
        (tmp_path / "b.tar").write_bytes(whole[:-1024] + t.file("index.json", deep) + t.END)
        refused(tmp_path / "b.tar", "not JSON")


def test_indexes_of_indexes(engine: Engine, tmp_path: Path) -> None:
    """Each lists the next one a thousand times: looked at once; and too deep is too deep."""
    files, one = [t.file("oci-layout", b"{}")], {"mediaType": MANIFEST, "digest": t.sha256(b"x"), "size": 1,
                                                "platform": {"os": "linux", "architecture": "s390x"}}  # fmt: skip
    for _ in range(3):
        content = json.dumps({"manifests": [one] * 1000}).encode()
        files.append(t.file(f"blobs/sha256/{t.sha256(content)[7:]}", content))
        one = {"mediaType": INDEX, "digest": t.sha256(content), "size": len(content)}
    files.append(t.file("index.json", json.dumps({"manifests": [one] * 1000}).encode()))
    (tmp_path / "a.tar").write_bytes(t.archive(*files))
    begun = time.monotonic()
    refused(tmp_path / "a.tar", "no image for this machine")
    assert time.monotonic() - begun < 5


# Documents.


def test_sizes_that_are_none(engine: Engine, tmp_path: Path) -> None:
    whole = Layout().write(tmp_path / "a.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        index = archive.extractfile("index.json").read().decode()  # type: ignore[union-attr]
    for size in ("-1", "1.5", '"7"', "true", "null", "1e999", "NaN", "[]", "9" * 5000):
        broken = index.replace('"size": ', f'"size": {size}, "was": ').encode()
        (tmp_path / "a.tar").write_bytes(whole[:-1024] + t.file("index.json", broken) + t.END)
        refused(tmp_path / "a.tar")


OTHERS: list[Any] = [None, 5, -1, 1.5, True, "", "x", "\0", [], [5], ["x"], {}, {"x": 5}, "../" * 9, "é\ud800"]


def paths(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield from paths(value, (*above, key))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    document = copy.deepcopy(document)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


@pytest.mark.slow
@pytest.mark.parametrize("which", ["config", "manifest", "index", "docker"])
def test_every_value_of_every_other_type(engine: Engine, tmp_path: Path, which: str) -> None:
    """An error of ours, or an image that can be shown, used and removed."""
    good: Any = [{"Config": "config.json", "RepoTags": ["evil:1"], "Layers": ["layer.tar"]}]
    good = good if which == "docker" else getattr(Layout(), which)
    before, loaded, path = picture(engine), 0, tmp_path / "x.tar"
    chance = random.Random(7)
    for place in paths(good):
        for value in OTHERS if which == "docker" else chance.sample(OTHERS, 5):
            if which == "docker":
                listing = json.dumps(replaced(good, place, value)).encode()
                docker(path, {}, t.file("manifest.json", listing))
            else:
                layout = Layout()
                setattr(layout, which, replaced(good, place, value))
                layout.write(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    images = api.load(str(path))
                except (ImageError, InvalidArgument):
                    assert picture(engine) == before, (which, place, value)
                    continue
            loaded += 1
            for image in images:
                show(image)
                forget(image)
            assert picture(engine) == before, (which, place, value)
    assert loaded > 3


def show(image: Any) -> None:
    """All that is said of an image, as text without anything that drives a terminal, and as HTML."""
    json.dumps(api.inspect(image.digest[7:]))
    for table in (
        api.ls(all_=True),
        api.df(),
        api.history(image.digest[7:]),
        api.history(image.digest[7:], moved=True),
    ):
        text = repr(table)
        assert all(c.isprintable() or c == "\n" for c in text), text
        assert "<script" not in table.html()
    shown = image._repr_mimebundle_()
    assert "<script" not in shown.get("text/html", "")
    assert all(c.isprintable() or c == "\n" for c in shown["text/plain"]), shown["text/plain"]


def test_a_document_of_two_kinds(engine: Engine, tmp_path: Path) -> None:
    for spoil in (
        lambda one: one.manifest.update(manifests=[]),
        lambda one: one.manifest.update(mediaType=INDEX),
        lambda one: one.manifest.update(mediaType="application/vnd.oci.artifact.manifest.v1+json"),
        lambda one: one.index["manifests"][0].update(mediaType=INDEX),
        lambda one: one.manifest.update(config=one.manifest["layers"][0] | {"size": 0}),
    ):
        layout = Layout()
        spoil(layout)
        refused(layout.write(tmp_path / "a.tar"))


WORDS = ["binary:///bin/sh", "../../../etc/passwd", "/etc/passwd", "a\nb\r\x1b]0;x\x07\x1b[2J", "$(touch /pwned)", "`id`",
         "<script>alert(1)</script>", "io.containerd.x", "{{.Env}}", "%s%n", "\u202etxt.exe", "x" * 10_000, ";rm -rf /"]  # fmt: skip


def test_words_are_only_shown(engine: Engine, tmp_path: Path, canary: Canary) -> None:
    known = set(canary.folder.parent.iterdir())
    for word in WORDS:
        layout = Layout()
        layout.config |= {"author": word, "created": word, "variant": word}
        layout.config["history"] = [{"created_by": word, "comment": word, "created": word}]
        layout.config["config"] |= {
            "Labels": {word: word}, "Env": [f"{word}=1", word], "Volumes": {word: {}}, "User": word, "WorkingDir": word,
            "Cmd": [word], "Entrypoint": [word], "ExposedPorts": {word: {}}, "StopSignal": word,
        }  # fmt: skip
        layout.manifest["annotations"] = layout.manifest["layers"][0]["annotations"] = {word: word}
        layout.index["manifests"][0]["annotations"] |= {word: word, "io.containerd.image.name": "x.org/words:1"}
        (image,) = api.load(str(layout.write(tmp_path / "a.tar")))
        show(image)
        assert len(api.ls(filter=f"label={word}")) == 1
        for form in ("docker-archive", "oci-dir"):
            api.save("x.org/words:1", output=str(tmp_path / form), format=form)
        api.export("x.org/words:1", output=str(tmp_path / "export"))
        api.rm("x.org/words:1")
        for path in set(canary.folder.parent.iterdir()) - known:
            assert path.name in ("a.tar", "docker-archive", "oci-dir", "export"), path
        for path in (tmp_path / "oci-dir").rglob("*"):
            assert path.name in ("blobs", "sha256", "index.json", "oci-layout") or len(path.name) == 64
        shutil.rmtree(tmp_path / "oci-dir")
    assert not Path("/pwned").exists()


@pytest.mark.parametrize("name", ["localhost/host:latest", "localhost/mini:latest"])
def test_the_embedded_names_stay_ours(engine: Engine, tmp_path: Path, name: str) -> None:
    with pytest.raises(Error, match="embedded image") as caught:
        api.load(str(docker(tmp_path / "a.tar", {"RepoTags": ["good:1", name]})))
    assert caught.value.hint
    layout = Layout()
    layout.index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = name
    with pytest.raises(Error, match="embedded image"):
        api.load(str(layout.write(tmp_path / "b.tar")))
    assert store.resolve(engine, "host").is_host


def test_noise(engine: Engine, tmp_path: Path) -> None:
    """Bytes turned over anywhere in an archive."""
    chance, loaded = random.Random(3), 0
    for path in (docker(tmp_path / "a.tar", {}), Layout().write(tmp_path / "b.tar")):
        whole = path.read_bytes()
        for _ in range(80):
            spoilt = bytearray(whole)
            for _ in range(chance.choice([1, 1, 4])):
                spoilt[chance.randrange(len(whole) - 1024)] = chance.randrange(256)
            path.write_bytes(bytes(spoilt))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    images = api.load(str(path))
                except (ImageError, InvalidArgument):
                    continue
            loaded += 1
            for image in images:
                show(image)
                forget(image)
    assert loaded > 5
