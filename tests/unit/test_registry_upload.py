"""Pushing: mounts, uploads in one piece and in chunks, and what breaks on the way."""

from __future__ import annotations

import io
import random
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

import pytest

from nbcontainers.errors import ImageError, RegistryError
from nbcontainers.oci.image import MANIFEST, descriptor
from nbcontainers.oci.reference import parse
from nbcontainers.registry import upload
from nbcontainers.registry.repository import Repository
from nbcontainers.registry.settings import Registry
from tests.registries import Asked, Liar, Said, certificates, digest_of, image_of, lying_registry

CONTENT = random.Random(2).randbytes(1_000_000)
BLOB = descriptor("application/octet-stream", digest_of(CONTENT), len(CONTENT))
UPLOADS = "/v2/a/b/blobs/uploads/"
WRONG = "sha256:" + "0" * 64


class Store:
    """A registry that takes uploads. `breaks` are what it says in place of the next answers, by method."""

    def __init__(self, liar: Liar, location: str = "") -> None:
        self.got = b""
        self.blobs: dict[str, bytes] = {}
        self.cancelled = 0
        self.sessions = 0
        self.state = 0
        self.location = location or "{path}?_state=s{state}"
        self.least = 0
        self.breaks: dict[str, list[Said]] = {}
        self.liar = liar
        liar.say("*", "/v2/*", self.answer)

    def answer(self, asked: Asked) -> Said:
        if waiting := self.breaks.get(asked.method):
            return waiting.pop(0)
        words = parse_qs(urlsplit(asked.path).query)
        return getattr(self, asked.method.lower())(asked, words)  # type: ignore[no-any-return]

    def where(self, status: int) -> Said:
        self.state += 1
        location = self.location.format(path=f"{UPLOADS}id", state=self.state, host=self.liar.host)
        least = {"OCI-Chunk-Min-Length": str(self.least)} if self.least else {}
        return Said(status, headers={"Location": location, "Range": f"0-{max(len(self.got) - 1, 0)}", **least})

    def post(self, asked: Asked, words: dict[str, list[str]]) -> Said:
        if words.get("mount", [""])[0] in self.blobs:
            return Said(201)
        self.got = b""
        self.sessions += 1
        return self.where(202)

    def current(self, words: dict[str, list[str]]) -> bool:
        return words.get("_state", [f"s{self.state}"]) == [f"s{self.state}"]

    def patch(self, asked: Asked, words: dict[str, list[str]]) -> Said:
        match = re.fullmatch(r"(\d+)-(\d+)", asked.headers["content-range"])
        assert match
        assert asked.headers["content-type"] == "application/octet-stream"
        if (
            int(match[1]) != len(self.got)
            or int(match[2]) - int(match[1]) + 1 != len(asked.body)
            or not self.current(words)
        ):
            return Said(416)
        self.got += asked.body
        return self.where(202)

    def put(self, asked: Asked, words: dict[str, list[str]]) -> Said:
        if "/manifests/" in asked.path:
            return Said(201, headers={"Docker-Content-Digest": digest_of(asked.body)})
        assert self.current(words)
        self.got += asked.body
        digest = words["digest"][0]
        if digest_of(self.got) != digest:
            return Said(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}')
        self.blobs[digest] = self.got
        return Said(201, headers={"Docker-Content-Digest": digest})

    def get(self, asked: Asked, words: dict[str, list[str]]) -> Said:
        return Said(200) if asked.path == "/v2/" else self.where(204)

    def head(self, asked: Asked, words: dict[str, list[str]]) -> Said:
        return Said(200 if asked.path.rpartition("/")[2] in self.blobs else 404)

    def delete(self, asked: Asked, words: dict[str, list[str]]) -> Said:
        self.cancelled += 1
        return Said(204)


@pytest.fixture
def store(liar: Liar) -> Store:
    return Store(liar)


@pytest.fixture
def file() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as one:
        one.write(CONTENT)
        yield one


def repository(liar: Liar, **options: Any) -> Repository:
    settings = options.pop("settings", None) or liar.settings(tries=3)
    return Repository(parse(f"{liar.host}/a/b:1"), settings, push=True, **options)


def push(liar: Liar, file: Any, one: Any = BLOB, **options: Any) -> list[int]:
    told: list[int] = []
    with repository(liar, **options) as here:
        here.upload_blob(one, file, on_bytes=told.append)
    return told


@pytest.mark.parametrize(
    "location",
    ["", "{path}", "http://{host}{path}?a=b%2Fc&_state=s{state}", "{path}?x=1&_state=s{state}", "id?_state=s{state}"],
)
def test_in_one_piece(liar: Liar, file: BinaryIO, location: str) -> None:
    store = Store(liar, location)
    told = push(liar, file)
    assert store.blobs == {BLOB["digest"]: CONTENT}
    assert told[-1] == len(CONTENT)
    methods = [asked.method for asked in liar.asked if asked.path.startswith("/v2/a")]
    assert methods == ["POST", "PUT"]
    (put,) = [asked for asked in liar.asked if asked.method == "PUT"]
    assert put.headers["content-length"] == str(len(CONTENT))
    if "a=b" in location:
        assert "?a=b%2Fc&_state=s1&digest=sha256%3A" in put.path


