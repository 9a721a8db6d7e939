"""Manifests, blobs and tags from a registry that lies about size, digest, type or length, stalls or goes in circles."""

from __future__ import annotations

import contextlib
import json
import random
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from nbcontainers.errors import RegistryError
from nbcontainers.oci.image import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    INDEXES,
    MANIFEST,
    MANIFESTS,
    Descriptor,
    descriptor,
    encode,
)
from nbcontainers.oci.reference import parse
from nbcontainers.registry import tags
from nbcontainers.registry.repository import Repository
from nbcontainers.registry.settings import Mirror, Registry
from tests.registries import Asked, Liar, Said, digest_of, free_port, image_of, lying_registry

LAYER = random.Random(1).randbytes(300_000)
IMAGE = image_of([LAYER])
DIGEST = list(IMAGE)[-1]
CONTENT = IMAGE[DIGEST]
BLOB = descriptor("application/octet-stream", digest_of(LAYER), len(LAYER))
AT = f"/v2/a/b/blobs/{BLOB['digest']}"
WRONG = "sha256:" + "0" * 64
UNTRUSTED = "do not use this image"


def repository(liar: Liar, **options: Any) -> Repository:
    settings = options.pop("settings", None) or liar.settings(tries=1)
    return Repository(parse(f"{liar.host}/a/b:1"), settings, **options)


# Manifests


def get(
    liar: Liar, content: bytes, headers: dict[str, str], name: str = "1", **options: Any
) -> tuple[Descriptor, bytes]:
    liar.say("*", f"/v2/a/b/manifests/{name}", Said(200, content, headers))
    with repository(liar) as one:
        return one.manifest(name, **options)


def test_what_is_asked_for(liar: Liar) -> None:
    liar.serve("a/b", "1", IMAGE)
    with repository(liar) as one:
        assert one.head("1") == descriptor(MANIFEST, DIGEST, len(CONTENT))
        assert one.manifest("1") == (one.head("1"), CONTENT)
        assert one.manifest(DIGEST, one.head("1"))[1] == CONTENT
        assert one.head("none") is None
    accepted = {name.strip() for name in liar.asked[-1].headers["accept"].split(",")}
    assert accepted == {*MANIFESTS, *INDEXES}
    assert liar.asked[-1].headers["user-agent"].startswith("nbcontainers/")


@pytest.mark.parametrize(
    "document, kind, expected",
    [
        ({"schemaVersion": 2, "layers": []}, MANIFEST, MANIFEST),
        ({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "layers": []}, DOCKER_MANIFEST, DOCKER_MANIFEST),
        ({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}, f"{INDEX}; charset=utf-8", INDEX),
        ({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}, INDEX.upper(), INDEX),
        ({"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": []}, "application/octet-stream", DOCKER_INDEX),
        ({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}, "", MANIFEST),
    ],
)  # fmt: skip
def test_types(liar: Liar, document: dict[str, Any], kind: str, expected: str) -> None:
    found, _ = get(liar, encode(document), {"Content-Type": kind} if kind else {})
    assert found["mediaType"] == expected


@pytest.mark.parametrize(
    "content, headers, options, why",
    [
        (CONTENT, {"Content-Type": INDEX}, {}, f"serves as {INDEX} what calls itself {MANIFEST} (CVE-2021-41190)"),
        (encode({"layers": [], "manifests": []}), {"Content-Type": MANIFEST}, {}, "both a manifest and an index (CVE-2021-41190)"),
        (encode({"config": {}, "manifests": []}), {"Content-Type": INDEX}, {}, "both a manifest and an index (CVE-2021-41190)"),
        (CONTENT, {"Content-Type": MANIFEST, "Docker-Content-Digest": WRONG}, {}, f"the digest {WRONG}, but it is {DIGEST}"),
        (CONTENT, {"Content-Type": MANIFEST}, {"name": WRONG}, f"sends something else for {WRONG}: its digest is {DIGEST}"),
        (CONTENT, {"Content-Type": MANIFEST}, {"expected": descriptor(MANIFEST, DIGEST, 3)}, "whose descriptor says 3"),
        (CONTENT, {"Content-Type": MANIFEST}, {"expected": descriptor(MANIFEST, WRONG, len(CONTENT))}, "sends something else"),
        (CONTENT, {"Content-Type": MANIFEST}, {"expected": descriptor(INDEX, DIGEST, len(CONTENT))}, "which its descriptor calls"),
    ],
)  # fmt: skip
def test_lies(liar: Liar, content: bytes, headers: dict[str, str], options: dict[str, Any], why: str) -> None:
    with pytest.raises(RegistryError) as caught:
        get(liar, content, headers, **options)
    assert why in caught.value.message
    assert caught.value.message.startswith(liar.host)
    assert UNTRUSTED in caught.value.hint
    assert caught.value.retry is False


