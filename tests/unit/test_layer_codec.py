"""Compressed streams, whole and damaged, with the fast libraries and without."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nbcontainers.errors import HostNotCapable, ImageError
from nbcontainers.layer import codec
from nbcontainers.layer.ahead import Ahead

DATA = os.urandom(300_000) + bytes(3_000_000) + b"end"
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress, "": bytes,
}  # fmt: skip


@pytest.fixture(params=["fast", "stdlib"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "stdlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    codec._decoder.cache_clear()
    yield request.param
    codec._decoder.cache_clear()


def inflate(content: bytes) -> bytes:
    pieces = list(codec.chunks(io.BytesIO(content)))
    assert all(len(piece) <= codec.PIECE for piece in pieces)
    return b"".join(pieces)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("form", FORMS)
def test_whole(form: str) -> None:
    content = FORMS[form](DATA)
    assert codec.detect(content[:16]) == form
    assert inflate(content) == DATA


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("form", ["gzip", "xz", "bzip2"])
def test_members_padding_and_garbage(form: str) -> None:
    content = FORMS[form](DATA)
    assert inflate(content + content) == DATA * 2
    assert inflate(content + bytes(5000)) == DATA
    for bad, message in ((content[:-20], "ends too early"), (content + b"garbage", "garbage after"),
                         (content[:5000] + b"\xff" * 4000 + content[9000:], "damaged")):  # fmt: skip
        with pytest.raises(ImageError, match=message):
            inflate(bad)


def test_zstd() -> None:
    zstandard = pytest.importorskip("zstandard")
    content = zstandard.compress(DATA)
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"meta"
    assert inflate(content) == DATA
    assert inflate(content + content) == DATA * 2
    assert inflate(skippable + content) == DATA
    for bad in (content[:-20], content[:150_000], content + b"garbage", content[:10] + b"\xff" * 30 + content[40:],
                content + skippable[:-1], content + content[:4]):  # fmt: skip
        with pytest.raises(ImageError, match="zstd"):
            inflate(bad)


@pytest.mark.parametrize("options", [{}, {"write_checksum": True}, {"write_content_size": False}, {"level": 19}])
def test_zstd_frames_of_every_form(options: dict[str, Any]) -> None:
    zstandard = pytest.importorskip("zstandard")
    for data in (b"", b"x", DATA[:1000], DATA):
        assert inflate(zstandard.ZstdCompressor(**options).compress(data)) == data
        writer = zstandard.ZstdCompressor(**options).compressobj()
        assert inflate(writer.compress(data) + writer.flush()) == data


def test_a_bomb_comes_in_bounded_pieces() -> None:
    zstandard = pytest.importorskip("zstandard")
    bomb = zstandard.compress(bytes(1 << 28))
    assert len(bomb) < 30_000
    stream = codec.chunks(io.BytesIO(bomb))
    assert len(next(stream)) <= codec.PIECE


def test_zstd_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression", None)
    with pytest.raises(HostNotCapable) as caught:
        list(codec.chunks(io.BytesIO(b"\x28\xb5\x2f\xfd" + bytes(20))))
    assert caught.value.hint == "pip install zstandard"


def test_ahead_gives_everything_in_order_and_raises_where_it_stops() -> None:
    assert list(Ahead(iter([b"a", b"b", b"c"]), 1)) == [b"a", b"b", b"c"]

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise ImageError("broken")

    stream = Ahead(broken())
    assert next(stream) == b"a"
    for _ in range(2):
        with pytest.raises(ImageError, match="broken"):
            next(stream)


def test_ahead_ends_when_nobody_reads_on() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x"

    stream = Ahead(endless())
    assert next(stream) == b"x"
    stream.close()
    assert not stream._thread.is_alive()