def test_a_file_in_memory(liar: Liar, store: Store) -> None:
    push(liar, io.BytesIO(CONTENT))
    assert store.blobs == {BLOB["digest"]: CONTENT}


def test_an_empty_blob(liar: Liar, store: Store) -> None:
    empty = descriptor("x", digest_of(b""), 0)
    push(liar, io.BytesIO(b""), empty)
    assert store.blobs == {empty["digest"]: b""}


def test_under_tls(nobody: Path, tmp_path: Path, file: BinaryIO) -> None:
    certificates(tmp_path)
    with lying_registry(tmp_path) as liar:
        store = Store(liar)
        settings = liar.settings(registries=(Registry(liar.host, ca=str(tmp_path / "ca.pem")),))
        assert push(liar, file, settings=settings)[-1] == len(CONTENT)
        push(liar, io.BytesIO(CONTENT), settings=settings)
    assert store.blobs == {BLOB["digest"]: CONTENT}


def test_mounts_and_looks(liar: Liar, store: Store) -> None:
    store.blobs[BLOB["digest"]] = CONTENT
    with repository(liar) as here:
        assert here.has_blob(BLOB["digest"])
        assert not here.has_blob(WRONG)
        assert here.mount_blob(BLOB["digest"], "c/d")
    words = parse_qs(urlsplit(liar.paths("POST")[0]).query)
    assert words == {"mount": [BLOB["digest"]], "from": ["c/d"]}


def test_a_mount_that_is_none_becomes_the_upload(liar: Liar, store: Store, file: BinaryIO) -> None:
    with repository(liar) as here:
        assert not here.mount_blob(BLOB["digest"], "c/d")
        here.upload_blob(BLOB, file)
    assert store.blobs == {BLOB["digest"]: CONTENT}
    assert (store.sessions, store.cancelled) == (1, 0)


def test_a_mount_that_is_none_and_not_used_is_cancelled(liar: Liar, store: Store) -> None:
    with repository(liar) as here:
        assert not here.mount_blob(BLOB["digest"], "c/d")
    assert (store.sessions, store.cancelled) == (1, 1)


def test_a_registry_that_is_gone_holds_nobody_up(liar: Liar, store: Store) -> None:
    here = repository(liar, settings=liar.settings(stall_timeout=0.2))
    for number in range(5):
        assert not here.mount_blob(f"sha256:{number:064}", "c/d")
    store.breaks["DELETE"] = [Said(before=5)] * 9
    here.close()
    assert len(liar.paths("DELETE")) == 1


@pytest.mark.parametrize(
    "said", [Said(413), Said(raw=b""), Said(500), Said(503), Said(416), Said(401), Said(before=2)],
    ids=["too large", "hung up", "500", "503", "416", "401", "stall"],
)  # fmt: skip
@pytest.mark.parametrize("chunk", [300_000, 1 << 20])
def test_what_breaks_goes_on_in_chunks(
    liar: Liar, store: Store, file: BinaryIO, monkeypatch: pytest.MonkeyPatch, said: Said, chunk: int
) -> None:
    monkeypatch.setattr(upload, "CHUNK", chunk)
    store.breaks["PUT"] = [said]
    told = push(liar, file)
    assert store.blobs == {BLOB["digest"]: CONTENT}
    ranges = [asked.headers["content-range"] for asked in liar.asked if asked.method == "PATCH"]
    assert ranges == [
        f"{start}-{min(start + chunk, len(CONTENT)) - 1}" for start in range(0, len(CONTENT), chunk)
    ]  # fmt: skip
    assert told[-1] == len(CONTENT)
    assert store.cancelled == 0