@pytest.mark.parametrize(
    "content, kind, why",
    [
        (b'{"schemaVersion": 1}', "application/vnd.docker.distribution.manifest.v1+prettyjws", "Docker's schema 1, which is too old"),
        (b'{"schemaVersion": 1}', "application/json", "Docker's schema 1"),
        (b"{}", "application/vnd.cncf.helm.config.v1+json", "is no image: its type is application/vnd.cncf.helm"),
        (b"{}", "application/json", "is no image: its type is application/json"),
        (b'{"mediaType": ["x"]}', "", "is no image: its type is ['x']"),
        (b"[]", MANIFEST, "is no JSON object"),
        (b"\xff", MANIFEST, "is not JSON"),
        (b"[" * 100_000, MANIFEST, "is not JSON"),
        (b"<html>", MANIFEST, "a web page"),
        (b"", MANIFEST, "is not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_manifest(liar: Liar, content: bytes, kind: str, why: str) -> None:
    with pytest.raises(RegistryError) as caught:
        get(liar, content, {"Content-Type": kind} if kind else {})
    assert why in caught.value.message
    assert caught.value.retry is False


def test_a_manifest_that_is_too_long(liar: Liar) -> None:
    with pytest.raises(RegistryError, match="more than the 4194304 bytes"):
        get(liar, b" " * (5 << 20), {"Content-Type": MANIFEST})


def test_a_web_page_for_a_digest(liar: Liar) -> None:
    with pytest.raises(RegistryError, match="does not answer as a registry: a web page"):
        get(liar, b"<!doctype html>", {"Content-Type": "text/html"}, name=DIGEST)


@pytest.mark.parametrize("leave", ["Docker-Content-Digest", "Content-Type", "Content-Length"])
def test_a_head_that_tells_too_little(liar: Liar, leave: str) -> None:
    headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": DIGEST}
    headers.pop(leave, None)
    length = -1 if leave == "Content-Length" else None
    liar.say("HEAD", "/v2/a/b/manifests/1", Said(200, CONTENT, headers, length=length))
    liar.say("GET", "/v2/a/b/manifests/1", Said(200, CONTENT, {"Content-Type": MANIFEST}))
    with repository(liar) as one:
        assert one.head("1") == descriptor(MANIFEST, DIGEST, len(CONTENT))
    assert [asked.method for asked in liar.asked[-2:]] == ["HEAD", "GET"]


def test_a_head_for_another_digest(liar: Liar) -> None:
    liar.serve("a/b", "1", IMAGE)
    liar.say("HEAD", f"/v2/a/b/manifests/{WRONG}", liar.scripts["*", "/v2/a/b/manifests/1"])
    with repository(liar) as one, pytest.raises(RegistryError, match=f"answers a request for {WRONG} with {DIGEST}"):
        one.head(WRONG)


@pytest.mark.parametrize("name", ["", "../x", "a?b=c", "a\r\nHost: b", "a" * 129, "sha256:x", "-a"])
def test_a_name_that_is_none_is_not_asked_for(liar: Liar, name: str) -> None:
    with repository(liar) as one, pytest.raises(RegistryError, match="is neither a tag nor a digest"):
        one.head(name)
    assert not liar.asked


# Blobs


def ranged(asked: Asked) -> Said:
    """An honest registry."""
    if "range" not in asked.headers:
        return Said(200, LAYER)
    first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
    end = int(last) + 1 if last else len(LAYER)
    return Said(206, LAYER[int(first) : end], {"Content-Range": f"bytes {first}-{end - 1}/{len(LAYER)}"})


@pytest.mark.parametrize("offset", [0, 1, 150_000, len(LAYER) - 1, len(LAYER)])
@pytest.mark.parametrize("form", ["range", "no range", "416", "chunked"])
def test_a_blob_from_an_offset(liar: Liar, offset: int, form: str) -> None:
    script: Any = {
        "range": ranged,
        "no range": Said(200, LAYER),
        "416": lambda asked: Said(416) if "range" in asked.headers else Said(200, LAYER),
        "chunked": Said(200, LAYER, length=-1),
    }[form]
    liar.say("GET", AT, script)
    with repository(liar) as one, one.open_blob(BLOB, offset) as blob:
        assert blob.left == len(LAYER) - offset
        buffer, got = bytearray(70_000), b""
        while count := blob.readinto(buffer):
            got += buffer[:count]
        assert got == LAYER[offset:]
        assert blob.read() == b""


def test_an_empty_blob(liar: Liar) -> None:
    empty = descriptor("x", digest_of(b""), 0)
    liar.say("GET", f"/v2/a/b/blobs/{empty['digest']}", Said())
    with repository(liar) as one, one.open_blob(empty) as blob:
        assert (blob.read(), blob.readinto(bytearray(5))) == (b"", 0)


def test_a_part_of_the_part_is_gone_on_with(liar: Liar) -> None:
    """A 206 that ends early is no lie; what is missing is a broken connection."""
    liar.say("GET", AT, Said(206, LAYER[10:20], {"Content-Range": f"bytes 10-19/{len(LAYER)}"}))
    with repository(liar) as one, one.open_blob(BLOB, 10) as blob:
        assert blob.read(10) == LAYER[10:20]
        with pytest.raises(RegistryError, match="closed the connection with 299980 bytes") as caught:
            blob.read(1)
    assert caught.value.retry


@pytest.mark.parametrize(
    "said, why",
    [
        (
            Said(200, LAYER[:-1]),
            f"sends {len(LAYER) - 1} bytes for {BLOB['digest']}, whose descriptor says {len(LAYER)}",
        ),
        (Said(200, LAYER + b"x"), f"sends {len(LAYER) + 1} bytes"),
        (Said(200, b"<html>", {"Content-Type": "text/html"}), "a web page"),
        (Said(206, LAYER[5:], {"Content-Range": "bytes 5-10/20"}), "with Content-Range 'bytes 5-10/20'"),
        (
            Said(206, LAYER[7:], {"Content-Range": f"bytes 7-{len(LAYER) - 1}/{len(LAYER)}"}),
            "with Content-Range 'bytes 7-",
        ),
        (Said(206, LAYER[5:], {"Content-Range": f"bytes 5-{len(LAYER)}/*"}), "with Content-Range"),
        (Said(206, LAYER[5:], {}), "with Content-Range ''"),
        (Said(206, LAYER[5:], {"Content-Range": "bytes " + "9" * 5000}), "with Content-Range"),
        (Said(206, LAYER[6:], {"Content-Range": f"bytes 5-{len(LAYER) - 1}/*"}), "as Content-Range"),
    ],
)
def test_lengths_that_lie(liar: Liar, said: Said, why: str) -> None:
    liar.say("GET", AT, said)
    with repository(liar) as one, pytest.raises(RegistryError) as caught:
        one.open_blob(BLOB, 5)
    assert why in caught.value.message
    assert len(caught.value.message) < 400


def test_a_blob_without_end(liar: Liar) -> None:
    liar.say("GET", AT, Said(endless=True))
    with repository(liar) as one, one.open_blob(BLOB) as blob:
        assert len(blob.read()) == len(LAYER)
        with pytest.raises(RegistryError, match="sends more of") as caught:
            blob.read(1)
    assert UNTRUSTED in caught.value.hint


@pytest.mark.parametrize("form", ["cut", "cut without length", "stall", "drip"])
def test_a_blob_that_breaks_off_can_be_gone_on_with(liar: Liar, form: str) -> None:
    said = {
        "cut": Said(200, LAYER, cut=100_000),
        "cut without length": Said(200, LAYER, cut=100_000, length=-1),
        "stall": Said(200, LAYER, stall=20),
        "drip": Said(200, LAYER, drip=0.02),
    }[form]
    liar.say("GET", AT, said)
    start = time.monotonic()
    got = bytearray(len(LAYER))
    with repository(liar, settings=liar.settings(stall_timeout=0.2)) as one:
        with one.open_blob(BLOB) as blob, memoryview(got) as view:
            with pytest.raises(RegistryError) as caught:
                while blob.left:
                    blob.readinto(view[len(LAYER) - blob.left :][:1000])
            done = len(LAYER) - blob.left
        assert caught.value.retry, caught.value.message
        assert got[:done] == LAYER[:done]
        liar.say("GET", AT, ranged)
        with one.open_blob(BLOB, done) as blob:
            assert bytes(got[:done]) + blob.read() == LAYER
    assert time.monotonic() - start < 5


def test_a_slow_reader_is_no_stall(liar: Liar) -> None:
    big = LAYER * 40
    one = descriptor("x", digest_of(big), len(big))
    liar.say("GET", f"/v2/a/b/blobs/{one['digest']}", Said(200, big))
    with repository(liar, settings=liar.settings(stall_timeout=0.1)) as here, here.open_blob(one) as blob:
        blob.read(100_000)
        time.sleep(0.4)
        assert len(blob.read()) == len(big) - 100_000


@pytest.mark.parametrize("seed", range(8))
def test_any_answer_is_content_or_an_error_of_ours(liar: Liar, seed: int) -> None:
    """Honest answers with a few bytes changed, cut out or doubled: heads, lengths, chunks, JSON."""
    dice = random.Random(seed)
    small = b"0123456789" * 20
    blob = descriptor("x", digest_of(small), len(small))
    heads = [
        f"HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nDocker-Content-Digest: {DIGEST}\r\nContent-Length: {len(CONTENT)}",
        "HTTP/1.1 307 Moved\r\nLocation: /v2/a/b/x\r\nContent-Length: 0",
        'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="http://127.0.0.1:1/",scope="a:b:c"\r\nContent-Length: 2',
        f"HTTP/1.1 206 Part\r\nContent-Range: bytes 50-199/200\r\nContent-Length: {len(small) - 50}",
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nLink: <?last=a>; rel="next"',
        "HTTP/1.1 429 Slow\r\nRetry-After: 0\r\nContent-Length: 3",
    ]
    bodies = [CONTENT, b"", b"{}", small[50:], b'f\r\n{"tags":["a",1]}\r\n0\r\n\r\n', b"abc"]

    def answer(asked: Asked) -> Said:
        which = dice.randrange(len(heads))
        raw = bytearray(heads[which].encode() + b"\r\n\r\n" + bodies[which])
        for _ in range(dice.randrange(4)):
            at, kind = dice.randrange(len(raw)), dice.randrange(3)
            raw[at : at + (1, dice.randrange(30), 0)[kind]] = (dice.randbytes(1), b"", raw[at : at + 20])[kind]
        return Said(raw=bytes(raw))

    liar.say("*", "/v2/*", answer)
    with repository(liar, settings=liar.settings(tries=2, backoff=0.001, stall_timeout=0.1)) as one:
        one.origin._base = f"http://{liar.host}"
        for _ in range(8):
            with contextlib.suppress(RegistryError):
                one.manifest("1")
            with contextlib.suppress(RegistryError):
                one.head("1")
            with contextlib.suppress(RegistryError):
                list(one.tags())
            with contextlib.suppress(RegistryError), one.open_blob(blob, 50) as got:
                assert len(got.read()) == len(small) - 50


# Tags


def pages(*answers: tuple[list[str], str]) -> list[Said]:
    """Answers with a Link each, if it is not empty."""
    return [
        Said(200, json.dumps({"name": "a/b", "tags": names}).encode(), {"Link": link} if link else {})
        for names, link in answers
    ]


def listed(liar: Liar, script: Any) -> list[str]:
    liar.say("GET", "/v2/a/b/tags/list", script)
    with repository(liar) as one:
        return list(one.tags())


def test_tags(liar: Liar) -> None:
    assert listed(liar, pages((["b", "a"], ""))) == ["b", "a"]
    assert liar.asked[-1].path == "/v2/a/b/tags/list?n=1000"
    assert listed(liar, Said(200, b'{"name": "a/b", "tags": null}')) == []
    assert listed(liar, Said(200, b'{"name": "a/b"}')) == []


@pytest.mark.parametrize(
    "link",
    [
        '</v2/a/b/tags/list?n=2&last=b>; rel="next"', "<?last=b&n=2>; rel=next", '<list?last=b>; title="x"; rel="next"',
        '</v2/x>; rel="first", </v2/a/b/tags/list?last=b>; rel="next"',
    ],
)  # fmt: skip
def test_pages_of_tags(liar: Liar, link: str) -> None:
    assert listed(liar, pages((["a", "b"], link), (["c"], ""))) == ["a", "b", "c"]
    assert parse_qs(urlsplit(liar.asked[-1].path).query)["last"] == ["b"]


def test_an_absolute_link_to_the_same_host(liar: Liar) -> None:
    link = f'<http://{liar.host}/v2/a/b/tags/list?last=b>; rel="next"'
    assert listed(liar, pages((["a", "b"], link), (["c"], ""))) == ["a", "b", "c"]


def test_full_pages_without_a_link(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "PAGE", 2)
    assert listed(liar, pages((["a", "b"], ""), (["c", "d"], ""), ([], ""))) == ["a", "b", "c", "d"]
    assert [parse_qs(urlsplit(path).query).get("last") for path in liar.paths("GET")[-3:]] == [None, ["b"], ["d"]]
    assert listed(liar, pages((["a", "b"], ""))) == ["a", "b"], "a registry that knows no `last`"


@pytest.mark.parametrize(
    "script, why",
    [
        (pages((["a"], '</v2/a/b/tags/list?last=a>; rel="next"')), "pages go round in a circle"),
        (pages((["a"], '<http://other.example/x>; rel="next"')), "on another host"),
        (pages((["a"], '<ftp://x>; rel="next"')), "which is no address"),
        (Said(200, b"[]"), "are no list"),
        (Said(200, b'{"tags": [1]}'), "are no list"),
        (Said(200, b'{"tags": "abc"}'), "are no list"),
        (Said(200, b'{"tags": ["a/../../x"]}'), "are no list"),
        (Said(200, b'{"tags": ["a\\r\\nX: y"]}'), "are no list"),
        (Said(200, b"<html></html>"), "a web page"),
        (Said(404, b'{"errors":[{"message":"repository name not known to registry"}]}'), "not known to registry"),
    ],
)
def test_tags_that_are_none(liar: Liar, script: Any, why: str) -> None:
    with pytest.raises(RegistryError) as caught:
        listed(liar, script)
    assert why in caught.value.message


def test_tags_without_end(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "MOST", 50)
    count = [0]

    def more(asked: Asked) -> Said:
        count[0] += 1
        return pages(([f"t{count[0]}"], f'<?last=t{count[0]}>; rel="next"'))[0]

    with pytest.raises(RegistryError, match="tags without end"):
        listed(liar, more)
    assert count[0] == 51


# Mirrors


def mirrored(liar: Liar, *mirrors: Mirror, **options: Any) -> Repository:
    settings = liar.settings(registries=(Registry(liar.host, mirrors=mirrors),), tries=1)
    return repository(liar, settings=settings, **options)


def test_a_mirror_is_asked_first(liar: Liar, nobody: Path) -> None:
    liar.serve("a/b", "1", IMAGE)
    with lying_registry() as one:
        one.serve("hub/a/b", "1", IMAGE)
        with mirrored(liar, Mirror(f"{one.host}/hub")) as here:
            assert here.head("1")
            assert here.manifest("1")[1] == CONTENT
            with here.open_blob(BLOB) as blob:
                assert blob.read() == LAYER
    assert liar.asked == []


def test_what_a_mirror_has_not_comes_from_the_registry(liar: Liar) -> None:
    liar.serve("a/b", "1", IMAGE)
    with lying_registry() as one, mirrored(liar, Mirror(one.host)) as here:
        assert here.manifest("1")[1] == CONTENT
        assert here.head("2") is None
        assert {asked.path for asked in one.asked if "manifests" in asked.path} == {
            "/v2/a/b/manifests/1",
            "/v2/a/b/manifests/2",
        }


def test_a_mirror_that_is_dead_is_asked_once(liar: Liar) -> None:
    liar.serve("a/b", "1", IMAGE)
    with mirrored(liar, Mirror(f"127.0.0.1:{free_port()}")) as here:
        assert here.head("1")
        assert here.endpoints[0].avoided
        assert here.manifest("1")[1] == CONTENT


def test_a_mirror_that_lies_is_left(liar: Liar) -> None:
    liar.serve("a/b", "1", IMAGE)
    with lying_registry() as one:
        one.say("*", "/v2/*", Said(200, LAYER[::-1]))
        with mirrored(liar, Mirror(one.host)) as here:
            assert here.manifest(DIGEST)[1] == CONTENT


@pytest.mark.parametrize("offset", [0, 100])
def test_a_mirror_that_breaks_off_is_left(liar: Liar, offset: int) -> None:
    liar.say("*", AT, ranged)
    with lying_registry() as one:
        one.say("GET", AT, Said(200, LAYER, cut=100_000))
        with mirrored(liar, Mirror(one.host)) as here:
            got = bytearray(LAYER[:offset])
            with here.open_blob(BLOB, offset) as blob, pytest.raises(RegistryError, match=r"half way|with 2"):
                while True:
                    got += blob.read(10_000)
            with here.open_blob(BLOB, len(got)) as blob:
                assert bytes(got) + blob.read() == LAYER
                assert blob.endpoint is here.origin


def test_all_that_failed_is_told(liar: Liar) -> None:
    port = free_port()
    with mirrored(liar, Mirror(f"127.0.0.1:{port}")) as here, pytest.raises(RegistryError) as caught:
        here.manifest("1")
    assert caught.value.message.startswith(f"{liar.host}/a/b:1 does not exist")
    assert f"(mirror: 127.0.0.1:{port} refuses the connection)" in caught.value.message
    assert caught.value.status == 404


def test_mirrors_get_no_pushes_nor_our_password(liar: Liar) -> None:
    from nbcontainers.registry.credentials import Credentials

    liar.serve("a/b", "1", IMAGE)
    with lying_registry() as one:
        one.say("*", "/v2/*", Said(401, headers={"WWW-Authenticate": "Basic realm=x"}))
        with mirrored(liar, Mirror(one.host), credentials=Credentials("me", "secret")) as here:
            assert here.head("1")
        assert all("authorization" not in asked.headers for asked in one.asked)
        count = len(one.asked)
        with mirrored(liar, Mirror(one.host), push=True) as here:
            assert here.head("1")
            assert not here.has_blob(WRONG)
        assert len(one.asked) == count


@pytest.mark.parametrize("pull, tags_asked, digests_asked", [("digest-only", 0, 1), ("tag-only", 1, 0), ("all", 1, 1)])
def test_what_a_mirror_may_be_asked_for(liar: Liar, pull: str, tags_asked: int, digests_asked: int) -> None:
    liar.serve("a/b", "1", IMAGE)
    with lying_registry() as one, mirrored(liar, Mirror(one.host, pull=pull)) as here:
        here.head("1")
        here.head(DIGEST)
        asked = [request.path.rpartition("/")[2] for request in one.asked if "manifests" in request.path]
    assert (asked.count("1"), asked.count(DIGEST)) == (tags_asked, digests_asked)


def test_tags_come_from_the_registry_itself(liar: Liar) -> None:
    with lying_registry() as one:
        one.say("GET", "/v2/a/b/tags/list", Said(200, b'{"tags": ["old"]}'))
        with mirrored(liar, Mirror(one.host)) as here:
            assert list(here.tags()) == ["old"]
        liar.say("GET", "/v2/a/b/tags/list", Said(200, b'{"tags": ["new"]}'))
        with mirrored(liar, Mirror(one.host)) as here:
            assert list(here.tags()) == ["new"]
