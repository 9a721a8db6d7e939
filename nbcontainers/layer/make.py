"""Making a layer: one pass over the changes gives its tar, the tar's hash, the compressed blob and the unpacked layer.

What is unpacked here comes out of the very tar that is stored, so whoever pulls the layer later gets the same tree.
Packing, compressing and unpacking each have a thread where there is enough of it; reading, hashing and deflating release the GIL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice
from typing import Any, Generic, NamedTuple, TypeVar

from nbcontainers.layer import codec as codecs
from nbcontainers.layer.ahead import Ahead, Aside
from nbcontainers.layer.changes import Change
from nbcontainers.layer.pack import Packer
from nbcontainers.layer.unpack import Layer

T = TypeVar("T")


class Made(NamedTuple, Generic[T]):
    """A new layer: the DiffID, what `store` returned, and the packer's facts."""

    diff_id: str
    stored: T
    facts: dict[str, Any]


def make(
    changes: Iterable[Change],
    store: Callable[[Iterator[bytes]], T],
    layer: Layer | None = None,
    *,
    codec: str = "gzip",
    epoch: int | None = None,
) -> Made[T]:
    """Pack the changes; `store` gets the blob's bytes, compressed by "gzip", "zstd" or "" (not at all).

    `layer`, if given, gets the same content unpacked; its `finish` is the caller's. Raises what any part raises, with
    all threads ended.
    """
    packer = Packer(epoch)
    hashed = hashlib.sha256()
    pieces = _hashed(packer.pieces(changes), hashed.update)
    begin = list(islice(pieces, 2))
    if len(begin) == 1:  # a small layer: threads would only wait for each other
        if layer:
            layer.extract(iter(begin))
        stored = store(codecs.compress(iter(begin), codec))
    else:
        stored = _in_threads(chain(begin, pieces), store, layer, codec)
    return Made(f"sha256:{hashed.hexdigest()}", stored, packer.facts)


def _in_threads(
    source: Iterator[bytes], store: Callable[[Iterator[bytes]], T], layer: Layer | None, codec: str
) -> T:  # fmt: skip
    blob = Aside(lambda pieces: store(codecs.compress(pieces, codec)))
    try:
        with closing(Ahead(source)) as pieces:
            shared = _given(pieces, blob)
            if layer:
                layer.extract(shared)
            for _ in shared:
                pass
        return blob.result()
    except BaseException:
        blob.close()
        raise


def _hashed(pieces: Iterator[bytes], update: Callable[[bytes], object]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece


def _given(pieces: Iterator[bytes], blob: Aside[Any]) -> Iterator[bytes]:
    for piece in pieces:
        blob.give(piece)
        yield piece