def test_a_chunk_that_breaks_is_gone_on_with(
    liar: Liar, store: Store, file: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK", 300_000)
    store.breaks = {"PUT": [Said(413)], "PATCH": [Said(416), Said(500), Said(raw=b"")]}
    push(liar, file, settings=liar.settings(tries=5))
    assert store.blobs == {BLOB["digest"]: CONTENT}


def test_the_registrys_least_chunk_is_honoured(
    liar: Liar, store: Store, file: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK", 1000)
    store.least = 400_000
    store.breaks["PUT"] = [Said(413)]
    push(liar, file)
    lengths = [len(asked.body) for asked in liar.asked if asked.method == "PATCH"]
    assert lengths == [400_000, 400_000, 200_000]


def test_a_registry_that_forgot_the_upload_gets_a_new_one(liar: Liar, store: Store, file: BinaryIO) -> None:
    store.breaks = {"PUT": [Said(500)]}
    real = store.get
    once = [Said(404)]
    store.get = lambda asked, words: once.pop() if once and "uploads" in asked.path else real(asked, words)  # type: ignore[method-assign]
    push(liar, file)
    assert store.blobs == {BLOB["digest"]: CONTENT}
    assert store.sessions == 2


def failing(liar: Liar, file: Any, **options: Any) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        push(liar, file, **options)
    return caught.value


def test_trouble_that_stays(liar: Liar, store: Store, file: BinaryIO) -> None:
    store.breaks["PUT"] = [Said(500)] * 50
    error = failing(liar, file)
    assert "answers 500 to blob sha256:" in error.message
    assert error.retry
    assert store.cancelled == 1
    assert len(liar.paths("PUT")) <= 6


@pytest.mark.parametrize(
    "said, why",
    [
        (Said(403, b'{"errors":[{"message":"quota"}]}'), "denies access to blob sha256:"),
        (Said(400, b'{"errors":[{"message":"bad digest"}]}'), "answers 400 to blob sha256:"),
        (Said(201, headers={"Docker-Content-Digest": WRONG}), f"stored {WRONG} where we sent {BLOB['digest']}"),
        (Said(307, headers={"Location": "/elsewhere"}), "answers 307 to blob"),
        (Said(200, b"<html>", {"Content-Type": "text/html"}), "a web page"),
    ],
)
def test_refusals(liar: Liar, store: Store, file: BinaryIO, said: Said, why: str) -> None:
    store.breaks["PUT"] = [said]
    assert why in failing(liar, file).message
    assert store.cancelled == 1


@pytest.mark.parametrize(
    "said, why",
    [
        (Said(202), "opens an upload and does not say where"),
        (Said(202, headers={"Location": "ftp://x/y"}), "which is no address"),
        (Said(201), "answers 201 to an upload"),
        (Said(405), "answers 405 to an upload"),
        (Said(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}'), "does not exist"),
    ],
)
def test_an_upload_that_is_not_opened(liar: Liar, store: Store, file: BinaryIO, said: Said, why: str) -> None:
    store.breaks["POST"] = [said]
    assert why in failing(liar, file).message


def test_a_file_that_is_too_short(liar: Liar, store: Store) -> None:
    for file in (io.BytesIO(CONTENT[:-5]), short()):
        with pytest.raises(ImageError, match="bytes shorter than its descriptor"):
            push(liar, file)
    assert store.blobs == {}


def short() -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(CONTENT[:-5])
    file.flush()
    return file  # type: ignore[return-value]


def test_an_upload_elsewhere_gets_no_password(liar: Liar, store: Store, file: BinaryIO) -> None:
    """A registry may have its uploads go to a storage that has its own signature in the address."""
    from nbcontainers.registry.credentials import Credentials

    me = Credentials("me", "secret")
    with lying_registry() as other:
        there = Store(other)
        there.where(202)
        location = {"Location": f"http://{other.host}{UPLOADS}id?_state=s1"}

        def answer(asked: Asked) -> Said:
            if asked.headers.get("authorization") != me.basic:
                return Said(401, headers={"WWW-Authenticate": "Basic realm=x"})
            return Said(202, headers=location)

        liar.say("POST", UPLOADS, answer)
        push(liar, file, credentials=me)
        assert there.blobs == {BLOB["digest"]: CONTENT}
        assert all("authorization" not in asked.headers for asked in other.asked)


def test_several_at_the_same_time(liar: Liar) -> None:
    contents = [random.Random(seed).randbytes(50_000) for seed in range(8)]
    got: dict[str, bytes] = {}

    def answer(asked: Asked) -> Said:
        if asked.method == "POST":
            return Said(202, headers={"Location": f"{UPLOADS}{len(liar.asked)}"})
        if asked.method == "PUT":
            got[parse_qs(urlsplit(asked.path).query)["digest"][0]] = asked.body
            return Said(201)
        return Said()

    liar.say("*", "/v2/*", answer)
    with repository(liar) as here:

        def one(content: bytes) -> None:
            here.upload_blob(descriptor("x", digest_of(content), len(content)), io.BytesIO(content))

        threads = [threading.Thread(target=one, args=(content,)) for content in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == {digest_of(content): content for content in contents}


def test_manifests(liar: Liar, store: Store) -> None:
    digest, content = list(image_of([b"x"]).items())[-1]
    with repository(liar) as here:
        assert here.put_manifest(content, MANIFEST, "1") == digest
        assert here.put_manifest(content, MANIFEST, digest) == digest
        store.breaks["PUT"] = [Said(503), Said(raw=b"")]
        assert here.put_manifest(content, MANIFEST, "1") == digest
        store.breaks["PUT"] = [Said(201, headers={"Docker-Content-Digest": WRONG})]
        with pytest.raises(RegistryError, match=f"stored {WRONG} where we sent {digest}"):
            here.put_manifest(content, MANIFEST, "1")
        store.breaks["PUT"] = [Said(400, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}')]
        with pytest.raises(RegistryError, match=r"answers 400 to .*/a/b:1: blob unknown"):
            here.put_manifest(content, MANIFEST, "1")
    (first, second, *_) = [asked for asked in liar.asked if asked.method == "PUT"]
    assert first.headers["content-type"] == MANIFEST
    assert (first.path, second.path) == ("/v2/a/b/manifests/1", f"/v2/a/b/manifests/{digest}")
